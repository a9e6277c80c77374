"""How accurate a row's file is, where its result says so."""

from __future__ import annotations

from typing import NamedTuple

from edgekit_benchmarks.report_numbers import is_share, share
from edgekit_benchmarks.result import Row


class Accuracy(NamedTuple):
    """Shares from 0 to 1."""

    value: float
    low: float
    high: float
    """The value itself where no interval is known."""


def accuracy_of(row: Row) -> Accuracy | None:
    """Returns the row's accuracy; None where there is none, or where it is no share."""
    given = row.accuracy or {}
    value, low, high = (given.get(name) for name in ("value", "low", "high"))
    if not is_share(value):
        return None
    if not is_share(low) or not is_share(high) or not low <= value <= high:
        return Accuracy(value, value, value)
    return Accuracy(value, low, high)


def accuracy_text(row: Row) -> str:
    """``92.5 % [91.2, 93.5]``; empty where there is none."""
    found = accuracy_of(row)
    if found is None:
        return ""
    if found.low == found.high:
        return share(found.value)
    return f"{share(found.value)} [{100 * found.low:.1f}, {100 * found.high:.1f}]"
