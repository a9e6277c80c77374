"""The measured columns of the page's table: each in one unit, where that is legible."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from edgekit_benchmarks.percentile import Enclosed
from edgekit_benchmarks.plot import clean
from edgekit_benchmarks.report_numbers import DASH, Unit, duration, enclosed, size_unit, time_unit
from edgekit_benchmarks.result import Row

_SPREAD = 2000
"""Times further apart than that do not share a unit."""
_Value = Enclosed | float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """What it says of a row, and in which unit; without one, each value has its own."""

    heading: str
    value: Callable[[Row], _Value]
    unit: Unit | None = None
    shows_interval: bool = False
    is_latency: bool = False

    @property
    def title(self) -> str:
        """The heading with the unit."""
        return self.heading if self.unit is None else f"{self.heading}, {self.unit.name}"

    def cell(self, row: Row) -> str:
        """The inside of the row's cell, as HTML."""
        value = self.value(row)
        if value is None:
            return DASH
        if not isinstance(value, Enclosed):
            return duration(value) if self.unit is None else self.unit.text(value)
        if self.shows_interval:
            return f'<span class="time">{with_interval(enclosed(value, self.unit))}</span>'
        text = duration(value.value) if self.unit is None else self.unit.text(value.value)
        told = clean(f"interval {enclosed(value)}")
        return f'<span class="time" title="{told}">{text}</span>'


def columns(rows: Sequence[Row]) -> list[Column]:
    """Those for rows with times; the whole way from a picture only where that was measured."""
    if not rows:
        return [Column(heading="latency", value=lambda _: None)]
    found = [
        Column(
            heading=f"p{percent}",
            value=_percentile(percent),
            shows_interval=percent == 50,
            is_latency=True,
        )
        for percent in (50, 90, 99)
    ]
    found += [
        Column(heading="load", value=lambda row: row.of_starts("load_ns")),
        Column(heading="first", value=lambda row: row.of_starts("first_inference_ns")),
        Column(heading="prepare", value=lambda row: row.preprocess_ns),
        Column(heading="end to end", value=lambda row: row.end_to_end_ns),
    ]
    found = [_with_unit(column, rows) for column in found]
    optional = ("prepare", "end to end")
    found = [
        column
        for column in found
        if column.heading not in optional or any(column.value(row) is not None for row in rows)
    ]
    peaks = [row.of_starts("peak_memory_bytes") or 0 for row in rows]
    memory = Column(
        heading="peak memory",
        value=lambda row: row.of_starts("peak_memory_bytes"),
        unit=size_unit(peaks),
    )
    return [*found, memory]


def with_interval(text: str) -> str:
    """The interval steps back behind the value."""
    value, found, interval = text.partition(" [")
    return f'{clean(value)} <span class="interval">[{clean(interval)}</span>' if found else text


def _percentile(percent: float) -> Callable[[Row], Enclosed | None]:
    return lambda row: row.of_percentile(percent)


def _with_unit(column: Column, rows: Sequence[Row]) -> Column:
    given = [column.value(row) for row in rows]
    values = [one.value if isinstance(one, Enclosed) else one for one in given if one is not None]
    shares = values and max(values) <= _SPREAD * min(values)
    return Column(
        heading=column.heading,
        value=column.value,
        unit=time_unit(values) if shares else None,
        shows_interval=column.shows_interval,
        is_latency=column.is_latency,
    )
