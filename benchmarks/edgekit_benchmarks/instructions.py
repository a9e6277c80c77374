"""Counts of instructions by class, as an emulated board gives them: no time follows from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from edgekit_benchmarks.report_numbers import share

TOTAL = "total"
CLASSES = (
    "dot",
    "matrix",
    "widening_multiply",
    "pairwise_add",
    "float32_multiply_add",
    "float16_multiply_add",
    "simd_other",
    "simd_load",
    "simd_store",
    "load",
    "store",
    "branch",
    "integer",
    "other",
)
"""As `instruction_class.h` names them."""
ALIKE = 0.0005
"""Counts that differ by no more are the same work: where things lie in memory may make that."""
PROCESSES = 2
CALLS = 5
_MOST_CLASSES = 5


def fewest(answers: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """Of all counted calls of a row, the one with the fewest: what others did more is not its work.

    Args:
        answers: of the processes that counted it.
    """
    calls = [call for answer in answers for call in answer["calls"]]
    found = min(calls, key=lambda call: int(call[TOTAL]))
    return {name: int(found[name]) for name in (TOTAL, *CLASSES)}


def per_call(answers: Sequence[Mapping[str, Any]]) -> tuple[tuple[int, ...], ...]:
    """The totals of the calls of each process, in order."""
    return tuple(tuple(int(call[TOTAL]) for call in answer["calls"]) for answer in answers)


def disagreement(totals: Sequence[Sequence[float]]) -> float:
    """By what share the processes' fewest differ."""
    each = [min(of_process) for of_process in totals if of_process]
    if not each or not all(each):
        return 0.0
    return max(each) / min(each) - 1


def count_text(count: float) -> str:
    """For people.

    >>> [count_text(n) for n in (950, 6_437, 3_196_465, 123_400_000, 4_200_000_000)]
    ['950', '6.44 k', '3.196 M', '123.4 M', '4.200 G']
    """
    for unit, divisor in (("G", 1e9), ("M", 1e6)):
        if count >= divisor:
            whole = len(str(int(count / divisor)))
            return f"{count / divisor:.{max(0, 4 - whole)}f} {unit}"
    return f"{count / 1e3:.2f} k" if count >= 1e3 else f"{count:.0f}"


def shares_text(counts: Mapping[str, int]) -> str:
    """What they are, the most frequent first.

    >>> shares_text({"total": 10, "dot": 6, "load": 3, "other": 1})
    '60.0 % dot, 30.0 % load, 10.0 % other'
    """
    total = counts.get(TOTAL) or 1
    named = {name: counts[name] for name in CLASSES if counts.get(name)}
    ordered = sorted(named, key=lambda name: -named[name])
    told = [f"{share(named[name] / total)} {name}" for name in ordered[:_MOST_CLASSES]]
    rest = sum(named[name] for name in ordered[_MOST_CLASSES:])
    return ", ".join([*told, *([f"{share(rest / total)} others"] if rest else [])])
