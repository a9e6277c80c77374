"""A comparison in words: for the terminal, and the parts that other reports share."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from edgekit.cli.table import aligned, printable
from edgekit_benchmarks.comparison import Comparison, RowChange
from edgekit_benchmarks.gate import Decision
from edgekit_benchmarks.instructions import count_text
from edgekit_benchmarks.metric import Change
from edgekit_benchmarks.report_numbers import (
    confidence_text,
    duration,
    factor,
    factor_enclosed,
    share,
    size,
)


def lines(comparison: Comparison, decisions: Sequence[Decision]) -> Iterator[str]:
    """What is printed on standard output."""
    told = {decision.limit.metric for decision in decisions}
    for row in comparison.rows:
        same = ", the same file" if row.is_same_file else ""
        yield f"{printable(row.label)}{same}"
        table = [headings(shown(row, told)), *(cells(one) for one in shown(row, told))]
        yield from (f"  {line}" for line in aligned(table, left=(0, 4)))
        yield from (f"  INVALID: {printable(text)}" for text in row.invalid)
    for title, rows in (
        ("only in the earlier result", comparison.only_before),
        ("only in the later result", comparison.only_after),
    ):
        yield from (f"{title}: {printable(row.label)}" for row in rows)
    for failure in comparison.after.failures:
        yield f"not measured: {printable(failure.path)}: {printable(failure.error)}"
    for decision in decisions:
        yield (
            f"{decision.outcome.upper():9} {decision.limit.text:14} "
            f"{printable(decision.row)}: {printable(decision.text)}"
        )


def shown(row: RowChange, asked: set[str]) -> list[Change]:
    """What can be compared, and what was asked for."""
    return [one for one in row.changes if not one.reason or one.metric.name in asked]


def headings(changes: Sequence[Change]) -> list[str]:
    """Of the columns of `cells`, with the confidence that all the intervals have at least."""
    known = [one.ratio.confidence for one in changes if one.ratio and not one.metric.is_exact]
    return ["", "before", "after", f"ratio {confidence_text(known)}", ""]


def cells(change: Change) -> list[str]:
    """Name, before, after, how much, and what to think of it."""
    kind = change.metric.kind
    return [
        change.metric.name,
        amount(change.before, kind),
        amount(change.after, kind),
        extent(change),
        change.verdict or change.reason,
    ]


def extent(change: Change) -> str:
    """The ratio with its interval, or for accuracy the difference in points."""
    if change.metric.kind == "share":
        difference = change.difference
        return "" if difference is None else f"{difference * 100:+.2f} points"
    ratio = change.ratio
    if ratio is None:
        return ""
    if change.metric.kind == "count":
        return f"{ratio.value:.4f}x"
    if change.metric.is_exact:
        return factor(ratio.value)
    return factor_enclosed(ratio.value, ratio.low, ratio.high)


def amount(value: float | None, kind: str) -> str:
    """A measured value for people.

    >>> amount(33_512, "time"), amount(5_000_000, "bytes"), amount(0.9123, "share")
    ('33.5 µs', '5.00 MB', '91.2 %')
    """
    if value is None:
        return ""
    return {"share": share, "bytes": size, "time": duration, "count": count_text}[kind](value)
