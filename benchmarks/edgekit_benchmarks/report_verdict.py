"""The outcome of a benchmark in sentences, no bolder than its intervals."""

from __future__ import annotations

from collections.abc import Sequence

from edgekit_benchmarks.instructions import TOTAL, count_text
from edgekit_benchmarks.report_numbers import duration, enclosed
from edgekit_benchmarks.report_rows import (
    EMULATED,
    Against,
    against,
    file_names,
    is_emulated,
    machine,
    names,
    threads_text,
    words,
)
from edgekit_benchmarks.result import BenchmarkResult

_ORDER = {"faster": 0, "slower": 2}
_MOST = 8
"""More comparisons than that are for the table."""


def sentences(result: BenchmarkResult) -> tuple[str, ...]:
    """One or two for each target, in the order of the targets."""
    told: list[str] = []
    for name in result.targets:
        rows = [i for i, row in enumerate(result.rows) if row.target == name]
        told += _of_target(result, name, rows)
    if not result.rows:
        told.append("Nothing was measured.")
    return tuple(told)


def _of_target(result: BenchmarkResult, name: str, rows: Sequence[int]) -> list[str]:
    target = result.targets[name]
    where = machine(name, target)
    if not rows:
        return [f"Nothing was measured on {where}."] if len(result.targets) > 1 else []
    if target.emulated:
        return [_counted(result, rows, where)]
    if not any(result.rows[i].valid for i in rows):
        return [f"INVALID: what was measured on {where} must not be used."]
    compared = [
        one
        for one in (against(result, i) for i in rows)
        if one is not None and one.verdict != "invalid"
    ]
    invalid = sum(not result.rows[i].valid for i in rows)
    warned = [f"INVALID, not to be used: {invalid} of {len(rows)} rows."] if invalid else []
    if not compared:
        return [_fastest(result, rows, where), *warned]
    compared.sort(key=lambda one: (_ORDER.get(one.verdict, 1), one.value))
    by_name: dict[str, list[Against]] = {}
    for one in sorted(compared, key=lambda one: _first(result, rows, one)):
        by_name.setdefault(result.rows[one.row].name, []).append(one)
    groups = [sorted(group, key=compared.index) for group in by_name.values()]
    if len({result.rows[one.to].name for one in compared}) < len(groups):
        groups = [compared]  # different models are compared with each other
    comma = "," if groups[0][0].is_open else ""
    told = [f"{_told(result, groups[0][0])}{comma} on {where}."]
    rest = groups[0][1:] if len(groups) == 1 else [group[0] for group in groups[1:]]
    if 0 < len(rest) < _MOST:
        there = f"Also on {name}: " if len(result.targets) > 1 else ""
        told.append(there + "; ".join(_told(result, one) for one in rest) + ".")
    return [*told, *warned]


def _first(result: BenchmarkResult, rows: Sequence[int], one: Against) -> int:
    """Where the row's model is first named."""
    return next(i for i in rows if result.rows[i].name == result.rows[one.row].name)


def _told(result: BenchmarkResult, one: Against) -> str:
    row = result.rows[one.row]
    several = len({one.threads for one in result.rows}) > 1
    name = file_names(result)[one.row] + (f" with {threads_text(row.threads)}" if several else "")
    verdict, rest = words(result, one)
    return f"{name}{':' if one.is_open else ' is'} {verdict} {rest}"


def _fastest(result: BenchmarkResult, rows: Sequence[int], where: str) -> str:
    named = names(result)
    best = min((i for i in rows if result.rows[i].valid), key=lambda i: result.rows[i].p50_ns)
    found = result.rows[best].of_percentile(50)
    took = duration(result.rows[best].p50_ns) if found is None else enclosed(found)
    name = named[best].removesuffix(f" on {result.rows[best].target}")
    threads = threads_text(result.rows[best].threads)
    with_threads = "" if threads in name else f" with {threads}"
    return f"{name} takes {took} an inference{with_threads} on {where}."


def _counted(result: BenchmarkResult, rows: Sequence[int], where: str) -> str:
    """The file with the fewest instructions; no time follows from that."""
    counts = {i: given[TOTAL] for i in rows if (given := result.rows[i].instructions) is not None}
    if not counts:
        return f"{_capital(where)} is {EMULATED}."
    best = min(counts, key=lambda i: counts[i])
    name = names(result)[best].removesuffix(f" on {result.rows[best].target}")
    least = "the fewest, " if len(counts) > 1 else ""
    return (
        f"{name} takes {least}{count_text(counts[best])} instructions an inference on {where}, "
        f"{EMULATED}."
    )


def _capital(text: str) -> str:
    """Sentences begin so; names of files stay as they are."""
    return text[:1].upper() + text[1:] if text.startswith(("this ", "nothing ")) else text


def is_trusted(result: BenchmarkResult) -> bool:
    """Whether nothing is INVALID but what an emulator cannot tell anyway."""
    return all(row.valid or is_emulated(result, row) for row in result.rows) and all(
        target.valid or target.emulated for target in result.targets.values()
    )
