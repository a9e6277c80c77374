"""Steady latencies: all rows in one process, taking turns A B B A, chunk by chunk."""

from __future__ import annotations

import gc
import math
import resource
import time
from typing import TYPE_CHECKING, Any

from .inputs import read_arrays
from .loaded import Loaded
from .timing import empty_call_ns, reference_ns, timed, timer_ns
from .watch import ClockWatch

if TYPE_CHECKING:
    from collections.abc import Callable

_SETTLE = 5
_SETTLE_NS = 5_000_000
_TICKS_A_SAMPLE = 1000
_LEAST_ROUNDS = 2
"""A B and B A: the least that is fair."""
_TELL_NS = 10**9


def measure(spec: dict[str, Any], tell: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    """Measure the rows of `spec`.

    Args:
        spec: ``rows``, ``inputs`` (path or None), ``warm_up_s``, ``chunk_s``, ``budget_s`` a row.
            A row may have ``inputs`` of its own. Its ``repeats`` says how many inferences a sample
            has, as an earlier run found.
        tell: says to the agent what is done now.

    Returns:
        ``rows`` by their keys, ``timer_ns``, ``empty_call_ns``, ``reference_ns`` (one a round),
        ``clock_events``.

    Raises:
        Refused: a file does not load, or does not run.
    """
    clocks = ClockWatch()
    timer = timer_ns()
    paths = [row.get("inputs", spec.get("inputs")) for row in spec["rows"]]
    arrays = {path: read_arrays(path) for path in dict.fromkeys(paths)}
    loaded = [Loaded(row, tell) for row in spec["rows"]]
    for one, path in zip(loaded, paths):  # noqa: B905
        one.check()
        one.told("load")
        one.load()
        one.bind(arrays[path])
    del arrays
    gc.collect()
    gc.disable()
    turns = [Turn(one, spec, timer) for one in loaded]
    for turn in turns:
        turn.warm_up()
    tell({"phase": "steady"})
    empty = empty_call_ns()
    references = _take_turns(turns, tell)
    return {
        "rows": {turn.key: turn.answer() for turn in turns},
        "timer_ns": timer,
        "empty_call_ns": empty,
        "reference_ns": references,
        "clock_events": clocks.jumps(),
    }


def _take_turns(turns: list[Turn], tell: Callable[[dict[str, Any]], None]) -> list[int]:
    """Until all are done; what the reference loop took before each round."""
    references = []
    told_ns = time.perf_counter_ns()
    done = 0
    while done < _LEAST_ROUNDS or not all(turn.progress >= 1 for turn in turns):
        references.append(reference_ns())
        for turn in turns if done % 2 == 0 else reversed(turns):
            if done < _LEAST_ROUNDS or turn.progress < 1:
                turn.take()
            if time.perf_counter_ns() - told_ns > _TELL_NS:  # between chunks, so nothing is timed
                told_ns = time.perf_counter_ns()
                part = sum(one.progress for one in turns) / len(turns)
                tell({"event": {"kind": "progress", "done": round(part, 3)}})
        done += 1
    return references


class Turn:
    """One row's share of a steady run."""

    def __init__(self, loaded: Loaded, spec: dict[str, Any], timer: int) -> None:
        """Nothing is run yet."""
        self.key: str = loaded.row["key"]
        self._loaded = loaded
        self._timer_ns = timer
        self._warm_up_ns = int(spec.get("warm_up_s", 0.5) * 1e9)
        self._chunk_ns = int(spec.get("chunk_s", 0.05) * 1e9)
        self._budget_ns = max(1, int(spec.get("budget_s", 1.0) * 1e9))
        self._at = self._spent_ns = self._cpu_ns = self._preempted = self._faults = 0
        self._repeats = self._typical_ns = 1
        self._warm_up: list[int] = []
        self._samples: list[int] = []
        self._stamps: list[int] = []
        self._chunks: list[int] = []

    @property
    def progress(self) -> float:
        """The part of the budget that is spent: 1 when it is done."""
        return min(1.0, self._spent_ns / self._budget_ns)

    def warm_up(self) -> None:
        """For a fixed time, and kept; it tells how many inferences a sample needs for the timer."""
        one = self._loaded
        one.told("warm-up")
        with one.errors("run"):
            self._warm_up, self._at = timed(one.call, one.feeds, 0, 1, self._warm_up_ns)
        late = sorted(self._warm_up[len(self._warm_up) // 2 :])
        self._typical_ns = max(1, late[len(late) // 2])
        quick = max(1, late[len(late) // 10])  # the machine may be slower now than later
        enough = math.ceil(_TICKS_A_SAMPLE * self._timer_ns / quick)
        self._repeats = int(one.row.get("repeats") or max(1, enough))

    def take(self) -> None:
        """One chunk; before it a few that do not count, while the caches hold something else."""
        one = self._loaded
        begun = time.perf_counter_ns()
        with one.errors("run"):
            if self._typical_ns < self._chunk_ns // 2:
                for _ in range(_SETTLE):
                    one.call(one.feeds[self._at % len(one.feeds)])
                    if time.perf_counter_ns() - begun > _SETTLE_NS:
                        break
            used, cpu_ns = resource.getrusage(resource.RUSAGE_SELF), time.process_time_ns()
            self._stamps.append(time.perf_counter_ns())
            samples, self._at = timed(one.call, one.feeds, self._at, self._repeats, self._chunk_ns)
            self._cpu_ns += time.process_time_ns() - cpu_ns
            after = resource.getrusage(resource.RUSAGE_SELF)
        self._preempted += after.ru_nivcsw - used.ru_nivcsw
        self._faults += after.ru_majflt - used.ru_majflt
        self._samples.extend(samples)
        self._chunks.append(len(samples))
        self._spent_ns += time.perf_counter_ns() - begun

    def answer(self) -> dict[str, Any]:
        """The raw numbers, in order."""
        return {
            "runtime": self._loaded.runtime_version,
            "samples_ns": self._samples,
            "stamps_ns": self._stamps,
            "chunks": self._chunks,
            "repeats": self._repeats,
            "warm_up_ns": self._warm_up,
            "cpu_ns": self._cpu_ns,
            "preempted": self._preempted,
            "major_faults": self._faults,
            "input_rows": len(self._loaded.feeds),
        }
