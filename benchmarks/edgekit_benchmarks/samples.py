"""Raw measurements; every statistic is computed, none is stored.

Latency differs more between processes (memory layout, placement) than within one, so a process is
the unit: the median of each of n processes is one observation. The second smallest and second
largest of n observations enclose the true median with a probability of ``1 - 2 (1 + n) / 2**n``,
whatever their distribution: 96 % for n = 9. So one disturbed process decides nothing.
"""

from __future__ import annotations

import statistics
from dataclasses import dataclass

from edgekit_benchmarks.percentile import of_medians
from edgekit_benchmarks.ratio import Ratio, paired

PROCESSES = 9
"""The fewest whose second smallest and second largest are at least a 95 % interval."""


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
        found = of_medians(self.medians_ns)
        return found.low, found.high

    def ratio_to(self, other: Samples) -> Ratio:
        """This over `other`, which was measured in turn with it in the same processes."""
        ours, theirs = ([[median] for median in one.medians_ns] for one in (self, other))
        return paired(ours, theirs)
