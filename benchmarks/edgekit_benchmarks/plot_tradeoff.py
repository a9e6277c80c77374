"""What each row costs and what it is worth: latency, size of the file, and accuracy where known."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from edgekit_benchmarks.plot import WIDTH, Axis, Canvas, number, shortened, width_px
from edgekit_benchmarks.plot_names import PlotRow, plot_rows
from edgekit_benchmarks.report_numbers import (
    duration,
    enclosed,
    is_number,
    share,
    size,
    size_unit,
    time_unit,
)
from edgekit_benchmarks.result import BenchmarkResult

MOST = 40
"""More points than that are not told apart."""
_LEFT, _RIGHT, _TOP, _BOTTOM = 84, 24, 20, 412
_LARGEST_PX = 26
_SMALLEST_PX = 4
_TEXT_PX = 15
_ROOM_PX = 190


@dataclass(frozen=True, slots=True, kw_only=True)
class _Point:
    row: PlotRow
    x: float
    y: float
    radius: float


@dataclass(frozen=True, slots=True, kw_only=True)
class _Box:
    """Where a label could stand, and its side of the point."""

    left: float
    top: float
    right: float
    bottom: float
    anchor: str

    def overlaps(self, other: _Box) -> float:
        """The common area."""
        wide = min(self.right, other.right) - max(self.left, other.left)
        high = min(self.bottom, other.bottom) - max(self.top, other.top)
        return wide * high if wide > 0 and high > 0 else 0.0


def plot_tradeoff(result: BenchmarkResult) -> str:
    """Points for at least two rows; empty if there are fewer.

    With the accuracy of all: it is the vertical axis, and the area of a point the size of its
    file. Else the size is the vertical axis.
    """
    rows = plot_rows(result)[:MOST]
    if len(rows) < 2:
        return ""
    accuracies = [_accuracy(row) for row in rows]
    known = [one for one in accuracies if one is not None]
    by_accuracy = len(known) == len(rows)
    p50 = [row.row.p50_ns for row in rows]
    across = Axis.over(
        min(_low(row) for row in rows),
        max(_high(row) for row in rows),
        _LEFT + _LARGEST_PX,
        WIDTH - _RIGHT - _LARGEST_PX,
        can_be_log=True,
        margin=0.06,
    )
    sizes = [float(row.row.size_bytes) for row in rows]
    if by_accuracy:
        ends = [end for one in known for end in one]
        up = Axis.over(min(ends), max(ends), _BOTTOM, _TOP, margin=0.12)
    else:
        up = Axis.over(
            max(1.0, min(sizes)), max(sizes), _BOTTOM, _TOP, can_be_log=True, margin=0.12
        )
    canvas = Canvas()
    _axes(canvas, across, up, by_accuracy=by_accuracy, sizes=sizes)
    points = []
    for row, taken, accuracy in zip(rows, p50, accuracies, strict=True):
        height = accuracy[0] if by_accuracy and accuracy is not None else row.row.size_bytes
        radius = 6.0
        if by_accuracy:
            part = math.sqrt(row.row.size_bytes / max(sizes)) if max(sizes) else 1
            radius = max(_SMALLEST_PX, _LARGEST_PX * part)
        points.append(_Point(row=row, x=across(taken), y=up(height), radius=radius))
    for point in sorted(points, key=lambda one: -one.radius):
        _draw(canvas, point, across, up, by_accuracy=by_accuracy)
    for point, box in zip(points, _placed(points), strict=True):
        _label(canvas, point, box)
    told = "; ".join(f"{row.name}: {_told(row)}" for row in rows)
    wanted = "accuracy and size" if by_accuracy else "size"
    return canvas.svg(_BOTTOM + 46, title=f"Latency, {wanted}", description=told)


def _accuracy(row: PlotRow) -> tuple[float, float, float] | None:
    given = row.row.accuracy or {}
    value, low, high = (given.get(name) for name in ("value", "low", "high"))
    if not is_number(value):
        return None
    return value, low if is_number(low) else value, high if is_number(high) else value


def _low(row: PlotRow) -> float:
    found = row.row.of_percentile(50)
    return found.low if found else row.row.p50_ns


def _high(row: PlotRow) -> float:
    found = row.row.of_percentile(50)
    return found.high if found else row.row.p50_ns


def _told(row: PlotRow) -> str:
    found = row.row.of_percentile(50)
    accuracy = _accuracy(row)
    told = [
        f"p50 {enclosed(found)}" if found else "",
        size(row.row.size_bytes),
        "" if accuracy is None else f"accuracy {share(accuracy[0])}",
        "" if row.row.valid else "INVALID",
    ]
    return ", ".join(filter(None, told))


def _axes(
    canvas: Canvas, across: Axis, up: Axis, *, by_accuracy: bool, sizes: Sequence[float]
) -> None:
    unit = time_unit([across.high])
    for value in across.ticks():
        x = across(value)
        canvas.line(x, _TOP, x, _BOTTOM, "grid")
        text = _short(duration(value)) if across.is_log else f"{value / unit.size:,.10g}"
        canvas.text(x, _BOTTOM + 16, text, "small", anchor="middle")
    scale = "p50 (logarithmic)" if across.is_log else f"p50, {unit.name}"
    middle = (across.start_px + across.end_px) / 2
    canvas.text(middle, _BOTTOM + 36, f"latency of one inference, {scale}", "axis", anchor="middle")
    of_size = size_unit([up.high])
    for value in up.ticks(6):
        y = up(value)
        canvas.line(_LEFT, y, WIDTH - _RIGHT, y, "grid")
        if by_accuracy:
            text = f"{100 * value:.4g} %"
        elif up.is_log:
            text = _short(size(value))
        else:
            text = f"{value / of_size.size:,.10g} {of_size.name}"
        canvas.text(_LEFT - 8, y + 4, text, "small", anchor="end")
    upright = "accuracy" if by_accuracy else "size of the file"
    if not by_accuracy and up.is_log:
        upright += " (logarithmic)"
    canvas.text(0, _TOP - 8, upright, "axis")
    if by_accuracy:
        told = f"area: size of the file, the largest {size(max(sizes))}"
        canvas.text(WIDTH - _RIGHT, _TOP - 8, told, "small", anchor="end")


def _short(text: str) -> str:
    return text.replace(".00 ", " ").replace(".0 ", " ")


def _draw(canvas: Canvas, point: _Point, across: Axis, up: Axis, *, by_accuracy: bool) -> None:
    row = point.row
    with canvas.group(f"{row.kind} point"):
        canvas.line(across(_low(row)), point.y, across(_high(row)), point.y, "interval thin")
        accuracy = _accuracy(row)
        if by_accuracy and accuracy is not None:
            canvas.line(point.x, up(accuracy[1]), point.x, up(accuracy[2]), "interval thin")
        title = f"{row.name}: {_told(row)}"
        canvas.circle(point.x, point.y, point.radius, "bubble", title=title)


def _label(canvas: Canvas, point: _Point, box: _Box) -> None:
    kind = "name" if point.row.row.valid else "name bad"
    x = {"": box.left, "end": box.right, "middle": (box.left + box.right) / 2}[box.anchor]
    y = (box.top + box.bottom) / 2
    gap_x = max(box.left - point.x, point.x - box.right, 0.0)
    gap_y = max(box.top - point.y, point.y - box.bottom, 0.0)
    if math.hypot(gap_x, gap_y) > point.radius + 12:
        end_x = min(max(point.x, box.left), box.right)
        end_y = min(max(point.y, box.top), box.bottom)
        steps = f"M{number(point.x)} {number(point.y)}L{number(end_x)} {number(end_y)}"
        canvas.path(steps, "leader")
    text = shortened(point.row.name, _ROOM_PX)
    canvas.text(x, y + 4, text, kind, anchor=box.anchor, title=point.row.name)


def _placed(points: Sequence[_Point]) -> list[_Box]:
    """One after the other, each where it covers least: near its point first, then further off."""
    taken: list[_Box] = []
    circles = [
        _Box(
            left=one.x - one.radius,
            top=one.y - one.radius,
            right=one.x + one.radius,
            bottom=one.y + one.radius,
            anchor="",
        )
        for one in points
    ]
    for point in points:
        choices = list(_choices(point))
        costs = [
            sum(map(box.overlaps, taken)) * 4 + sum(map(box.overlaps, circles)) + _outside(box) * 50
            for box in choices
        ]
        best = min(range(len(choices)), key=lambda i: (costs[i] > 1, round(costs[i]), i))
        taken.append(choices[best])
    return taken


def _choices(point: _Point) -> list[_Box]:
    text = shortened(point.row.name, _ROOM_PX)
    wide = width_px(text)
    near = []
    for extra in (0, 14, 30, 50, 75, 105, 140):
        away = point.radius + 5 + extra
        for anchor, dx, dy in (
            ("", 1.0, 0.0),
            ("end", -1.0, 0.0),
            ("middle", 0.0, -1.0),
            ("middle", 0.0, 1.0),
            ("", 0.7, -0.7),
            ("", 0.7, 0.7),
            ("end", -0.7, -0.7),
            ("end", -0.7, 0.7),
        ):
            x, y = point.x + dx * away, point.y + dy * (away + (3 if anchor == "middle" else 0))
            left = {"": x, "end": x - wide, "middle": x - wide / 2}[anchor]
            half = _TEXT_PX / 2
            near.append(
                _Box(left=left, top=y - half, right=left + wide, bottom=y + half, anchor=anchor)
            )
    return near


def _outside(box: _Box) -> float:
    """How far a label leaves the chart."""
    beyond = (
        _LEFT + 2 - box.left,
        box.right - WIDTH,
        _TOP - box.top,
        box.bottom - _BOTTOM,
    )
    return sum(max(0.0, one) for one in beyond)
