"""Measure model files on targets; the plug-in behind ``edgekit bench`` and ``edgekit.bench``."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from edgekit.errors import EdgekitError, UsageError
from edgekit_benchmarks.assembly import (
    agreement,
    operator_checks,
    ratios_of,
    rows_of,
    target_record,
)
from edgekit_benchmarks.bench_request import LOCAL, BenchRequest
from edgekit_benchmarks.counting import counter_of, open_counting
from edgekit_benchmarks.findings import Findings
from edgekit_benchmarks.input_rows import Feed, FeedMaker
from edgekit_benchmarks.instructions import PROCESSES as COUNT_PROCESSES
from edgekit_benchmarks.link import Link
from edgekit_benchmarks.model_file import ModelFile, each_once, read_model_file
from edgekit_benchmarks.open_link import open_link
from edgekit_benchmarks.plan import WARM_UP_S, Plan, make_plan
from edgekit_benchmarks.result import BenchmarkResult, FailureRecord, RatioRecord, Row
from edgekit_benchmarks.row_extras import accuracies, whole_ways
from edgekit_benchmarks.runner import run_all
from edgekit_benchmarks.ssh_client import ssh_command
from edgekit_benchmarks.target import Target
from edgekit_benchmarks.target_file import find_target
from edgekit_benchmarks.target_run import TargetRun
from edgekit_benchmarks.telling import Report

Connect = Callable[[Target], Link]


class Save(Protocol):
    """Puts a result where it is safe."""

    def __call__(self, result: BenchmarkResult, /, *, complete: bool, kept: bool) -> bool:
        """Do it.

        Args:
            result: may have no rows.
            complete: whether nothing is left that ``resume`` could add.
            kept: whether all that was measured can be had again by ``resume``.

        Returns:
            Whether it is safe, so that nothing need be kept to be resumed.
        """


def bench(
    request: BenchRequest,
    report: Report,
    *,
    connect: Connect | None = None,
    check: Callable[[], None] | None = None,
    save: Save | None = None,
) -> BenchmarkResult:
    """Do what `request` says.

    Args:
        request: what to measure, where and how.
        report: told about the progress.
        connect: opens the link to a target; by default the one that leads there.
        check: called on each target before anything is measured there, once the device is ours;
            what it raises is the target's failure.
        save: told the result; until it says that it is safe, all can be resumed.

    Returns:
        The result. What could not be measured is in its ``failures``.

    Raises:
        UsageError: a target that does not exist, nothing to measure on one, or EDGEKIT_SSH cannot
            be read.
        EdgekitError: not a single file can be used; the message is the first one's.
    """
    started = _now()
    targets = {name: find_target(name) for name in request.targets}
    _check_counts(request, targets)
    if any(target.is_remote for target in targets.values()):
        ssh_command()  # before any time is spent
    with tempfile.TemporaryDirectory(prefix="edgekit-bench-input-") as folder:
        files, feeds, failures = _read(request, Path(folder))
        extras = _Extras()
        if request.accuracy is not None:
            report.detail("score the files")
            extras.accuracy = accuracies(files, request.accuracy, request.preprocess)
        plans = [_plan(request, target, files, feeds, report) for target in targets.values()]
        runs = [
            TargetRun(
                plan,
                _opener(connect or _connect, targets[plan.target]),
                report,
                resume=request.resume,
                wait_s=request.wait_s,
                check=check,
            )
            for plan in plans
        ]
        found = run_all(runs, report)
        if LOCAL in targets:
            extras.whole = whole_ways(files, feeds, request.threads, report)
    for one in found:
        one.url = targets[one.plan.target].url
        if one.plan.counts:
            one.facts["qemu"] = counter_of(targets[one.plan.target])
    result = _assembled(request, found, failures, extras, started)
    complete = all(run.is_complete for run in runs)
    kept = any(run.finished for run in runs)
    is_safe = save is None or save(result, complete=complete, kept=kept)
    if is_safe and complete:
        for run in runs:
            run.forget()
    return result


def steps(request: BenchRequest) -> int:
    """How many steps of progress `bench` will report, at most.

    Raises:
        UsageError: a target that does not exist.
    """
    each = request.tries * (request.starts + request.processes) + request.sustained
    each += request.operators
    emulated = sum(find_target(name).is_emulated for name in request.targets)
    return (len(request.targets) - emulated) * each + emulated * COUNT_PROCESSES


def _check_counts(request: BenchRequest, targets: Mapping[str, Target]) -> None:
    others = [name for name, target in targets.items() if not target.is_emulated]
    if request.count and others:
        message = (
            f"{others[0]}: its instructions cannot be counted (--count), as it is not emulated; "
            "name an emulated target (edgekit targets add-emulated pi4), or leave --count out"
        )
        raise UsageError(message)


def _connect(target: Target) -> Link:
    return open_counting(target) if target.is_emulated else open_link(target)


def _opener(connect: Connect, target: Target) -> Callable[[], Link]:
    return lambda: connect(target)


def _read(
    request: BenchRequest, folder: Path
) -> tuple[list[ModelFile], dict[str, Feed], list[FailureRecord]]:
    """The files that can be used, their inputs by sha256, and why the others cannot."""
    files: list[ModelFile] = []
    errors: list[tuple[Path, EdgekitError]] = []
    for path in each_once(request.files):
        try:
            files.append(read_model_file(path))
        except EdgekitError as error:
            errors.append((path, error))
    maker = FeedMaker(files, request.input, request.preprocess, folder)
    feeds: dict[str, Feed] = {}
    usable = []
    for file in files:
        try:
            feeds[file.sha256] = maker.feed(file)
            usable.append(file)
        except EdgekitError as error:
            errors.append((file.path, error))
    if not usable:
        raise errors[0][1]
    failures = [
        FailureRecord(path=str(path), target=target, threads=None, error=str(error))
        for path, error in errors
        for target in request.targets
    ]
    return usable, feeds, failures


def _plan(
    request: BenchRequest,
    where: Target,
    files: Sequence[ModelFile],
    feeds: dict[str, Feed],
    report: Report,
) -> Plan:
    target = where.name
    plan = make_plan(request, target, files, feeds, counts=where.is_emulated)
    if plan.counts:
        threads = "" if request.threads == (1,) else ", and with one thread"
        report.note(
            f"{target}: emulated, where time means nothing: its instructions are counted "
            f"instead{threads}"
        )
    left_out = [file.path.name for file in files if file.kind == "keras" and target != LOCAL]
    if not plan.rows:
        message = f"{target}: runs no .keras files; convert them first, or measure them on local"
        raise UsageError(message)
    if left_out:
        report.note(f"{target}: {', '.join(left_out)} left out: .keras is measured here only")
    return plan


@dataclass(slots=True)
class _Extras:
    """What is known of rows besides what targets gave."""

    accuracy: dict[str, dict[str, Any]] = field(default_factory=dict)
    whole: dict[tuple[str, int], dict[str, float]] = field(default_factory=dict)

    def added(self, row: Row) -> Row:
        """The row with it."""
        row = replace(row, accuracy=self.accuracy.get(row.path))
        if row.target == LOCAL and (row.path, row.threads) in self.whole:
            told = self.whole[row.path, row.threads]
            row = replace(
                row, preprocess_ns=told["preprocess_ns"], end_to_end_ns=told["end_to_end_ns"]
            )
        return row


def _assembled(
    request: BenchRequest,
    found: Sequence[Findings],
    failures: list[FailureRecord],
    extras: _Extras,
    started: str,
) -> BenchmarkResult:
    targets = {one.plan.target: target_record(one) for one in found}
    rows: list[Row] = []
    ratios: list[RatioRecord] = []
    for one in found:
        own = rows_of(one, targets[one.plan.target])
        ratios += ratios_of(one, own, len(rows))
        rows += map(extras.added, own.values())
    return BenchmarkResult(
        started=started,
        finished=_now(),
        command=request.command,
        settings=_settings(request, found),
        targets=targets,
        rows=tuple(rows),
        ratios=tuple(ratios),
        failures=(*failures, *(failure for one in found for failure in one.failures)),
    )


def _settings(request: BenchRequest, found: Sequence[Findings]) -> dict[str, Any]:
    asked = asdict(request)
    for name in ("files", "command", "wait_s", "resume"):
        del asked[name]
    settings = asked | {"warm_up_s": WARM_UP_S}
    if request.sustained:
        settings["heated_s"] = {one.plan.target: one.heated_s for one in found}
    if request.operators:
        settings["operators"] = [told for one in found for told in operator_checks(one)]
    if request.replicate:
        settings["tries"] = [told for one in found for told in agreement(one)]
    return settings


def _now() -> str:
    return datetime.now(UTC).astimezone().isoformat(timespec="seconds")
