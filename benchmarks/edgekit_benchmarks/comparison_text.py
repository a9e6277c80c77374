"""A comparison in words: for the terminal, and the parts that other reports share."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from edgekit.cli.table import aligned, printable, size_text
from edgekit_benchmarks.comparison import Comparison, RowChange
from edgekit_benchmarks.gate import Decision
from edgekit_benchmarks.metric import Change


def lines(comparison: Comparison, decisions: Sequence[Decision]) -> Iterator[str]:
    """What is printed on standard output."""
    told = {decision.limit.metric for decision in decisions}
    for row in comparison.rows:
        same = ", the same file" if row.is_same_file else ""
        yield f"{printable(row.label)}{same}"
        table = [cells(one) for one in shown(row, told)]
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
    if change.metric.is_exact:
        return f"{ratio.value:.3f}x"
    return f"{ratio.value:.3f}x [{ratio.low:.3f}, {ratio.high:.3f}]"


def amount(value: float | None, kind: str) -> str:
    """A measured value for people.

    >>> amount(33_512, "time"), amount(5_000_000, "bytes"), amount(0.9123, "share")
    ('33.5 us', '5,000 kB', '91.23 %')
    """
    if value is None:
        return ""
    if kind == "share":
        return f"{value:.2%}".replace("%", " %")
    if kind == "bytes":
        return size_text(round(value))
    for unit, size in (("s", 1e9), ("ms", 1e6), ("us", 1e3)):
        if value >= size:
            digits = 2 if value < 10 * size else 1 if value < 100 * size else 0
            return f"{value / size:,.{digits}f} {unit}"
    return f"{value:.0f} ns"
