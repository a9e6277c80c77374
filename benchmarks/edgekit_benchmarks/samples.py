"""Raw measurements; every statistic is computed, none is stored.

Latency differs more between processes (memory layout, placement) than within one, so a process is
the unit: the median of each of n processes is one observation. The second smallest and second
largest of n observations enclose the true median with a probability of ``1 - 2 (1 + n) / 2**n``,
whatever their distribution: 96 % for n = 9. So one disturbed process decides nothing.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Verdict = Literal["faster", "slower", "no difference shown"]

PROCESSES = 9
"""The fewest whose second smallest and second largest are at least a 95 % interval."""
_NOISE = 0.01
"""Ratios within one percent of 1 are not told apart, however narrow their interval."""


@dataclass(frozen=True, slots=True)
class Ratio:
    """How long one takes compared with another: the median of the processes' ratios."""

    value: float
    low: float
    high: float

    @property
    def verdict(self) -> Verdict:
        """Faster or slower only where the interval says so, by more than the noise."""
        if self.high < 1 - _NOISE:
            return "faster"
        return "slower" if self.low > 1 + _NOISE else "no difference shown"


@dataclass(frozen=True, slots=True)
class Samples:
    """Latencies of one inference in nanoseconds: those of each process, in order."""

    runs_ns: tuple[tuple[float, ...], ...]

    def __post_init__(self) -> None:
        """Refuse nothing at all."""
        if not self.runs_ns or not all(self.runs_ns):
            message = "samples: a process took none; measure at least one"
            raise ValueError(message)

    @property
    def medians_ns(self) -> tuple[float, ...]:
        """One for each process."""
        return tuple(statistics.median(run) for run in self.runs_ns)

    @property
    def median_ns(self) -> float:
        """The middle one of the processes' medians."""
        return statistics.median(self.medians_ns)

    def median_interval_ns(self) -> tuple[float, float]:
        """Second smallest and second largest median of a process: see above."""
        return _interval(self.medians_ns)

    def ratio_to(self, other: Samples) -> Ratio:
        """This over `other`, which was measured in turn with it in the same processes."""
        ratios = [
            mine / others for mine, others in zip(self.medians_ns, other.medians_ns, strict=True)
        ]
        return Ratio(statistics.median(ratios), *_interval(ratios))


def _interval(observations: Sequence[float]) -> tuple[float, float]:
    """Without the two extremes; with them where there are fewer than `PROCESSES`."""
    ordered = sorted(observations)
    cut = int(len(ordered) >= PROCESSES)
    return ordered[cut], ordered[-1 - cut]
