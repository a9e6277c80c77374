"""Ways of doing the same thing, timed in turn: how far they are apart, and how sure that is.

A machine is slower in one second than in the next. So the ways take turns, many times, and what is
looked at is the difference (or ratio) within each turn: what slows a whole turn cancels out.
"""

from __future__ import annotations

import gc
import math
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

Block = Callable[[int], object]
"""Does something as often as it is told; the loop is inside, so that no call of ours is timed."""

_DOUBT = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Median:
    """The median of many observations, and an interval that holds the true one in 95 of 100."""

    value: float
    low: float
    high: float

    @classmethod
    def of(cls, observations: Sequence[float]) -> Median:
        """By order statistics, so whatever the distribution.

        With fewer than six observations the interval is from the smallest to the largest.

        >>> Median.of([1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0])
        Median(value=5.0, low=2.0, high=8.0)
        """
        ordered = sorted(observations)
        count = len(ordered)
        below, tail = 0, 0.0
        for number in range(count // 2):
            tail += math.comb(count, number) / 2**count
            if 2 * tail > _DOUBT:
                break
            below = number
        return cls(
            value=statistics.median(ordered), low=ordered[below], high=ordered[count - 1 - below]
        )


def differences(ours: Sequence[float], theirs: Sequence[float]) -> Median:
    """How much more `ours` are, turn by turn."""
    return Median.of([mine - other for mine, other in zip(ours, theirs, strict=True)])


def ratios(ours: Sequence[float], theirs: Sequence[float]) -> Median:
    """How many times `theirs` are `ours`, turn by turn."""
    return Median.of([mine / other for mine, other in zip(ours, theirs, strict=True)])


def take_turns(
    ways: Mapping[str, Block], *, turns: int, turn_s: float = 0.002
) -> dict[str, list[float]]:
    """Nanoseconds of one call of each way, once for every turn.

    In a turn each way is called as often as the slowest way can be in `turn_s`, in an order that
    rotates. The garbage collector rests meanwhile.

    Args:
        ways: what to time.
        turns: how many values to take of each.
        turn_s: how long a way is called in one turn.
    """
    names = list(ways)
    calls = min(_calls(ways[name], turn_s) for name in names)
    taken: dict[str, list[float]] = {name: [] for name in names}
    collects = gc.isenabled()
    gc.disable()
    try:
        for turn in range(turns):
            first = turn % len(names)
            for name in names[first:] + names[:first]:
                block = ways[name]
                block(1 + calls // 20)  # the caches still hold what the way before needed
                started = time.perf_counter_ns()
                block(calls)
                taken[name].append((time.perf_counter_ns() - started) / calls)
    finally:
        if collects:
            gc.enable()
    return taken


def _calls(block: Block, turn_s: float) -> int:
    """How often `block` can do it in `turn_s`."""
    block(3)
    best = math.inf
    for _ in range(5):
        started = time.perf_counter()
        block(3)
        best = min(best, (time.perf_counter() - started) / 3)
    return max(1, round(turn_s / best))
