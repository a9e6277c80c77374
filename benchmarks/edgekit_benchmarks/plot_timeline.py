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
from edgekit_benchmarks.plot_names import PlotRow, plot_rows
from edgekit_benchmarks.report_numbers import duration
from edgekit_benchmarks.result import BenchmarkResult

MOST = 24
"""More rows than that of a target are not drawn."""
_LEFT, _TOP = 268, 30
_GAP_PX = 5
_POINTS = 9_000
"""About so many columns in all charts together, at most."""
_ABOVE = 1.02

_Array = np.ndarray[Any, np.dtype[np.float64]]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Run:
    """What one process took of one row: when, in ns from any time, and how long."""

    at_ns: _Array
    samples_ns: _Array
    warm_up_at_ns: _Array
    warm_up_ns: _Array


@dataclass(frozen=True, slots=True, kw_only=True)
class _Cell:
    """Where a process of a row is drawn: its time at its left end, and pixels for a nanosecond."""

    left_px: float
    begin_ns: float
    px_a_ns: float

    def x(self, at_ns: _Array) -> _Array:
        return self.left_px + (at_ns - self.begin_ns) * self.px_a_ns


def plot_timeline(result: BenchmarkResult, target: str) -> str:
    """One chart for the rows of a target; empty if it has no times."""
    rows = [row for row in plot_rows(result) if row.row.target == target][:MOST]
    if not rows:
        return ""
    row_px = 74 if len(rows) <= 4 else 58 if len(rows) <= 12 else 46
    runs = [[_run(row, process) for process in range(row.row.processes)] for row in rows]
    count = max(map(len, runs))
    column_px = (WIDTH - 8 - _LEFT - _GAP_PX * (count - 1)) / count
    step_px = max(1.5, len(plot_rows(result)) * (WIDTH - _LEFT) / _POINTS)
    canvas = Canvas()
    bottom = _TOP + row_px * len(rows)
    for process in range(count):
        left = _LEFT + process * (column_px + _GAP_PX)
        canvas.box(left, _TOP, column_px, bottom - _TOP, "band")
        if count <= 24 or process % 5 == 4:
            canvas.text(left + column_px / 2, _TOP - 8, str(process + 1), "small", anchor="middle")
    canvas.text(_LEFT - 12, _TOP - 8, "process", "small", anchor="end")
    cells = [_cells(column, column_px, process) for process, column in _columns(runs, count)]
    for i, row in enumerate(rows):
        own = [(runs[i][process], cells[process][i]) for process in range(len(runs[i]))]
        _draw(canvas, row, own, _TOP + i * row_px, row_px, step_px)
    told = "; ".join(f"{row.name}: {_medians(row)}" for row in rows)
    return canvas.svg(bottom + 8, title=f"Latencies in time on {target}", description=told)


def _columns(runs: list[list[_Run]], count: int) -> list[tuple[int, list[_Run | None]]]:
    return [
        (process, [row[process] if process < len(row) else None for row in runs])
        for process in range(count)
    ]


def _run(row: PlotRow, process: int) -> _Run:
    samples = np.asarray(row.row.samples_ns[process], np.float64)
    spent = samples * row.row.repeats
    at = np.concatenate([[0.0], np.cumsum(spent)[:-1]])
    stamps = row.row.stamps_ns[process] if process < len(row.row.stamps_ns) else ()
    counts = row.row.chunks[process] if process < len(row.row.chunks) else ()
    if stamps and len(stamps) == len(counts) and sum(counts) == len(samples):
        whole = np.asarray(counts, np.int64)
        firsts = np.cumsum(whole) - whole
        filled = whole > 0
        begins = np.asarray(stamps, np.float64)[filled] - at[firsts[filled]]
        at = at + np.repeat(begins, whole[filled])
    given = row.row.warm_up_ns[process] if process < len(row.row.warm_up_ns) else ()
    warm_up = np.asarray(given, np.float64)
    before = at[0] - np.cumsum(warm_up[::-1])[::-1] if len(warm_up) else warm_up
    return _Run(at_ns=at, samples_ns=samples, warm_up_at_ns=before, warm_up_ns=warm_up)


