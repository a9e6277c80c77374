"""What to measure on a target, in which order and for how long.

A row is a file with a number of threads. All rows start in fresh processes of their own, in turn
(phases and memory). Then come the processes that take latencies: each holds all rows of a group,
which take turns in it; groups, where there are several, take turns too, forwards and backwards.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from edgekit_benchmarks.bench_request import LOCAL, BenchRequest
from edgekit_benchmarks.input_rows import Feed
from edgekit_benchmarks.instructions import CALLS
from edgekit_benchmarks.instructions import PROCESSES as COUNT_PROCESSES
from edgekit_benchmarks.model_file import ModelFile

WARM_UP_S = 0.25
CHUNK_S = 0.05
_START_INFERENCES = 4
_START_LIMIT_S = 900.0
_PROCESS_S = 0.8
"""A guess at what a process takes that does nothing."""
_COUNT_S = 10.0
_SHARE_OF_MEMORY = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedRow:
    """A file with a number of threads."""

    key: str
    """Of the row, within a call of bench."""
    file: ModelFile
    feed: Feed
    threads: int

    @property
    def label(self) -> str:
        """For people."""
        return f"{self.file.path.name}, {self.threads} thread{'' if self.threads == 1 else 's'}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The rows to measure on one target, and how."""

    target: str
    rows: tuple[PlannedRow, ...]
    starts: int
    processes: int
    seconds: float
    tries: int = 1
    sustained: bool = False
    operators: bool = False
    counts: bool = False
    """Instructions are counted, and nothing is timed: an emulated board."""

    @property
    def steps(self) -> int:
        """How many steps of progress it takes."""
        if self.counts:
            return COUNT_PROCESSES
        return self.tries * (self.starts + self.processes) + self.sustained + self.operators

    @property
    def budget_s(self) -> float:
        """Of samples for a row in one process."""
        return self.seconds / self.processes

    def fingerprint(self, worker_sha256: str) -> str:
        """The same for the same measurements: of these files with these settings, there."""
        told = {
            "target": self.target,
            "worker": worker_sha256,
            "settings": [self.starts, WARM_UP_S, CHUNK_S, self.processes, self.seconds],
            "tries": self.tries,
            "sustained": self.sustained,
            "counts": self.counts and CALLS,
            "rows": [
                [row.key, row.file.sha256, row.threads, row.feed.record.to_dict()]
                for row in self.rows
            ],
        }
        return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()

    def guessed_s(self, rows: float) -> dict[str, float]:
        """Roughly how long a process takes, by its kind, with so many rows of quick models."""
        return {
            "start": _PROCESS_S,
            "steady": _PROCESS_S + rows * (WARM_UP_S + self.budget_s),
            "count": _COUNT_S,
        }


def make_plan(
    request: BenchRequest,
    target: str,
    files: Sequence[ModelFile],
    feeds: Mapping[str, Feed],
    *,
    counts: bool = False,
) -> Plan:
    """Files x threads; Keras models only here, as the reference.

    Args:
        request: what was asked for.
        target: where.
        files: those that could be read.
        feeds: their inputs, by the files' sha256.
        counts: count instructions instead of taking times; with one thread, as threads that wait
            for each other execute instructions, too.
    """
    rows = [
        PlannedRow(key=f"{number}x{threads}", file=file, feed=feeds[file.sha256], threads=threads)
        for number, file in enumerate(files)
        for threads in dict.fromkeys((1,) if counts else request.threads)
        if file.kind != "keras" or target == LOCAL
    ]
    return Plan(
        target=target,
        rows=tuple(rows),
        starts=request.starts,
        processes=request.processes,
        seconds=request.seconds,
        tries=request.tries,
        sustained=request.sustained,
        operators=request.operators and not counts,
        counts=counts,
    )


