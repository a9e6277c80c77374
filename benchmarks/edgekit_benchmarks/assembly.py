"""From what the targets gave to a result: rows, ratios, doubts."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import combinations
from typing import TYPE_CHECKING, Any

from edgekit.errors import EdgekitError
from edgekit_benchmarks import doubts, instructions
from edgekit_benchmarks.bench_request import LOCAL, RESUME
from edgekit_benchmarks.findings import Findings, Taken
from edgekit_benchmarks.percentile import of_processes
from edgekit_benchmarks.plan import PlannedRow
from edgekit_benchmarks.ratio import Ratio, paired, unpaired
from edgekit_benchmarks.report_numbers import counted, percent
from edgekit_benchmarks.result import RatioRecord, Row, StartRecord, TargetRecord

if TYPE_CHECKING:
    from edgekit_benchmarks.operators import OperatorProfile

_AGREE = 0.05
"""How far from their median the medians of the tries of ``--replicate`` may be."""


def target_record(found: Findings) -> TargetRecord:
    """The machine, and what is to be said of it: of an emulated one, nothing of its times."""
    if found.plan.counts:
        return TargetRecord(
            url=found.url or LOCAL,
            emulated=True,
            facts=found.facts,
            worker_sha256=found.worker_sha256,
        )
    judgement = doubts.of_target(
        found.facts,
        found.watch,
        clock=found.clock,
        emulated=found.emulated,
        sustained=found.plan.sustained,
    )
    resumed = counted(found.resumed, "process is", "processes are")
    resumed += " of an earlier call, before a break"
    return TargetRecord(
        url=found.url or LOCAL,
        emulated=found.emulated,
        facts=found.facts,
        worker_sha256=found.worker_sha256,
        timer_ns=statistics.median(found.timer_ns) if found.timer_ns else None,
        empty_call_ns=statistics.median(found.empty_call_ns) if found.empty_call_ns else None,
        watch=tuple(found.watch),
        clock=tuple(found.clock),
        doubts=(*judgement.doubts, *([resumed] if found.resumed else [])),
        valid=judgement.valid,
    )


def rows_of(found: Findings, target: TargetRecord) -> dict[str, Row]:
    """The rows that have latencies or counts, by their keys, with their doubts."""
    rows = {}
    for planned in found.plan.rows:
        if counted_row := found.counts.get(planned.key):
            rows[planned.key] = _counted_row(planned, found, counted_row)
            continue
        taken = found.steady.get(planned.key, [])
        if not taken:
            continue
        row = doubts.judged(_row(planned, found, taken), target)
        row = _with_operators(row, found.operators.get(planned.key))
        missing = found.plan.processes * found.plan.tries - len(taken)
        if missing > 0:
            are = "is" if missing == 1 else "are"
            text = f"{missing} of its processes {are} missing; run again with {RESUME}"
            row = replace(row, doubts=(*row.doubts, text))
        rows[planned.key] = row
    return rows


def _counted_row(planned: PlannedRow, found: Findings, answers: Sequence[Mapping[str, Any]]) -> Row:
    totals = instructions.per_call(answers)
    told = []
    off = instructions.disagreement(totals)
    if off > instructions.ALIKE:
        text = f"its processes counted up to {percent(off)} apart; report the file, and the runtime"
        told.append(text)
    return Row(
        **_file(planned, found, answers[0]["runtime"]),
        samples_ns=(),
        instructions=instructions.fewest(answers),
        instructions_per_call=totals,
        doubts=tuple(told),
    )


def _file(planned: PlannedRow, found: Findings, runtime: str) -> dict[str, Any]:
    file = planned.file
    return {
        "path": str(file.path),
        "name": file.name,
        "sha256": file.sha256,
        "size_bytes": file.size_bytes,
        "gzip_bytes": file.gzip_bytes,
        "format": file.kind,
        "precision": file.precision,
        "target": found.plan.target,
        "threads": planned.threads,
        "runtime": runtime,
        "input": planned.feed.record,
    }


def _row(planned: PlannedRow, found: Findings, taken: Sequence[Taken]) -> Row:
    answers = [one.answer for one in taken]
    starts = found.starts.get(planned.key, [])
    return Row(
        **_file(planned, found, answers[0]["runtime"]),
        samples_ns=_each(answers, "samples_ns"),
        repeats=answers[0]["repeats"],
        stamps_ns=_each(answers, "stamps_ns"),
        chunks=_each(answers, "chunks"),
        warm_up_ns=_each(answers, "warm_up_ns"),
        cpu_ns=tuple(one["cpu_ns"] / (len(one["samples_ns"]) * one["repeats"]) for one in answers),
        preempted=tuple(one.get("preempted", 0) for one in answers),
        major_faults=tuple(one.get("major_faults", 0) for one in answers),
        reference_ns=_each(answers, "reference_ns"),
        starts=tuple(map(_start, starts)),
        memory_read_from=starts[0]["memory"]["read_from"] if starts else "",
    )


def _with_operators(row: Row, profile: OperatorProfile | EdgekitError | None) -> Row:
    if profile is None:
        return row
    if isinstance(profile, EdgekitError):
        text = f"its operators could not be timed: {profile}"
        return replace(row, doubts=(*row.doubts, text))
    told = () if profile.is_trusted else (f"operators: {profile.check}",)
    return replace(
        row,
        operators=profile.to_dicts(),
        operators_check=profile.check_to_dict(),
        doubts=(*row.doubts, *told),
    )


def operator_checks(found: Findings) -> list[dict[str, Any]]:
    """How well the operators of each row explain a whole inference."""
    return [
        {
            "path": str(planned.file.path),
            "target": found.plan.target,
            "threads": planned.threads,
            **profile.check_to_dict(),
        }
        for planned in found.plan.rows
        if (profile := found.operators.get(planned.key)) is not None
        and not isinstance(profile, EdgekitError)
    ]


def _each(answers: Sequence[Mapping[str, Any]], name: str) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(answer.get(name, ())) for answer in answers)


def _start(answer: Mapping[str, Any]) -> StartRecord:
    memory = answer["memory"]
    return StartRecord(
        import_ns=answer["import_ns"],
        load_ns=answer["load_ns"],
        first_inference_ns=answer["first_inference_ns"],
        after_import_bytes=memory["after_import_bytes"],
        after_load_bytes=memory["after_load_bytes"],
        peak_memory_bytes=memory["peak_bytes"],
        model_memory_bytes=memory["model_bytes"],
    )


def ratios_of(found: Findings, rows: Mapping[str, Row], first: int) -> list[RatioRecord]:
    """Every row over every earlier one of the same target.

    Args:
        found: of the target.
        rows: its rows by their keys, in the result's order.
        first: number of the first of them in the result.
    """
    records: list[RatioRecord] = []
    if found.plan.counts:
        return records
    for (to, other), (row, key) in combinations(enumerate(rows, first), 2):
        ratio = _ratio(found.steady[key], found.steady[other], rows[key].valid & rows[other].valid)
        records.append(
            RatioRecord(
                row=row,
                to=to,
                value=ratio.value,
                low=ratio.low,
                high=ratio.high,
                verdict=ratio.verdict,
            )
        )
    return records


def _ratio(ours: Sequence[Taken], theirs: Sequence[Taken], valid: bool) -> Ratio:
    """Paired, turn by turn, where both took turns in the same processes."""
    samples = [[one.answer["samples_ns"] for one in side] for side in (ours, theirs)]
    if [one.process for one in ours] == [one.process for one in theirs]:
        mine, other = ([one.answer["chunks"] for one in side] for side in (ours, theirs))
        return paired(*samples, chunks=(mine, other), valid=valid)
    return unpaired(*samples, valid=valid)


def agreement(found: Findings) -> list[dict[str, Any]]:
    """How well the tries of ``--replicate`` agree.

    Returns:
        For each row the medians of the tries, and whether all are within 5 % of their median.
    """
    told = []
    for planned in found.plan.rows:
        tries: dict[int, list[Sequence[float]]] = {}
        for one in found.steady.get(planned.key, []):
            tries.setdefault(one.attempt, []).append(one.answer["samples_ns"])
        medians = [of_processes(runs, 50).value for _, runs in sorted(tries.items())]
        if not medians:
            continue
        middle = statistics.median(medians)
        off = max(abs(one / middle - 1) for one in medians)
        told.append(
            {
                "path": str(planned.file.path),
                "target": found.plan.target,
                "threads": planned.threads,
                "p50_ns": medians,
                "off": round(off, 4),
                "passed": off <= _AGREE and len(medians) == found.plan.tries,
            }
        )
    return told
