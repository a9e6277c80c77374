"""Confidence intervals of what was measured on a sample."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

CONFIDENCE = 0.95
_RESAMPLES = 2000
_RESAMPLED_UP_TO = 20_000
_CHUNK = 20


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


def bootstrap(
    columns: NDArray[Any],
    statistic: Callable[[NDArray[np.float64]], NDArray[np.float64]],
    *,
    confidence: float = CONFIDENCE,
    seed: int = 0,
) -> Interval:
    """The percentile bootstrap interval of a statistic of column means; the same at every call.

    A paired difference is a statistic of two columns: its samples are drawn together. From 20,000
    samples on, the means are drawn from the normal distribution that they follow by then.

    Args:
        columns: ``(samples, columns)``, one row a sample.
        statistic: takes means ``(resamples, columns)``, gives ``(resamples,)``.
        confidence: between 0 and 1.
        seed: of the resampling.

    >>> errors = np.array([[1.0], [2.0], [3.0], [4.0]])
    >>> interval = bootstrap(errors, lambda means: means[:, 0])
    >>> 1.0 < interval.low < 2.5 < interval.high < 4.0
    True
    """
    rows = np.asarray(columns, np.float64)
    count = len(rows)
    random = np.random.default_rng(seed)
    if count > _RESAMPLED_UP_TO:
        covariance = np.atleast_2d(np.cov(rows, rowvar=False)) / count
        means = random.multivariate_normal(
            rows.mean(axis=0), covariance, size=_RESAMPLES, method="eigh"
        )
    else:
        means = np.concatenate(
            [
                rows[random.integers(0, count, size=(_CHUNK, count))].mean(axis=1)
                for _ in range(_RESAMPLES // _CHUNK)
            ]
        )
    tail = (1 - confidence) / 2
    low, high = np.quantile(statistic(means), [tail, 1 - tail])
    return Interval(low=float(low), high=float(high))
