"""Latency of the files of both models, by one benchmark in which they take turns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from edgekit import benchmarking
from edgekit.errors import EdgekitError, MissingDependencyError
from edgekit.progress import Progress
from edgekit.prune_verdict import LatencyRatio

SECONDS = 2.0
"""Of samples for each file; with starting and warming up, four take about 25 s."""
_NOT_INSTALLED = "the benchmarks are not installed; run: pip install '.[bench]'"
_MEANINGS = ("faster", "slower", "no difference shown")


@dataclass(frozen=True, slots=True, kw_only=True)
class Latencies:
    """Medians and their ratios; or why there are none."""

    p50_ns: Mapping[str, float] = field(default_factory=dict)
    """By path."""
    ratios: Mapping[tuple[str, str], LatencyRatio] = field(default_factory=dict)
    """Of a file to an earlier one, by both paths."""
    distrusted: Mapping[str, str] = field(default_factory=dict)
    """By path, why its times must not be believed."""
    reason: str = ""
    processes: int = 0
    doubts: tuple[str, ...] = ()

    def ratio(self, pruned: Path, original: Path) -> tuple[LatencyRatio | None, str]:
        """How long one takes compared with the other; else None, and why."""
        found = self.ratios.get((str(pruned), str(original)))
        for path in (original, pruned):
            if str(path) in self.distrusted:
                return None, f"not to be trusted: {self.distrusted[str(path)]}"
        if found is None:
            return None, self.reason or "one of the files gave no times"
        if found.meaning not in _MEANINGS:
            return None, found.meaning
        return found, ""


def measure(
    files: Sequence[Path],
    progress: Progress,
    *,
    on: str | None = None,
    seconds: float = SECONDS,
    processes: int | None = None,
) -> Latencies:
    """Measure `files` in turn, in fresh processes; what fails is the reason in the result.

    Args:
        files: ``.tflite`` files; ratios are of each to every earlier one.
        progress: told what is done.
        on: a target, as of ``edgekit bench``; None for here.
        seconds: of samples for each file.
        processes: how many; 9 by default.
    """
    given = {
        "files": benchmarking.several(files),
        "on": None if on is None else (on,),
        "seconds": seconds,
        "processes": processes,
        "starts": 1,  # memory and start-up are not asked for
    }
    try:
        result = benchmarking.plug_in("bench")(given, lambda _total: progress).result
    except MissingDependencyError:
        return Latencies(reason=_NOT_INSTALLED)
    except EdgekitError as error:
        return Latencies(reason=str(error))
    rows = [row.path for row in result.rows]
    machine = next(iter(result.targets.values()), None)
    failure = result.failures[0].error if result.failures else ""
    return Latencies(
        p50_ns={row.path: row.p50_ns for row in result.rows if row.valid and row.samples_ns},
        ratios={
            (rows[one.row], rows[one.to]): LatencyRatio(
                value=one.value, low=one.low, high=one.high, meaning=one.verdict
            )
            for one in result.ratios
        },
        distrusted={row.path: _why(row.doubts) for row in result.rows if not row.valid},
        reason=failure,
        processes=max((row.processes for row in result.rows), default=0),
        doubts=tuple(f"latency: {doubt}" for doubt in machine.doubts) if machine else (),
    )


def _why(doubts: Sequence[str]) -> str:
    """The doubt that makes it invalid."""
    invalid = [doubt for doubt in doubts if doubt.startswith("INVALID")]
    return (invalid or list(doubts) or ["the measurement is invalid"])[0].removeprefix("INVALID: ")
