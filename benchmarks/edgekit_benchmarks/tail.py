"""How much of a row's tail may be the work of other programs.

Whenever another program is given the processor, one sample waits for it: for milliseconds, whatever
the model takes. The worker counts how often that was, not in which sample. So the percentiles of a
process without it lie between what was measured, and what is left without as many of its slowest
samples. A p99 stands on the slowest hundredth: ten preemptions in a thousand samples make all of
it, and tell of the machine, not of the model.
"""

from __future__ import annotations

from edgekit_benchmarks.percentile import nearest_rank
from edgekit_benchmarks.result import Row


def undisturbed(row: Row, percent: float) -> list[float]:
    """The percentile of each process without as many of its slowest samples as it was preempted.

    At least one sample is left of each process.
    """
    counts = row.preempted or (0,) * row.processes
    return [
        nearest_rank(sorted(run)[: max(1, len(run) - count)], percent)
        for run, count in zip(row.samples_ns, counts, strict=True)
    ]


def preempted_share(row: Row) -> float:
    """In how many of its samples, at most, another program took the processor."""
    return min(1.0, sum(row.preempted) / row.sample_count)
