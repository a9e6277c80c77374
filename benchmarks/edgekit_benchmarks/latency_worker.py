"""Served in a child process without TensorFlow: time several model files in turn."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import numpy as np

from edgekit.child_main import tell
from edgekit.sessions import Session, open_session
from edgekit.sessions.quantized import stored

_WARM_UP_S = 0.1
_SAMPLE_S = 0.002
_AGAIN = 5
"""Inferences before each value that do not count: the caches still hold another file's weights."""


def latency(paths: list[str], samples: str, count: int, threads: int) -> dict[str, list[float]]:
    """Nanoseconds of one inference for each file: `count` values each, taken in turn.

    Each value is the mean of so many inferences in a row as take two milliseconds; the files take
    turns after every value, so that a drift of the machine hits all alike. `samples` is an .npz
    with one array per input, shape (n, *input shape); each inference takes the next one.
    """
    with np.load(samples, allow_pickle=False) as archive:
        arrays = {name: archive[name] for name in archive.files}
    with ExitStack() as stack:
        calls: dict[str, Callable[[int], None]] = {}
        repeats: dict[str, int] = {}
        for path in paths:
            session = stack.enter_context(open_session(path, threads=threads))
            calls[path] = _call(session, arrays)
            repeats[path] = _warm_up(calls[path])
        values: dict[str, list[float]] = {path: [] for path in paths}
        for turn in range(count):
            tell(f"{turn + 1} of {count}")
            order = paths if turn % 2 == 0 else paths[::-1]
            for path in order:
                values[path].append(_timed(calls[path], repeats[path]))
    return values


def _call(session: Session, arrays: dict[str, Any]) -> Callable[[int], None]:
    """One inference on the stored data types: what the file costs, not what wraps it."""
    if len(arrays) == len(session.inputs) == 1:
        arrays = {session.inputs[0].name: next(iter(arrays.values()))}
    rows = [
        {spec.name: stored(arrays[spec.name][i], spec) for spec in session.inputs}
        for i in range(len(next(iter(arrays.values()))))
    ]

    def call(index: int) -> None:
        session.run(rows[index % len(rows)])

    return call


def _warm_up(call: Callable[[int], None]) -> int:
    """Run for a fixed time; how many inferences take `_SAMPLE_S`."""
    started = time.perf_counter()
    done = 0
    while time.perf_counter() - started < _WARM_UP_S:
        call(done)
        done += 1
    return max(1, round(done * _SAMPLE_S / _WARM_UP_S))


def _timed(call: Callable[[int], None], repeats: int) -> float:
    for i in range(_AGAIN):
        call(i)
    started = time.perf_counter_ns()
    for i in range(repeats):
        call(i)
    return (time.perf_counter_ns() - started) / repeats
