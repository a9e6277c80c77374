"""How the latencies of each row are spread, with p50 and p90 and their intervals."""

from __future__ import annotations

from typing import Any

import numpy as np

from edgekit_benchmarks.percentile import Enclosed
from edgekit_benchmarks.plot import WIDTH, Axis, Canvas, axis_below, number, shortened
from edgekit_benchmarks.plot_names import PlotRow, name_column_px, plot_rows
from edgekit_benchmarks.report_numbers import duration, enclosed, time_unit
from edgekit_benchmarks.result import BenchmarkResult

MOST = 60
"""More rows than that are in the table only."""
_RIGHT = 178
_TOP = 8
_BIN_PX = 2
_SMOOTH = np.array([1, 4, 6, 4, 1]) / 16

_Array = np.ndarray[Any, np.dtype[np.float64]]


def plot_distribution(result: BenchmarkResult) -> str:
    """One chart for all rows, from the fastest of all samples to the slowest p95; empty if none.

    What is slower yet is told by an arrow with the slowest sample.
    """
    rows = plot_rows(result)[:MOST]
    if not rows:
        return ""
    row_px = 58 if len(rows) <= 12 else 44
    bottom = _TOP + row_px * len(rows)
    samples = [row.samples() for row in rows]
    left = name_column_px(rows)
    axis = Axis.over(
        min(float(one.min()) for one in samples),
        max(_end(row, one) for row, one in zip(rows, samples, strict=True)),
        left,
        WIDTH - _RIGHT,
        can_be_log=True,
    )
    canvas = Canvas()
    if axis.is_log:
        title = "latency of one inference (logarithmic)"
        axis_below(canvas, axis, _TOP, bottom, _short, title=title)
    else:
        unit = time_unit([axis.high])
        title = f"latency of one inference, {unit.name}"
        axis_below(
            canvas, axis, _TOP, bottom, lambda value: f"{value / unit.size:,.10g}", title=title
        )
    for i, (row, taken) in enumerate(zip(rows, samples, strict=True)):
        _draw(canvas, axis, row, taken, _TOP + i * row_px, row_px)
    told = "; ".join(
        f"{row.name}: {_percentiles(row)}, from {duration(one.min())} to {duration(one.max())}"
        for row, one in zip(rows, samples, strict=True)
    )
    return canvas.svg(bottom + 42, title="Distribution of latencies", description=told)


def _end(row: PlotRow, samples: _Array) -> float:
    """How far the axis must reach for a row: its p95, and its interval of p90."""
    found = row.row.of_percentile(90) or row.row.of_percentile(50)
    reach = found.high if found else 0.0
    return min(float(samples.max()), max(reach, float(np.quantile(samples, 0.95))))


def _short(value_ns: float) -> str:
    return duration(value_ns).replace(".00 ", " ").replace(".0 ", " ")


def _percentiles(row: PlotRow) -> str:
    told = []
    for percent in (50, 90, 99):
        if found := row.row.of_percentile(percent):
            told.append(f"p{percent} {enclosed(found)}")
    return ", ".join(told)


def _draw(
    canvas: Canvas, axis: Axis, row: PlotRow, samples: _Array, top_px: float, row_px: float
) -> None:
    base = top_px + row_px - 22
    taken = f"{len(samples):,} samples of {row.row.processes} processes"
    title = f"{row.name}: {taken}, {_percentiles(row)}"
    with canvas.group(row.kind, title=title):
        canvas.line(axis.start_px, base, axis.end_px, base, "base")
        canvas.path(_silhouette(samples, axis, base, row_px - 28), "shape")
        highest = float(samples.max())
        canvas.line(axis(float(samples.min())), base, axis(highest), base, "range")
        middle, high = row.row.of_percentile(50), row.row.of_percentile(90)
        if high is not None:
            _interval(canvas, axis, high, base + 13, hollow=True)
        if middle is not None:
            _interval(canvas, axis, middle, base + 8, hollow=False)
        if highest > axis.high:
            x = axis.end_px
            canvas.path(f"M{number(x)} {number(base - 4)}l7 4l-7 4z", "arrow")
    x = axis.start_px - 12
    name = shortened(row.name, x)
    canvas.text(x, base, name, "name", anchor="end", title=row.name)
    marked = "INVALID" if not row.row.valid else f"slowest {duration(highest)}"
    canvas.text(x, base + 15, marked, "small" if row.row.valid else "small bad", anchor="end")
    x = WIDTH - _RIGHT + 16
    if middle is not None:
        canvas.text(x, base, f"p50 {enclosed(middle)}", "value")
    if high is not None:
        canvas.text(x, base + 15, f"p90 {enclosed(high)}", "value small")


def _interval(canvas: Canvas, axis: Axis, found: Enclosed, y: float, *, hollow: bool) -> None:
    canvas.line(axis(found.low), y, axis(found.high), y, "interval")
    canvas.circle(axis(found.value), y, 3 if hollow else 3.6, "hollow" if hollow else "dot")


def _silhouette(samples: _Array, axis: Axis, base_px: float, height_px: float) -> str:
    """A histogram of two pixels a column, lightly smoothed; as high as the row in its middle."""
    columns = int((axis.end_px - axis.start_px) / _BIN_PX)
    if axis.is_log:
        edges = np.geomspace(axis.low, axis.high, columns + 1)
    else:
        edges = np.linspace(axis.low, axis.high, columns + 1)
    counts = np.histogram(samples, edges)[0].astype(np.float64)
    heights = np.convolve(counts, _SMOOTH, "same")
    heights *= height_px / max(float(heights.max()), 1e-9)
    drawn = np.flatnonzero(heights >= 0.05)
    steps = []
    for run in np.split(drawn, np.flatnonzero(np.diff(drawn) > 1) + 1):
        if run.size:
            first = axis.start_px + _BIN_PX * float(run[0])
            points = "".join(f"V{number(base_px - heights[i])}h{_BIN_PX}" for i in run)
            steps.append(f"M{number(first)} {number(base_px)}{points}V{number(base_px)}z")
    return "".join(steps)
