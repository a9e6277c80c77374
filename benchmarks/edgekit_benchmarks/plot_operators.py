"""What the operators of a row take, the slowest first."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from typing import Any

from edgekit_benchmarks.plot import WIDTH, Axis, Canvas, axis_below, shortened
from edgekit_benchmarks.plot_names import PlotRow
from edgekit_benchmarks.report_numbers import duration, is_number, share, time_unit

MOST = 15
"""Operators shown by name; the others are one bar."""
_LEFT, _RIGHT, _ROW_PX = 368, 178, 24
_TIMES = ("p50_ns", "time_ns", "median_ns", "ns")


def plot_operators(row: PlotRow) -> str:
    """Bars of the row's operators; empty if none were timed."""
    times = operator_times(row.row.operators or ())
    if not times:
        return ""
    total = sum(taken for *_, taken in times)
    ordered = sorted(times, key=lambda one: -one[2])
    shown, rest = ordered[:MOST], ordered[MOST:]
    if rest:
        shown.append(
            (
                f"{len(rest)} other{'' if len(rest) == 1 else 's'}",
                "",
                sum(taken for *_, taken in rest),
            )
        )
    canvas = Canvas()
    bottom = 4 + _ROW_PX * len(shown)
    highest = max(taken for *_, taken in shown)
    axis = Axis(low=0, high=max(highest * 1.02, 1e-9), start_px=_LEFT, end_px=WIDTH - _RIGHT)
    unit = time_unit([highest])
    axis_below(
        canvas,
        axis,
        0,
        bottom,
        lambda value: f"{value / unit.size:,.10g}",
        title=f"median time in an inference, {unit.name}",
    )
    for i, (name, kind, taken) in enumerate(shown):
        top = 4 + i * _ROW_PX
        named = f"{kind}  {name}" if kind and kind != name else name
        canvas.text(
            _LEFT - 12, top + 14, shortened(named, _LEFT - 16), "name", anchor="end", title=named
        )
        told = f"{duration(taken)}, {share(taken / total if total else 0)}"
        with canvas.group(row.colour):
            width = axis(taken) - _LEFT
            canvas.box(_LEFT, top + 3, width, _ROW_PX - 8, "bar", title=f"{named}: {told}")
        canvas.text(axis(taken) + 8, top + 14, told, "value small")
    listed = "; ".join(f"{kind} {name} {duration(taken)}" for name, kind, taken in shown)
    return canvas.svg(bottom + 42, title=f"Operators of {row.name}", description=listed)


def operator_times(operators: tuple[Mapping[str, Any], ...]) -> list[tuple[str, str, float]]:
    """Name, kind and median time in nanoseconds of each operator that has one."""
    found = []
    for one in operators:
        taken = next((one[key] for key in _TIMES if is_number(one.get(key))), None)
        samples = one.get("samples_ns")
        if taken is None and isinstance(samples, list | tuple):
            numbers = [value for value in samples if is_number(value)]
            taken = statistics.median(numbers) if numbers else None
        if taken is not None:
            found.append((str(one.get("name", "")), str(one.get("operator", "")), float(taken)))
    return found
