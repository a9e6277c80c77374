"""Bring a quantized file back that drifted, by leaving one or two operators in float.

Often one constant is to blame: a BatchNorm that does not fold keeps one scale for all channels,
and near-dead channels blow it up. It is found on the calibration data, without labels: operators
are left in float in groups, then one at a time inside the groups that help most.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from edgekit.compare import Comparison
from edgekit.tolerance import Tolerance, judge

MOST_LEFT_IN_FLOAT = 2
SHARE_OF_SAVING = 0.1
"""Operators left in float may cost at most this share of the bytes that quantization saved."""
_BEST_GROUPS = 2
_HELPS = 0.9
"""A group that does not lower the error to this share is not looked into."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Operator:
    """An operator that may be left in float, and the bytes that would cost."""

    identifier: str
    kind: str
    cost_bytes: int


def find_culprits(
    operators: Sequence[Operator],
    attempt: Callable[[frozenset[str]], Comparison | None],
    *,
    tolerance: Tolerance,
    budget_bytes: float,
    time_s: float,
) -> tuple[Operator, ...] | None:
    """The one or two operators that, left in float, make the file pass; None if there are none.

    `attempt` quantizes with the named operators left in float and compares with the reference;
    None when that cannot be made. At most `time_s` seconds are spent.
    """
    deadline = time.monotonic() + time_s
    affordable = [op for op in operators if op.cost_bytes <= budget_bytes]

    def error_with(chosen: Sequence[Operator]) -> tuple[float, bool]:
        if time.monotonic() > deadline:
            return math.inf, False
        comparison = attempt(frozenset(op.identifier for op in chosen))
        if comparison is None:
            return math.inf, False
        return comparison.relative_error, judge(comparison, tolerance).status == "passed"

    start, passed = error_with(())
    if passed:
        return ()
    kept: tuple[Operator, ...] = ()
    for _ in range(MOST_LEFT_IN_FLOAT):
        spent = sum(op.cost_bytes for op in kept)
        rest = [op for op in affordable if op not in kept and op.cost_bytes + spent <= budget_bytes]
        best = _best_single(rest, kept, error_with, start)
        if best is None:
            return None
        error, operator, done = best
        kept, start = (*kept, operator), error
        if done:
            return kept
    return None


def _best_single(
    operators: Sequence[Operator],
    kept: tuple[Operator, ...],
    error_with: Callable[[Sequence[Operator]], tuple[float, bool]],
    start: float,
) -> tuple[float, Operator, bool] | None:
    """The operator that lowers the error most when left in float as well, or the first that heals.

    Groups and operators are tried from the end: what is left of a prediction is decided there.
    """
    size = max(1, math.isqrt(len(operators)))
    last_first = list(operators)[::-1]
    groups = [last_first[i : i + size] for i in range(0, len(last_first), size)]
    scored: list[tuple[float, int]] = []
    for i, group in enumerate(groups):
        error, passed = error_with((*kept, *group))
        if passed:
            scored = [(error, i)]
            break
        scored.append((error, i))
    helpful = sorted(item for item in scored if item[0] < _HELPS * start)[:_BEST_GROUPS]
    best: tuple[float, Operator, bool] | None = None
    for _, i in helpful:
        for operator in groups[i]:
            error, passed = error_with((*kept, operator))
            if error < start and (best is None or error < best[0]):
                best = (error, operator, passed)
            if passed:
                return error, operator, True
    return best
