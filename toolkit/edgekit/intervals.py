"""Confidence intervals of what was measured on a sample."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """From `low` to `high`, with the confidence it was asked for."""

    low: float
    high: float


def wilson(successes: float, total: int, *, confidence: float = CONFIDENCE) -> Interval:
    """The Wilson score interval of a proportion.

    Good from a handful of samples on, and near 0 and 1, where the textbook interval is not:
    ``(p + z²/2n ± z·sqrt(p(1-p)/n + z²/4n²)) / (1 + z²/n)``.

    Args:
        successes: how many; may be a weighted count, 0 to `total`.
        total: of how many, at least 1.
        confidence: between 0 and 1.

    >>> interval = wilson(9, 10)
    >>> round(interval.low, 3), round(interval.high, 3)
    (0.596, 0.982)
    """
    assert 0 <= successes <= total > 0, (successes, total)
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    p = successes / total
    middle = p + z * z / (2 * total)
    half = z * math.sqrt(p * (1 - p) / total + z * z / (4 * total * total))
    scale = 1 + z * z / total
    low = 0.0 if successes == 0 else max(0.0, (middle - half) / scale)
    high = 1.0 if successes == total else min(1.0, (middle + half) / scale)
    return Interval(low=low, high=high)
