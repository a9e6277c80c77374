"""The child's side of ``edgekit run --on``: reads inputs here, has all of them run there at once.

``open_model``, then ``read`` and ``gather`` for everything, ``predict`` once; then ``read`` and
``run`` as in `edgekit.run_worker`, whose ``run`` finds its results waiting.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edgekit import run_worker
from edgekit.child_main import tell
from edgekit.errors import DataError, EdgekitError, VerificationError
from edgekit.lane import refuse_nan, result_dtype
from edgekit.load_options import check_options
from edgekit.opening import Options, open_serving
from edgekit.run_worker import Work, begin, current, run, save, steps_of
from edgekit_benchmarks.on_target import is_emulated, open_target
from edgekit_benchmarks.target_session import TargetSession

if TYPE_CHECKING:
    from edgekit_benchmarks.link import Link

__all__ = ["close", "gather", "open_model", "predict", "read", "run", "save"]

Array = NDArray[Any]
Call = dict[str, Array]


@dataclass(slots=True)
class _There:
    """The target, and by the titles of inputs what it is to run, or gave."""

    link: Link
    session: TargetSession
    calls: dict[str, list[Call]] = field(default_factory=dict)
    results: dict[str, list[Call] | EdgekitError] = field(default_factory=dict)
    shown: int = 0
    """How many results of the input that was read last are shown."""


_open = ExitStack()
_there: list[_There] = []


def open_model(
    *,
    path: str,
    options: dict[str, Any],
    preprocess: list[str],
    top: int,
    is_asked_for_classes: bool,
    keeps: bool,
    target: str,
    limit_s: float,
) -> dict[str, Any]:
    """Check the file and connect; see `edgekit.load` for `options`.

    Raises:
        EdgekitError: as `edgekit.load`, and as `edgekit_benchmarks.on_target.predict_on`.
    """
    defaults: dict[str, Any] = {"providers": (), "instances": 1, "probe": False}
    given = check_options(defaults | options | {"preprocess": steps_of(preprocess)})
    tell(f"{target}: connect")
    link = _open.enter_context(open_target(target))

    def opened(_: object, _name: str, asked: Options) -> TargetSession:
        session = TargetSession(
            link,
            Path(path),
            threads=asked.threads,
            backend=asked.backend,
            limit_s=limit_s,
            tell=tell,
        )
        _there[:] = [_There(link, session)]
        return session

    serving = open_serving(path, Options(**given), opened)
    work = Work(
        serving=serving,
        forward=_waiting,
        top=top,
        is_asked_for_classes=is_asked_for_classes,
        keeps=keeps,
    )
    begin(work)
    return {"backend": "", "inputs": [spec.name for spec in serving.inputs]}


def read(*, texts: list[tuple[str | None, str]], title: str) -> dict[str, Any]:
    """Read the inputs that go together; see `edgekit.run_worker.read`.

    Raises:
        DataError: they cannot be read, or are not what the model takes.
    """
    _there[0].shown = 0
    return run_worker.read(texts=texts, title=title)


def gather() -> None:
    """Have what was read last run with all else; what does not fit is told in its turn."""
    there, title = _there[0], current().title
    try:
        there.calls[title] = _calls(there.session)
    except DataError as error:
        there.results[title] = error


def _calls(session: TargetSession) -> list[Call]:
    work = current()
    assert work.samples is not None
    states = [session.inputs[given] for given, _ in work.serving.states]
    zeros = {
        spec.name: np.zeros([size or 1 for size in spec.shape], result_dtype(spec))
        for spec in states
    }
    calls = []
    start = 0
    while start < work.samples.count:
        given, count = work.call(start)
        for spec in work.serving.inputs:
            if spec.name in session.quantizes_inputs:
                refuse_nan(np.asarray(given[spec.name]), spec)
        session.check(given | zeros)
        calls.append(given | zeros)
        start += count
    return calls


def predict() -> dict[str, Any]:
    """Run all that was gathered; where something fails, each input by itself.

    Raises:
        EdgekitError: the target is gone, or does not take the file.
    """
    there = _there[0]
    try:
        made = iter(there.session.run_each([c for calls in there.calls.values() for c in calls]))
        there.results |= {
            title: [_shown(next(made)) for _ in calls] for title, calls in there.calls.items()
        }
    except (DataError, VerificationError) as error:
        alone: dict[str, list[Call] | EdgekitError] = dict.fromkeys(there.calls, error)
        if len(there.calls) > 1:
            alone = {title: _tried(there, calls) for title, calls in there.calls.items()}
        there.results |= alone
    return {"backend": there.session.runtime, "emulated": is_emulated(there.link)}


def close() -> None:
    """Leave the target."""
    _open.close()


def _tried(there: _There, calls: list[Call]) -> list[Call] | EdgekitError:
    try:
        return [_shown(made) for made in there.session.run_each(calls)]
    except (DataError, VerificationError) as error:
        return error


def _waiting(_: Call) -> Call:
    """The next result of the input that was read last."""
    there = _there[0]
    results = there.results[current().title]
    if isinstance(results, EdgekitError):
        raise results
    there.shown += 1
    return results[there.shown - 1]


def _shown(made: Call) -> Call:
    """Without states, and with half precision as float32, as `edgekit.load` gives it."""
    found = {}
    for spec in current().serving.outputs:
        array = made[spec.name]
        found[spec.name] = array.astype(np.float32) if spec.dtype == "float16" else array
    return found
