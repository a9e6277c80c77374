"""The samples of each row in the order in which they were taken, process by process.

Drift, a warm-up that was too short, throttling and disturbances show here, and whether they hit all
rows at once. The time between processes is left out.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgekit_benchmarks.plot import WIDTH, Axis, Canvas, number, shortened
from edgekit_benchmarks.plot_names import PlotRow, name_column_px, plot_rows
from edgekit_benchmarks.report_numbers import duration
from edgekit_benchmarks.result import BenchmarkResult

MOST = 24
"""More rows than that of a target are not drawn."""
_RIGHT, _TOP, _SCALE_PX = 8, 30, 66
_GAP_PX = 5
_POINTS = 9_000
"""About so many columns in all charts together, at most."""
MOST_TIMES = 2.5
"""No scale reaches further than so many medians."""

_Array = np.ndarray[Any, np.dtype[np.float64]]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Run:
    """What one process took of one row, and the part of its column at which each sample ends."""

    warm_up_ns: _Array
    warm_up_ends: _Array
    samples_ns: _Array
    ends: _Array
    total_ns: float

    @classmethod
    def of(cls, row: PlotRow, process: int) -> _Run:
        """The time that other rows took in between is left out."""
        given = row.row.warm_up_ns[process] if process < len(row.row.warm_up_ns) else ()
        warm_up = np.asarray(given, np.float64)
        samples = np.asarray(row.row.samples_ns[process], np.float64)
        warming = float(warm_up.sum())
        total = warming + float(samples.sum()) * row.row.repeats
        return cls(
            warm_up_ns=warm_up,
            warm_up_ends=np.cumsum(warm_up) / total,
            samples_ns=samples,
            ends=(warming + np.cumsum(samples) * row.row.repeats) / total,
            total_ns=total,
        )


def plot_timeline(result: BenchmarkResult, target: str) -> str:
    """One chart for the rows of a target; empty if it has no times."""
    all_rows = plot_rows(result)
    rows = [row for row in all_rows if row.row.target == target][:MOST]
    if not rows:
        return ""
    left = max(name_column_px(rows, most=200) + _SCALE_PX, name_column_px(all_rows))
    row_px = 74 if len(rows) <= 4 else 58 if len(rows) <= 12 else 46
    runs = [[_Run.of(row, process) for process in range(row.row.processes)] for row in rows]
    count = max(map(len, runs))
    gap_px = _GAP_PX if count <= 40 else 1
    column_px = (WIDTH - _RIGHT - left - gap_px * (count - 1)) / count
    step_px = max(1.5, min(len(all_rows), 3 * MOST) * (WIDTH - left) / _POINTS)
    canvas = Canvas()
    bottom = _TOP + row_px * len(rows)
    lefts = [left + process * (column_px + gap_px) for process in range(count)]
    for process, begin in enumerate(lefts, 1):
        canvas.box(begin, _TOP, column_px, bottom - _TOP, "band")
        if count <= 24 or process % 5 == 0:
            canvas.text(begin + column_px / 2, _TOP - 8, str(process), "small", anchor="middle")
    canvas.text(left - 12, _TOP - 8, "process", "small", anchor="end")
    for i, (row, own) in enumerate(zip(rows, runs, strict=True)):
        placed = list(zip(own, lefts, strict=False))
        _draw(canvas, row, placed, column_px, _TOP + i * row_px, row_px, step_px)
    typical = duration(float(np.median([run.total_ns for own in runs for run in own])))
    middle = (left + WIDTH - _RIGHT) / 2
    title = f"time in each process, {typical} for a row"
    canvas.text(middle, bottom + 20, title, "axis", anchor="middle")
    told = "; ".join(f"{row.name}: {_medians(row)}" for row in rows)
    return canvas.svg(bottom + 28, title=f"Latencies in time on {target}", description=told)


def _draw(
    canvas: Canvas,
    row: PlotRow,
    own: list[tuple[_Run, float]],
    column_px: float,
    top_px: float,
    row_px: float,
    step_px: float,
) -> None:
    left_px = own[0][1]
    samples = row.samples()
    middle = float(np.median(samples))
    lowest = float(samples.min())
    high = float(np.clip(np.quantile(samples, 0.98), middle * 1.1, middle * MOST_TIMES))
    axis = Axis(low=lowest * 0.97, high=high, start_px=top_px + row_px - 8, end_px=top_px + 8)
    file, _, rest = row.name.removesuffix(f" on {row.row.target}").partition(", ")
    y = (axis.start_px + axis.end_px) / 2 + (-2 if rest else 4)
    canvas.text(0, y, shortened(file, left_px - _SCALE_PX), "name", title=row.name)
    if rest:
        canvas.text(0, y + 14, shortened(rest, left_px - _SCALE_PX, 11), "small", title=row.name)
    for value in (high, lowest):
        y = axis(value)
        canvas.text(left_px - 8, y + 4, duration(value), "small", anchor="end")
    with canvas.group(row.kind):
        canvas.line(left_px, axis(middle), WIDTH - _RIGHT, axis(middle), "median")
        for process, (run, begin_px) in enumerate(own, 1):
            title = (
                f"{row.name}, process {process}: {len(run.samples_ns):,} samples, p50 "
                f"{duration(float(np.median(run.samples_ns)))}, fastest "
                f"{duration(float(run.samples_ns.min()))}, slowest "
                f"{duration(float(run.samples_ns.max()))}"
            )
            with canvas.group("run", title=title):
                for kind, ends, taken in (
                    ("warm", run.warm_up_ends, run.warm_up_ns),
                    ("steady", run.ends, run.samples_ns),
                ):
                    x = begin_px + ends * column_px
                    drawn = _steps(x, taken, axis, step_px)
                    for steps, what in zip(drawn, ("spread", "extreme", "middle"), strict=True):
                        if steps:
                            canvas.path(steps, f"{kind} {what}")


def _steps(x: _Array, samples: _Array, axis: Axis, step_px: float) -> tuple[str, str, str]:
    """For each column: from the 5 % fastest to the 5 % slowest, the extremes, and the median."""
    if not len(samples):
        return "", "", ""
    columns = np.ceil(x / step_px - 1e-9) - 1
    columns[0] = columns[min(1, len(columns) - 1)] if len(columns) > 1 else columns[0]
    firsts = np.flatnonzero(np.concatenate([[True], np.diff(columns) != 0]))
    band: list[str] = []
    extremes: list[str] = []
    middle: list[str] = []
    for begin, end in itertools.pairwise([*firsts, len(samples)]):
        part = np.sort(samples[begin:end])
        cut = len(part) // 20
        left, at = number(columns[begin] * step_px), number((columns[begin] + 0.5) * step_px)
        low, high = number(axis(float(part[cut]))), number(axis(float(part[-1 - cut])))
        if low != high:
            band.append(f"M{at} {low}V{high}")
        if cut:
            ends = dict.fromkeys(number(axis(float(part[end]))) for end in (0, -1))
            extremes += [f"M{left} {y}h{number(step_px)}" for y in ends if y not in {low, high}]
        y = number(axis(float(part[(len(part) - 1) // 2])))
        middle.append(f"M{left} {y}h{number(step_px)}")
    return "".join(band), "".join(extremes), "".join(middle)


def _medians(row: PlotRow) -> str:
    told = (duration(float(np.median(run))) for run in row.row.samples_ns)
    return f"medians of its processes {', '.join(told)}"
