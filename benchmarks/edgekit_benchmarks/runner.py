"""Measure on all targets at the same time; one that fails does not stop the others."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, wait

from edgekit_benchmarks.bench_request import RESUME
from edgekit_benchmarks.findings import Findings
from edgekit_benchmarks.target_run import TargetRun
from edgekit_benchmarks.telling import Report


def run_all(runs: Sequence[TargetRun], report: Report) -> list[Findings]:
    """Measure; Ctrl-C stops all of them, and leaves nothing running.

    Args:
        runs: one for each target.
        report: told about what is kept when it is interrupted.

    Returns:
        The findings of each, in order.
    """
    with ThreadPoolExecutor(len(runs), thread_name_prefix="edgekit-bench") as pool:
        futures = [pool.submit(run.measure) for run in runs]
        try:
            wait(futures)
        except BaseException:
            for run in runs:
                run.stop()
            wait(futures)
            kept = sum(run.finished for run in runs)
            if kept:
                report.note(f"{kept} finished processes are kept; go on with {RESUME}")
            raise
    return [future.result() for future in futures]
