"""Latency and memory of model files; the work is done by a plug-in, ``edgekit.benchmarks``."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from importlib.metadata import entry_points
from importlib.util import find_spec
from typing import Any, Protocol

from edgekit.data_name import data_name
from edgekit.errors import MissingDependencyError
from edgekit.progress import Progress

_MISSING = (
    "edgekit: its benchmarks are not installed; run: pip install '.[bench]' in the edgekit checkout"
)
AnyPath = str | os.PathLike[str]

TARGET_PREDICTOR = "edgekit_benchmarks.target_predict_worker"
"""Predicts on targets, for `edgekit.evaluate`."""
TARGET_RUNNER = "edgekit_benchmarks.target_run_worker"
"""Runs files on targets, for ``edgekit run``."""


class BenchmarkResult(Protocol):
    """What was measured; see docs/json.md and `edgekit_benchmarks.result`."""

    settings: Mapping[str, Any]
    targets: Mapping[str, Any]
    """The machines, by the names they were asked for by."""
    rows: tuple[Any, ...]
    """A file with a number of threads on a target each: ``p50_ns``, ``samples_ns``, …"""
    ratios: tuple[Any, ...]
    failures: tuple[Any, ...]
    """What was asked for and could not be measured."""

    @property
    def valid(self) -> bool:
        """Whether nothing is marked as not to be trusted."""

    def to_dict(self) -> dict[str, Any]:
        """Plain data, as the result file has it."""

    def write(self, path: AnyPath, *, force: bool = False) -> None:
        """Put the result file in place.

        Raises:
            OutputError: it exists, or cannot be written.
        """


def bench(
    files: AnyPath | Sequence[AnyPath],
    *,
    on: str | Sequence[str] = "local",
    threads: int | Sequence[int] = 1,
    input: AnyPath | None = None,  # noqa: A002
    preprocess: str | Sequence[str] = (),
    accuracy: AnyPath | None = None,
    processes: int | None = None,
    seconds: float | None = None,
    sustained: bool = False,
    replicate: bool = False,
    resume: bool = False,
    operators: bool = False,
) -> BenchmarkResult:
    """Measure every file with every number of threads on every target, in turn.

        result = edgekit.bench(["mnist.float32.tflite", "mnist.int8.tflite"], threads=[1, 2])

    Args:
        files: ``.tflite``, ``.onnx``, and as the reference ``.keras``.
        on: targets: ``local``, names that ``edgekit targets`` knows, ``ssh://user@host``.
        threads: numbers of threads.
        input: real inputs, a data source as on the command line; by default the golden inputs that
            files carry, else random numbers.
        preprocess: how data becomes input; by default what the files say.
        accuracy: a data source with labels; every file is scored on it.
        processes: how many fresh processes measure; 9 by default, the fewest that two can be told
            by when a process is disturbed.
        seconds: of samples for each row, over all processes.
        sustained: heat up first, and measure the state that lasts.
        replicate: measure everything five times.
        resume: go on where an earlier call with the same arguments was cut off.
        operators: also time the operators of each file.

    Returns:
        The result. A file or target that failed is in its ``failures``; ``valid`` says whether the
        rest can be trusted.

    Raises:
        UsageError: a request that makes no sense.
        EdgekitError: not a single file can be measured.
    """
    given = {
        "files": several(files),
        "on": several(on),
        "threads": (threads,) if isinstance(threads, int) else tuple(threads),
        "input": None if input is None else data_name("input", input),
        "preprocess": several(preprocess),
        "accuracy": None if accuracy is None else data_name("accuracy", accuracy),
        "processes": processes,
        "seconds": seconds,
        "sustained": sustained,
        "replicate": replicate,
        "resume": resume,
        "operators": operators,
    }
    done = plug_in("bench")(given, lambda total: Progress(total=total, enabled=False))
    result: BenchmarkResult = done.result
    return result


def plug_in(name: str) -> Any:
    """What is called `name` in the entry-point group ``edgekit.benchmarks``.

    Raises:
        MissingDependencyError: the benchmarks are not installed.
    """
    found = list(entry_points(group="edgekit.benchmarks", name=name))
    if not found:
        raise MissingDependencyError(_MISSING)
    return found[0].load()


def installed(module: str) -> str:
    """`module`, a part of the benchmarks.

    Raises:
        MissingDependencyError: they are not installed.
    """
    if find_spec(module.partition(".")[0]) is None:
        raise MissingDependencyError(_MISSING)
    return module


def several(given: AnyPath | Sequence[AnyPath]) -> tuple[str, ...]:
    """Paths or names as texts, be it one or many."""
    if isinstance(given, str | os.PathLike):
        return (os.fspath(given),)
    return tuple(os.fspath(one) for one in given)
