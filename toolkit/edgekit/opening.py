"""From a file to something that can be called: checked, opened, and tried."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from types import SimpleNamespace
from typing import Any, TypeAlias

from edgekit.errors import UsageError, VerificationError
from edgekit.lane import Lane
from edgekit.reading import Reading, Source
from edgekit.serving import Serving
from edgekit.sessions import Backend, Providers, RuntimeSession, open_session


class Options(SimpleNamespace):  # the quickest of all classes to make
    """How a file is opened; see `edgekit.load`."""

    threads: int
    backend: Backend
    providers: Providers
    instances: int
    signature: str | None
    preprocess: str | Sequence[str] | Mapping[str, str] | None
    labels: Sequence[str] | str | os.PathLike[str] | None
    self_test: bool
    public_key: str | os.PathLike[str] | bytes | None
    probe: bool


Opener: TypeAlias = Callable[[Source, str, Options], RuntimeSession]
"""Opens a file that was checked, which messages call by the name given."""


def open_serving(source: Source, options: Options, opener: Opener | None = None) -> Serving:
    """Check a file, open it as often as there are instances, and test it if asked to.

    Args:
        source: the file, or its content.
        options: how to open it.
        opener: opens it elsewhere than in this process.

    Raises:
        SourceError, VerificationError, MissingDependencyError, UsageError, DataError, CrashError:
            see `edgekit.load`.
    """
    reading = Reading(source)
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
    opened = opener or _session
    first = opened(checked, name, options)
    if options.self_test:
        from edgekit import golden

        if not golden.self_test(first, name):
            message = f"{name}: has nothing to test itself with; convert it with this edgekit"
            raise VerificationError(message)
    sessions = [first]
    while len(sessions) < options.instances:
        sessions.append(first.another() or opened(checked, name, options))
    serving = _serving(name, sessions, options)
    if not reading.is_sealed and first.manifest:  # for which nothing vouches
        _ = serving.labels, serving.preprocess
    return serving


def _checked(reading: Reading, options: Options) -> Source:
    """What to open: the file's content as it was when it was checked, of ONNX files the path."""
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
    except (KeyError, TypeError, AttributeError) as error:
        from edgekit.manifest import damaged_manifest

        raise damaged_manifest(name, error) from error
    if options.instances > 1 and (states or first.has_variables):
        message = (
            f"instances={options.instances}: {name} carries state from call to call, which "
            "several instances cannot share; load it once for each stream"
        )
        raise UsageError(message)
    labels = preprocess = None
    if options.labels is not None:
        from edgekit import told

        labels = told.read_labels(options.labels)
        told.check_labels(labels, inputs, outputs, name)
    if options.preprocess is not None:
        from edgekit import told

        preprocess = told.preprocess_asked(options.preprocess, inputs)
    return Serving(
        name=name,
        lanes=tuple(Lane(session) for session in sessions),
        inputs=inputs,
        outputs=outputs,
        states=states,
        labels=labels,
        preprocess=preprocess,
    )


def _states(session: RuntimeSession) -> tuple[tuple[int, int], ...]:
    given = {spec.name: number for number, spec in enumerate(session.inputs)}
    made = {spec.name: number for number, spec in enumerate(session.outputs)}
    if not session.tells("states"):
        return ()
    pairs: list[dict[str, Any]] = session.manifest.get("states") or []
    return tuple((given[pair["input"]], made[pair["output"]]) for pair in pairs)
