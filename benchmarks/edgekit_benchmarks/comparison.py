"""Two benchmark results side by side: which rows belong together, and what changed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from edgekit.errors import UsageError
from edgekit_benchmarks.machine import differences
from edgekit_benchmarks.metric import METRICS, Change, change
from edgekit_benchmarks.ratio import Ratio, can_compare, enough_to_compare, unpaired_values
from edgekit_benchmarks.report_numbers import counted, factor_enclosed
from edgekit_benchmarks.result import BenchmarkResult, Row

_MOVED = 0.05
"""A machine whose own speed changed by more than that between two runs is not the same …"""
_UNKNOWN = 0.2
"""… nor is one whose speed is not known better than that."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RowChange:
    """One row of either result: the same model, precision, format, target and threads."""

    before: Row
    after: Row
    changes: tuple[Change, ...]
    invalid: tuple[str, ...]
    """Why the times cannot be trusted; nothing when they can."""
    machine: Ratio | None
    """How long the same work took the machine itself, where that changed from run to run; the
    intervals of times are widened by it. None where it did not."""

    @property
    def label(self) -> str:
        """The later file and its threads."""
        return self.after.label

    @property
    def is_same_file(self) -> bool:
        """Whether not a byte of the model changed."""
        return bool(self.before.sha256) and self.before.sha256 == self.after.sha256

    def change(self, name: str) -> Change | None:
        """The change of the metric of that name; None if neither side has it."""
        return next((one for one in self.changes if one.metric.name == name), None)

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        speed = self.machine
        return {
            "name": self.after.name,
            "precision": self.after.precision,
            "format": self.after.format,
            "target": self.after.target,
            "threads": self.after.threads,
            "before": self.before.path,
            "after": self.after.path,
            "same_file": self.is_same_file,
            "invalid": list(self.invalid),
            "machine": speed and {"ratio": speed.value, "low": speed.low, "high": speed.high},
            "changes": [one.to_dict() for one in self.changes],
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Everything two results say about each other."""

    before: BenchmarkResult
    after: BenchmarkResult
    rows: tuple[RowChange, ...]
    only_before: tuple[Row, ...]
    only_after: tuple[Row, ...]
    machines: tuple[str, ...]
    """How the machines differ; nothing unless other machines were allowed."""
    notes: tuple[str, ...]

    @property
    def valid(self) -> bool:
        """Whether the times of every row can be trusted."""
        return not any(row.invalid for row in self.rows)


def compare(
    before: BenchmarkResult, after: BenchmarkResult, *, allow_other_machine: bool = False
) -> Comparison:
    """Match the rows and compare them.

    Rows belong together by model name, precision, format, target and threads; where several have
    all that in common, by path. If each result has one target and other machines are allowed, the
    targets' names do not matter.

    Raises:
        UsageError: no row has a partner, or the machines differ and that was not allowed.
    """
    one_each = len(before.targets) == len(after.targets) == 1
    pairs, only_before, only_after = _matched(
        before.rows, after.rows, any_target=allow_other_machine and one_each
    )
    if not pairs:
        have = [", ".join(row.label for row in one.rows) or "none" for one in (before, after)]
        message = f"compare: the results have no row in common ({have[0]}; {have[1]}); "
        message += "bench the same models on the same targets"
        raise UsageError(message)
    machines = tuple(
        dict.fromkeys(text for pair in pairs for text in _machines(pair, before, after))
    )
    if machines and not allow_other_machine:
        message = f"compare: the machines differ ({'; '.join(machines)}); "
        message += "measure on one machine, or add --allow-other-machine"
        raise UsageError(message)
    rows = tuple(_row_change(*pair, is_other=bool(machines)) for pair in pairs)
    return Comparison(
        before=before,
        after=after,
        rows=rows,
        only_before=only_before,
        only_after=only_after,
        machines=machines,
        notes=tuple(dict.fromkeys(text for row in rows for text in _notes(row))),
    )


def _matched(
    before: Iterable[Row], after: Iterable[Row], *, any_target: bool
) -> tuple[list[tuple[Row, Row]], tuple[Row, ...], tuple[Row, ...]]:
    def key(row: Row) -> tuple[object, ...]:
        name, precision, kind, target, threads = row.key
        return (name, precision, kind, "" if any_target else target, threads)

    earlier: dict[tuple[object, ...], list[Row]] = defaultdict(list)
    later: dict[tuple[object, ...], list[Row]] = defaultdict(list)
    for row in before:
        earlier[key(row)].append(row)
    for row in after:
        later[key(row)].append(row)
    pairs = []
    for one, rows in later.items():
        partners = earlier.get(one, [])
        if len(rows) == len(partners) == 1:
            pairs.append((partners[0], rows[0]))
        else:
            paths = {partner.path: partner for partner in partners}
            pairs += [(paths[row.path], row) for row in rows if row.path in paths]
    taken = {id(row) for pair in pairs for row in pair}
    return (
        pairs,
        tuple(row for rows in earlier.values() for row in rows if id(row) not in taken),
        tuple(row for rows in later.values() for row in rows if id(row) not in taken),
    )


def _machines(
    pair: tuple[Row, Row], before: BenchmarkResult, after: BenchmarkResult
) -> Iterator[str]:
    ours, theirs = (
        result.targets[row.target] for result, row in zip((before, after), pair, strict=True)
    )
    yield from differences(ours, theirs)
    if pair[0].runtime != pair[1].runtime:
        yield f"runtime: {pair[0].runtime}, then {pair[1].runtime}"


def _row_change(before: Row, after: Row, *, is_other: bool) -> RowChange:
    invalid = [
        f"the {which} measurement is INVALID"
        for which, row in (("earlier", before), ("later", after))
        if not row.valid
    ]
    machine = None if is_other else _moved(before, after)
    found = (
        change(metric, before, after, valid=not invalid, machine=machine)
        for metric in METRICS.values()
    )
    return RowChange(
        before=before,
        after=after,
        changes=tuple(one for one in found if one is not None),
        invalid=tuple(invalid),
        machine=machine,
    )


def _moved(before: Row, after: Row) -> Ratio | None:
    """The machine's own speed, if it changed so much that it matters."""
    speed = reference(before, after)
    if speed is None or not speed.is_sure:
        return None
    moved = speed.low > 1 + _MOVED or speed.high < 1 - _MOVED
    return speed if moved or speed.high > (1 + _UNKNOWN) * speed.low else None


def reference(before: Row, after: Row) -> Ratio | None:
    """How long the reference loop took in the later run over the earlier: the machine's own speed.

    Of each process, the quickest loop; None where a result has none.
    """
    loops = [[min(run) for run in row.reference_ns if run] for row in (after, before)]
    return unpaired_values(*loops, widen=False) if all(loops) else None


def _notes(row: RowChange) -> Iterator[str]:
    if row.before.input.sha256 != row.after.input.sha256:
        yield f"{row.label}: the inputs differ"
    if row.before.input.random or row.after.input.random:
        yield f"{row.label}: measured with made-up inputs"
    if (speed := row.machine) is not None:
        yield (
            f"{row.label}: the machine itself took "
            f"{factor_enclosed(speed.value, speed.low, speed.high)} as long for the same work; the "
            "intervals are widened by that"
        )
    for one in row.changes:
        if one.widened:
            yield f"{row.label}: {one.metric.name}: {one.widened}; its interval is widened by that"
    ours, theirs = row.before.processes, row.after.processes
    is_timed = row.before.samples_ns or row.after.samples_ns
    if is_timed and not can_compare(ours, theirs):
        yield (
            f"{row.label}: {ours} and {counted(theirs, 'process', 'processes')} are too few to "
            f"tell a difference; {enough_to_compare()} in each are enough"
        )
