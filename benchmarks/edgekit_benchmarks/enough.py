"""How many processes it takes to say something with 95 %: the one rule, and its words.

A process is one observation, whatever it measured, so that intervals are order statistics:

- a median, and the ratio of two files that took turns in one run (the sign test): 6 processes;
- the ratio of two results (the test of Mann and Whitney): 4 on either side, or e.g. 3 and 5, 2
  and 8.

With fewer, the interval is from the smallest to the largest, and has less than 95 %; so there is
no verdict, however far apart the two are.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from edgekit_benchmarks.bench_request import BenchRequest
from edgekit_benchmarks.gate import Limit
from edgekit_benchmarks.metric import METRICS
from edgekit_benchmarks.percentile import CONFIDENCE, enough_processes
from edgekit_benchmarks.ratio import can_compare, enough_to_compare
from edgekit_benchmarks.result import BenchmarkResult
from edgekit_benchmarks.samples import PROCESSES

RULE = (
    f"{enough_processes()} are needed for an interval of {100 * CONFIDENCE:.0f} %, and "
    f"{enough_to_compare()} in each of two results to compare them"
)


def warnings(
    request: BenchRequest, before: BenchmarkResult | None = None, limits: Iterable[Limit] = ()
) -> Iterator[str]:
    """What the processes asked for cannot decide, told before the time is spent on them.

    Args:
        request: what is going to be measured.
        before: the result that it will be compared with.
        limits: of the gate.
    """
    asked = f"--processes {request.processes}"
    if request.processes < enough_processes():
        yield (
            f"{asked}: too few to tell which file is faster, or to know a median with "
            f"{100 * CONFIDENCE:.0f} %; give {enough_processes()} or more ({PROCESSES} is usual)"
        )
    timed = [] if before is None else [row for row in before.rows if row.samples_ns]
    fewest = min((row.processes for row in timed), default=0)
    if fewest and not can_compare(request.processes * request.tries, fewest):
        named = [limit.text for limit in limits if METRICS[limit.metric].percent is not None]
        what = f"{', '.join(named)} will be undecided" if named else "no difference can be shown"
        yield (
            f"{asked}: too few to compare with the {fewest} of the baseline, {what}; "
            f"{enough_to_compare()} in each are enough"
        )
