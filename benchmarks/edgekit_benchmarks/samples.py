"""Raw measurements; every statistic is computed, none is stored."""

from __future__ import annotations

import math
import random
import statistics
from dataclasses import dataclass
from typing import Literal

Verdict = Literal["faster", "slower", "no difference shown"]

_RESAMPLES = 1000
_NOISE = 0.01
"""Ratios within one percent of 1 are not told apart, however narrow their interval."""


@dataclass(frozen=True, slots=True)
class Ratio:
    """How long one takes compared with another: a ratio of medians with its 95 % interval."""

    value: float
    low: float
    high: float

    @property
    def verdict(self) -> Verdict:
        """Faster or slower only where the interval says so."""
        if self.high < 1 - _NOISE:
            return "faster"
        return "slower" if self.low > 1 + _NOISE else "no difference shown"


@dataclass(frozen=True, slots=True)
class Samples:
    """Latencies of one inference in nanoseconds, in the order they were taken."""

    values_ns: tuple[float, ...]

    def __post_init__(self) -> None:
        """Refuse nothing at all."""
        if not self.values_ns:
            message = "samples: none were taken; measure at least one"
            raise ValueError(message)

    @property
    def median_ns(self) -> float:
        """The middle value."""
        return statistics.median(self.values_ns)

    def median_interval_ns(self) -> tuple[float, float]:
        """A 95 % interval of the median from order statistics; no distribution is assumed.

        The ranks are those of the normal approximation to the binomial,
        ``n / 2 -+ 1.96 * sqrt(n) / 2``, for n of 10 and more; below, the extremes.
        """
        ordered = sorted(self.values_ns)
        n = len(ordered)
        if n < 10:
            return ordered[0], ordered[-1]
        half = 1.96 * math.sqrt(n) / 2
        low, high = math.floor(n / 2 - half), math.ceil(n / 2 + half)
        return ordered[max(low, 0)], ordered[min(high, n - 1)]

    def ratio_to(self, other: Samples, *, seed: int = 0) -> Ratio:
        """Ratio of medians, this over `other`, with a bootstrap interval.

        The two must have been measured in turn: values of one turn are resampled together, so a
        drift of the machine does not count as a difference.
        """
        pairs = list(zip(self.values_ns, other.values_ns, strict=True))
        chosen = random.Random(seed)  # noqa: S311 - resampling, no secret
        ratios = []
        for _ in range(_RESAMPLES):
            drawn = chosen.choices(pairs, k=len(pairs))
            ratios.append(
                statistics.median(a for a, _ in drawn) / statistics.median(b for _, b in drawn)
            )
        ratios.sort()
        return Ratio(
            self.median_ns / other.median_ns,
            ratios[int(0.025 * _RESAMPLES)],
            ratios[int(0.975 * _RESAMPLES) - 1],
        )