def _cells(column: list[_Run | None], column_px: float, process: int) -> list[_Cell]:
    """Rows that took turns share their time; others begin at the left, each at its own."""
    given = [run for run in column if run is not None]
    took_turns = max(run.at_ns[0] for run in given) <= min(_end_ns(run) for run in given)
    left = _LEFT + process * (column_px + _GAP_PX)
    longest = max(_end_ns(run) - _begin_ns(run) for run in given)
    shared = min(map(_begin_ns, given))
    if took_turns:
        longest = max(map(_end_ns, given)) - shared
    return [
        _Cell(
            left_px=left,
            begin_ns=shared if took_turns or run is None else _begin_ns(run),
            px_a_ns=column_px / max(1.0, longest),
        )
        for run in column
    ]


def _begin_ns(run: _Run) -> float:
    return float(run.warm_up_at_ns[0] if len(run.warm_up_at_ns) else run.at_ns[0])


def _end_ns(run: _Run) -> float:
    return float(run.at_ns[-1] + run.samples_ns[-1])


def _draw(
    canvas: Canvas,
    row: PlotRow,
    own: list[tuple[_Run, _Cell]],
    top_px: float,
    row_px: float,
    step_px: float,
) -> None:
    samples = row.samples()
    middle = float(np.median(samples))
    lowest = float(samples.min())
    high = max(float(np.quantile(samples, 0.98)) * _ABOVE, middle * 1.1)
    axis = Axis(low=lowest * 0.97, high=high, start_px=top_px + row_px - 8, end_px=top_px + 8)
    name = shortened(row.name, _LEFT - 74)
    canvas.text(0, (axis.start_px + axis.end_px) / 2 + 4, name, "name", title=row.name)
    for value in (high, lowest):
        y = axis(value)
        canvas.text(_LEFT - 8, y + 4, duration(value), "small", anchor="end")
    with canvas.group(row.kind):
        canvas.line(_LEFT, axis(middle), WIDTH - 8, axis(middle), "median")
        for process, (run, cell) in enumerate(own, 1):
            title = (
                f"{row.name}, process {process}: {len(run.samples_ns):,} samples, p50 "
                f"{duration(float(np.median(run.samples_ns)))}, fastest "
                f"{duration(float(run.samples_ns.min()))}, slowest "
                f"{duration(float(run.samples_ns.max()))}"
            )
            with canvas.group("run", title=title):
                for kind, at, taken in (
                    ("warm", run.warm_up_at_ns, run.warm_up_ns),
                    ("steady", run.at_ns, run.samples_ns),
                ):
                    spread, line = _steps(cell.x(at), taken, axis, step_px)
                    if spread:
                        canvas.path(spread, f"{kind} spread")
                        canvas.path(line, f"{kind} middle")


def _steps(x: _Array, samples: _Array, axis: Axis, step_px: float) -> tuple[str, str]:
    """For each column: a line from the fastest to the slowest, and a mark at the median."""
    spread: list[str] = []
    middle: list[str] = []
    if not len(samples):
        return "", ""
    columns = np.floor(x / step_px)
    firsts = np.flatnonzero(np.concatenate([[True], np.diff(columns) != 0]))
    for begin, end in itertools.pairwise([*firsts, len(samples)]):
        part = samples[begin:end]
        at = number((columns[begin] + 0.5) * step_px)
        spread.append(f"M{at} {number(axis(float(part.min())))}V{number(axis(float(part.max())))}")
        y = axis(float(np.median(part)))
        left = number(columns[begin] * step_px)
        middle.append(f"M{left} {number(y)}h{number(step_px)}")
    return "".join(spread), "".join(middle)


def _medians(row: PlotRow) -> str:
    told = (duration(float(np.median(run))) for run in row.row.samples_ns)
    return f"medians of its processes {', '.join(told)}"
