"""Percentiles of raw samples, whatever their distribution, and intervals that hold the true ones.

A percentile is a sample (nearest rank), never a number between two. Its interval is from order
statistics: of n independent samples the number below the true p-quantile is Binomial(n, p), so the
k-th and the m-th smallest enclose it with the probability that this number is at least k and less
than m. That is exact, and assumes no shape.

Samples of one process are alike in more than chance (memory layout, placement), so over several
processes the process is the unit: `of_processes`.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import chain

CONFIDENCE = 0.95
_SUPPORT_CONFIDENCE = 0.99
_BEYOND = 2
"""A percentile stands on samples beyond it: at least so many, with `_SUPPORT_CONFIDENCE`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Enclosed:
    """A value, and the order statistics that enclose the true one."""

    value: float
    low: float
    high: float
    confidence: float
    """What the interval really has: at least 0.95 where the count allows it, else less."""


def enough_processes() -> int:
    """How many processes it takes to enclose a median, or a ratio in turn, with 95 %.

    All of n observations lie on one side of the true median with a probability of ``2 / 2**n``.

    >>> enough_processes()
    6
    """
    return next(count for count in range(1, 64) if 2 * 0.5**count <= 1 - CONFIDENCE)


@cache
def needed(percent: float) -> int:
    """How many samples it takes to print the percentile.

    So many that, with a confidence of 99 %, two or more lie beyond the true one; then no single
    odd sample decides. That is the smallest n with ``q**n + n·(1 - q)·q**(n - 1) <= 0.01`` for the
    share ``q`` on the percentile's near side: the count at which MLPerf's early stopping bears the
    first sample beyond.

    >>> needed(50), needed(90), needed(99)
    (11, 64, 662)
    """
    q = max(percent, 100 - percent) / 100
    count = _BEYOND
    while q**count + count * (1 - q) * q ** (count - 1) > 1 - _SUPPORT_CONFIDENCE:
        count += 1
    return count


def is_supported(percent: float, count: int) -> bool:
    """Whether `count` samples support the percentile.

    >>> is_supported(90, 63), is_supported(90, 64)
    (False, True)
    """
    return count >= needed(percent)


def nearest_rank(samples: Sequence[float], percent: float) -> float:
    """The smallest sample with at least `percent` % of all at or below it.

    >>> nearest_rank([40, 10, 30, 20], 50), nearest_rank([40, 10, 30, 20], 90)
    (20, 40)
    """
    ordered = sorted(samples)
    return ordered[max(0, math.ceil(percent * len(ordered) / 100 - 1e-9) - 1)]


def of_samples(samples: Sequence[float], percent: float) -> Enclosed:
    """The percentile of independent samples, as those of one process are nearly.

    >>> of_samples(range(1, 101), 50)
    Enclosed(value=50, low=40, high=61, confidence=0.9647998)
    """
    ordered = sorted(samples)
    low, high, confidence = _ranks(len(ordered), percent / 100)
    value = nearest_rank(ordered, percent)
    return Enclosed(
        value=value,
        low=min(value, ordered[low]),
        high=max(value, ordered[high]),
        confidence=confidence,
    )


def of_medians(observations: Sequence[float]) -> Enclosed:
    """The median of a few observations, one a process; second smallest to second largest of nine.

    >>> of_medians([5, 1, 3, 2, 4, 9, 8, 7, 6])
    Enclosed(value=5, low=2, high=8, confidence=0.9609375)
    """
    ordered = sorted(observations)
    cut, confidence = _cut(len(ordered))
    return Enclosed(
        value=statistics.median(ordered),
        low=ordered[cut],
        high=ordered[-1 - cut],
        confidence=confidence,
    )


def of_processes(runs: Sequence[Sequence[float]], percent: float) -> Enclosed:
    """The percentile of all samples; the interval is over the percentiles of the processes.

    It is widened to hold the value where processes of unlike length put that outside.

    >>> of_processes([[1, 2, 3]] * 5 + [[2, 3, 4]] * 4, 50)
    Enclosed(value=2, low=2, high=3, confidence=0.9609375)
    """
    value = nearest_rank(list(chain.from_iterable(runs)), percent)
    middle = of_medians([nearest_rank(run, percent) for run in runs])
    return Enclosed(
        value=value,
        low=min(value, middle.low),
        high=max(value, middle.high),
        confidence=middle.confidence,
    )


@cache
def _cut(count: int) -> tuple[int, float]:
    """How many to leave out at either end, and the confidence of what is left."""
    tail = 0.5**count
    cut, kept = 0, tail
    for number in range(1, (count + 1) // 2):
        tail += math.comb(count, number) * 0.5**count
        if 2 * tail > 1 - CONFIDENCE:
            break
        cut, kept = number, tail
    return cut, max(0.0, 1 - 2 * kept)


@cache
def _ranks(count: int, p: float) -> tuple[int, int, float]:
    """Indices of the order statistics that enclose the p-quantile, equal tails, and confidence."""
    below = [0.0]
    for number in range(count + 1):  # P(fewer than `number` samples lie below the quantile)
        log = (
            math.lgamma(count + 1) - math.lgamma(number + 1) - math.lgamma(count - number + 1)
            + number * math.log(p) + (count - number) * math.log1p(-p)
        )  # fmt: skip
        below.append(below[-1] + math.exp(log))
    tail = (1 - CONFIDENCE) / 2
    low = max((k for k in range(count) if below[k + 1] <= tail), default=0)
    high = min((m for m in range(count) if 1 - below[m + 1] <= tail), default=count - 1)
    return low, high, round(max(0.0, below[high + 1] - below[low + 1]), 7)