def groups_of(
    rows: Sequence[PlannedRow], memory_bytes: Mapping[str, int | None], available_bytes: int | None
) -> list[list[PlannedRow]]:
    """Rows that share a process: as many as fit into a quarter of the memory.

    Args:
        rows: that are to be measured.
        memory_bytes: what the start of each row showed that its model needs, by key.
        available_bytes: of the target; None where it does not tell.

    Returns:
        Every row once. Keras rows are apart: TensorFlow fixes its threads once for a process, and
        keeps threads of its own, which disturb the others.
    """
    room = (available_bytes or 4 << 30) // _SHARE_OF_MEMORY
    groups: dict[int, list[list[PlannedRow]]] = {}
    used: dict[int, int] = {}
    for row in rows:
        apart = row.threads if row.file.kind == "keras" else 0
        needed = memory_bytes.get(row.key) or 2 * row.file.size_bytes
        listed = groups.setdefault(apart, [])
        if not listed or used[id(listed[-1])] + needed > room:
            listed.append([])
            used[id(listed[-1])] = 0
        listed[-1].append(row)
        used[id(listed[-1])] += needed
    return [group for listed in groups.values() for group in listed]


def in_turn(rows: Sequence[PlannedRow], number: int) -> list[PlannedRow]:
    """Another order for each process: none is always first, or always after the same.

    >>> [in_turn("abc", number) for number in range(4)]
    [['a', 'b', 'c'], ['a', 'c', 'b'], ['b', 'c', 'a'], ['b', 'a', 'c']]
    """
    shift = number // 2 % len(rows)
    turned = [*rows[shift:], *rows[:shift]]
    return turned if number % 2 == 0 else [turned[0], *reversed(turned[1:])]


def start_spec(row: PlannedRow, paths: Mapping[str, str]) -> dict[str, Any]:
    """What the worker is asked for a start.

    Args:
        row: the row.
        paths: of files and inputs on the target, by sha256.
    """
    return {
        "mode": "start",
        "row": _row_spec(row, paths),
        "inputs": _inputs_of(row, paths),
        "inferences": _START_INFERENCES,
    }


def count_spec(row: PlannedRow, paths: Mapping[str, str]) -> dict[str, Any]:
    """What the worker is asked for counts of instructions.

    Args:
        row: the row.
        paths: of files and inputs on the target, by sha256.
    """
    return {
        "mode": "count",
        "row": _row_spec(row, paths),
        "inputs": _inputs_of(row, paths),
        "calls": CALLS,
    }


def steady_spec(
    rows: Sequence[PlannedRow],
    paths: Mapping[str, str],
    *,
    repeats: Mapping[str, int],
    budget_s: float,
) -> dict[str, Any]:
    """What the worker is asked for latencies.

    Args:
        rows: that share the process.
        paths: of files and inputs on the target, by sha256.
        repeats: how many inferences make a sample, as an earlier process found, by key.
        budget_s: for each row.
    """
    return {
        "mode": "steady",
        "rows": [_row_spec(row, paths) | {"repeats": repeats.get(row.key)} for row in rows],
        "inputs": _inputs_of(rows[0], paths),
        "warm_up_s": WARM_UP_S,
        "chunk_s": CHUNK_S,
        "budget_s": budget_s,
    }


def limit_s(rows: Sequence[PlannedRow], quick_s: Mapping[str, float], budget_s: float) -> float:
    """How long a process may take before it is said to hang: generous, but not for ever.

    Args:
        rows: that share the process.
        quick_s: load and first inference of each, as its start showed, by key.
        budget_s: for each row; 0 for a start.
    """
    if not budget_s:
        return _START_LIMIT_S
    inferences = 12
    known = sum(inferences * quick_s.get(row.key, 1.0) for row in rows)
    return 120 + 4 * (known + len(rows) * (WARM_UP_S + budget_s))


def _row_spec(row: PlannedRow, paths: Mapping[str, str]) -> dict[str, Any]:
    return {
        "key": row.key,
        "path": paths[row.file.sha256],
        "sha256": row.file.sha256,
        "threads": row.threads,
        "runtime": "auto",
        "zeros": list(row.file.states),
        "inputs": _inputs_of(row, paths),
    }


def _inputs_of(row: PlannedRow, paths: Mapping[str, str]) -> str | None:
    return None if row.feed.path is None else paths[row.feed.record.sha256]
