"""What each row costs and what it is worth: latency, size of the file, and accuracy where known."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from edgekit_benchmarks.plot import WIDTH, Axis, Canvas, number, shortened
from edgekit_benchmarks.plot_labels import Box, Spot, placed
from edgekit_benchmarks.plot_names import PlotRow, plot_rows
from edgekit_benchmarks.report_accuracy import accuracy_of
from edgekit_benchmarks.report_numbers import (
    duration,
    enclosed,
    share,
    size,
    size_unit,
    time_unit,
)
from edgekit_benchmarks.result import BenchmarkResult

MOST = 40
"""More points than that are not told apart."""
_LEFT, _RIGHT, _TOP = 84, 24, 24
_LARGEST_PX, _SMALLEST_PX = 26, 4
_ROOM_PX = 250


@dataclass(frozen=True, slots=True, kw_only=True)
class _Axes:
    across: Axis
    up: Axis
    has_accuracy: bool
    """Whether that is what `up` shows; else it is the size of the file."""


def plot_tradeoff(result: BenchmarkResult) -> str:
    """Points for at least two rows; empty if there are fewer.

    With the accuracy of all: it is the vertical axis, and the area of a point the size of its
    file. Else the size is the vertical axis.
    """
    rows = plot_rows(result)[:MOST]
    if len(rows) < 2:
        return ""
    axes = _axes_for(rows)
    canvas = Canvas()
    _draw_axes(canvas, axes)
    largest = max(row.row.size_bytes for row in rows)
    if axes.has_accuracy:
        told = f"area: size of the file, the largest {size(largest)}"
        canvas.text(WIDTH - _RIGHT, 12, told, "small", anchor="end")
    spots = [_spot(axes, row, largest) for row in rows]
    for row, spot in sorted(zip(rows, spots, strict=True), key=lambda pair: -pair[1].radius):
        _draw(canvas, axes, row, spot)
    bars = [
        Box(
            left=axes.across(_low(row)),
            top=spot.y - 2,
            right=axes.across(_high(row)),
            bottom=spot.y + 2,
        )
        for row, spot in zip(rows, spots, strict=True)
    ]
    bottom = axes.up.start_px
    frame = Box(left=_LEFT + 2, top=_TOP, right=WIDTH, bottom=bottom)
    for row, spot, box in zip(rows, spots, placed(spots, bars, frame), strict=True):
        _label(canvas, row, spot, box)
    described = "; ".join(f"{row.name}: {_told(row)}" for row in rows)
    wanted = "accuracy and size" if axes.has_accuracy else "size"
    return canvas.svg(bottom + 46, title=f"Latency, {wanted}", description=described)


def _axes_for(rows: Sequence[PlotRow]) -> _Axes:
    known = [one for one in (accuracy_of(row.row) for row in rows) if one is not None]
    bottom = _TOP + (150 if len(rows) <= 3 else 250 if len(rows) <= 8 else 390)
    across = Axis.over(
        min(map(_low, rows)),
        max(map(_high, rows)),
        _LEFT + _LARGEST_PX,
        WIDTH - _RIGHT - _LARGEST_PX,
        can_be_log=True,
        margin=0.06,
    )
    if len(known) == len(rows):
        ends = [end for one in known for end in (one.low, one.high)]
        up = Axis.over(min(ends), max(ends), bottom, _TOP, margin=0.12)
        return _Axes(across=across, up=up, has_accuracy=True)
    sizes = [max(1.0, row.row.size_bytes) for row in rows]
    up = Axis.over(min(sizes), max(sizes), bottom, _TOP, can_be_log=True, margin=0.15)
    return _Axes(across=across, up=up, has_accuracy=False)


def _spot(axes: _Axes, row: PlotRow, largest: int) -> Spot:
    accuracy = accuracy_of(row.row)
    height, radius = float(row.row.size_bytes), 6.0
    if axes.has_accuracy and accuracy is not None:
        height = accuracy.value
        part = math.sqrt(row.row.size_bytes / largest) if largest else 1
        radius = max(_SMALLEST_PX, _LARGEST_PX * part)
    return Spot(
        x=axes.across(row.row.p50_ns),
        y=axes.up(height),
        radius=radius,
        text=shortened(row.name, _ROOM_PX),
    )


def _low(row: PlotRow) -> float:
    found = row.row.of_percentile(50)
    return found.low if found else row.row.p50_ns


def _high(row: PlotRow) -> float:
    found = row.row.of_percentile(50)
    return found.high if found else row.row.p50_ns


def _told(row: PlotRow) -> str:
    found = row.row.of_percentile(50)
    accuracy = accuracy_of(row.row)
    told = [
        f"p50 {enclosed(found)}" if found else "",
        size(row.row.size_bytes),
        "" if accuracy is None else f"accuracy {share(accuracy.value)}",
        "" if row.row.valid else "INVALID",
    ]
    return ", ".join(filter(None, told))


def _draw_axes(canvas: Canvas, axes: _Axes) -> None:
    across, up = axes.across, axes.up
    bottom = up.start_px
    unit = time_unit([across.high])
    for value in across.ticks():
        x = across(value)
        canvas.line(x, _TOP, x, bottom, "grid")
        text = _short(duration(value)) if across.is_log else f"{value / unit.size:,.10g}"
        canvas.text(x, bottom + 16, text, "small", anchor="middle")
    scale = "p50 (logarithmic)" if across.is_log else f"p50, {unit.name}"
    middle = (across.start_px + across.end_px) / 2
    canvas.text(middle, bottom + 36, f"latency of one inference, {scale}", "axis", anchor="middle")
    of_size = size_unit([up.high])
    for value in up.ticks(4 if bottom < 300 else 6):
        y = up(value)
        canvas.line(_LEFT, y, WIDTH - _RIGHT, y, "grid")
        if axes.has_accuracy:
            text = f"{100 * value:.4g} %"
        elif up.is_log:
            text = _short(size(value))
        else:
            text = f"{value / of_size.size:,.10g} {of_size.name}"
        canvas.text(_LEFT - 8, y + 4, text, "small", anchor="end")
    upright = "accuracy" if axes.has_accuracy else "size of the file"
    canvas.text(0, 12, f"{upright} (logarithmic)" if up.is_log else upright, "axis")


def _short(text: str) -> str:
    return text.replace(".00 ", " ").replace(".0 ", " ")


def _draw(canvas: Canvas, axes: _Axes, row: PlotRow, spot: Spot) -> None:
    with canvas.group(f"{row.kind} point"):
        left, right = axes.across(_low(row)), axes.across(_high(row))
        canvas.line(left, spot.y, right, spot.y, "interval thin")
        accuracy = accuracy_of(row.row)
        if axes.has_accuracy and accuracy is not None:
            canvas.line(
                spot.x, axes.up(accuracy.low), spot.x, axes.up(accuracy.high), "interval thin"
            )
        canvas.circle(spot.x, spot.y, spot.radius, "bubble", title=f"{row.name}: {_told(row)}")


def _label(canvas: Canvas, row: PlotRow, spot: Spot, box: Box) -> None:
    kind = "name over" if row.row.valid else "name over bad"
    x = {"": box.left, "end": box.right, "middle": (box.left + box.right) / 2}[box.anchor]
    end_x = min(max(spot.x, box.left), box.right)
    end_y = min(max(spot.y, box.top), box.bottom)
    if math.hypot(end_x - spot.x, end_y - spot.y) > spot.radius + 12:
        steps = f"M{number(spot.x)} {number(spot.y)}L{number(end_x)} {number(end_y)}"
        canvas.path(steps, "leader")
    y = (box.top + box.bottom) / 2 + 4
    canvas.text(x, y, spot.text, kind, anchor=box.anchor, title=row.name)
