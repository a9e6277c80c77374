"""From a file to something that can be called: checked, opened, and tried."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from edgekit.errors import DataError, UsageError, VerificationError
from edgekit.lane import Lane
from edgekit.manifest import damaged_manifest
from edgekit.reading import Reading, Source
from edgekit.serving import Serving
from edgekit.sessions import Backend, Providers, RuntimeSession, import_runtime, open_session

if TYPE_CHECKING:
    from edgekit.preprocess import Preprocess


class Options(SimpleNamespace):  # the quickest of all classes to make
    """How a file is opened; see `edgekit.load`."""

    threads: int
    backend: Backend
    providers: Providers
    instances: int
    signature: str | None
    preprocess: str | Mapping[str, str] | None
    labels: Sequence[str] | str | os.PathLike[str] | None
    self_test: bool
    public_key: str | os.PathLike[str] | bytes | None
    probe: bool


def open_serving(source: Source, options: Options, reading: Reading | None = None) -> Serving:
    """Check a file, open it as often as there are instances, and test it if asked to.

    Args:
        source: the file, or its content.
        options: how to open it.
        reading: of this source, if it has begun.

    Raises:
        SourceError, VerificationError, MissingDependencyError, UsageError, CrashError: see
            `edgekit.load`.
    """
    if not isinstance(options.instances, int) or options.instances < 1:
        message = f"instances={options.instances}: not a number of instances; give 1 or more"
        raise UsageError(message)
    reading = reading or Reading(source)
    import_runtime(reading.kind, options.backend)  # meanwhile
    name, checked = reading.name, _checked(reading, options)
    if options.probe:
        from edgekit.load_probe import probe

        probe(
            checked,
            threads=options.threads,
            backend=options.backend,
            providers=options.providers,
            signature=options.signature,
        )
    first = _session(checked, name, options)
    if options.self_test:
        from edgekit import golden

        if not golden.self_test(first, name):
            message = f"{name}: has nothing to test itself with; convert it with this edgekit"
            raise VerificationError(message)
    sessions = [first]
    while len(sessions) < options.instances:
        sessions.append(first.another() or _session(checked, name, options))
    return _serving(name, sessions, options)


def _checked(reading: Reading, options: Options) -> Source:
    """What to open: the file's content as it was when it was checked, of ONNX files the path."""
    reading.wait()
    content, name = reading.content, reading.name
    if reading.kind in {"tflite", "onnx"}:
        if options.public_key is not None:
            from edgekit import signing

            if content is None:
                content = bytes(reading.data())
            signing.verify(content, options.public_key, name)
        data = reading.data() if content is None else memoryview(content)
        if options.probe or not reading.is_sealed:  # whoever damages a file can seal it again
            from edgekit import guard

            guard.check(data, reading.kind, name)
        if options.self_test and reading.is_sealed:
            from edgekit import seal

            seal.read(data, name)
    if content is not None:
        return content
    assert reading.path is not None
    return reading.path


def _session(checked: Source, name: str, options: Options) -> RuntimeSession:
    return open_session(
        checked,
        threads=options.threads,
        backend=options.backend,
        providers=options.providers,
        signature=options.signature,
        name=name,
    )


def _serving(name: str, sessions: list[RuntimeSession], options: Options) -> Serving:
    first = sessions[0]
    try:
        states = _states(first)
        hidden = {given for given, _ in states}, {made for _, made in states}
        inputs = tuple(s for n, s in enumerate(first.inputs) if n not in hidden[0])
        outputs = tuple(s for n, s in enumerate(first.outputs) if n not in hidden[1])
        prepared = _from_manifest(first.manifest.get("preprocess") or {})
        labels = tuple(str(label) for label in first.manifest.get("labels") or ())
    except (KeyError, TypeError, ValueError, AttributeError, UsageError) as error:
        raise damaged_manifest(name, error) from error
    if options.preprocess is not None:
        prepared = _prepared(options.preprocess, inputs)
    if options.labels is not None:
        labels = read_labels(options.labels)
    if options.instances > 1 and (states or first.has_variables):
        message = (
            f"instances={options.instances}: {name} carries state from call to call, which "
            "several instances cannot share; load it once for each stream"
        )
        raise UsageError(message)
    return Serving(
        name=name,
        lanes=tuple(Lane(session) for session in sessions),
        manifest=first.manifest,
        inputs=inputs,
        outputs=outputs,
        states=states,
        labels=labels,
        preprocess=prepared,
    )


def _states(session: RuntimeSession) -> tuple[tuple[int, int], ...]:
    given = {spec.name: number for number, spec in enumerate(session.inputs)}
    made = {spec.name: number for number, spec in enumerate(session.outputs)}
    pairs: list[dict[str, Any]] = session.manifest.get("states") or []
    return tuple((given[pair["input"]], made[pair["output"]]) for pair in pairs)


def _from_manifest(listed: dict[str, Any]) -> dict[str, Preprocess]:
    if not listed:
        return {}
    from edgekit.preprocess import Preprocess

    return {str(key): Preprocess.from_dict(steps) for key, steps in listed.items()}


def _prepared(asked: str | Mapping[str, str], inputs: Sequence[Any]) -> dict[str, Preprocess]:
    from edgekit.preprocess import for_inputs

    texts = [asked] if isinstance(asked, str) else [f"{key}:{text}" for key, text in asked.items()]
    return for_inputs(texts, inputs)


def read_labels(labels: Sequence[str] | str | os.PathLike[str]) -> tuple[str, ...]:
    """The names of the classes: as they are, or one a line of a text file.

    Raises:
        DataError: the file cannot be read, or is no text.
    """
    if not isinstance(labels, str | os.PathLike):
        return tuple(map(str, labels))
    from pathlib import Path

    try:
        lines = Path(labels).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8 text"
        message = f"labels {labels}: {reason}; give a text file with one class name a line"
        raise DataError(message) from None
    return tuple(line.strip() for line in lines if line.strip())
