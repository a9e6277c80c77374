"""Measure on all targets at the same time; one that fails does not stop the others.

Emulated boards keep this machine busy, so they come before what is timed on it.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, wait

from edgekit_benchmarks.bench_request import LOCAL, RESUME
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
    plans = [run.findings.plan for run in runs]
    busy = [run for run, plan in zip(runs, plans, strict=True) if plan.counts]
    if busy and any(plan.target == LOCAL for plan in plans):
        _run(busy, runs, report)
        _run([run for run in runs if run not in busy], runs, report)
    else:
        _run(runs, runs, report)
    return [run.findings for run in runs]


def _run(now: Sequence[TargetRun], runs: Sequence[TargetRun], report: Report) -> None:
    with ThreadPoolExecutor(len(now), thread_name_prefix="edgekit-bench") as pool:
        futures = [pool.submit(run.measure) for run in now]
        try:
            wait(futures)
        except BaseException:
            for run in runs:
                run.stop()
            wait(futures)
            kept = sum(run.finished for run in runs)
            if kept:
                are = "process is" if kept == 1 else "processes are"
                report.note(f"{kept} finished {are} kept; go on with {RESUME}")
            raise
    for future in futures:
        future.result()
