"""What the operators of a row take, the slowest first."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from edgekit_benchmarks.plot import WIDTH, Axis, Canvas, axis_below, shortened
from edgekit_benchmarks.plot_names import PlotRow
from edgekit_benchmarks.report_numbers import duration, is_number, share, time_unit
from edgekit_benchmarks.result import BenchmarkResult, Row

MOST = 15
"""Operators shown by name; the others are one bar."""
_LEFT, _RIGHT, _ROW_PX = 368, 178, 24
_TIMES = ("ns", "p50_ns", "time_ns")


@dataclass(frozen=True, slots=True, kw_only=True)
class Timed:
    """An operator, or a few that were timed together."""

    name: str
    kind: str = ""
    ns: float
    """Of one inference; noise can bring it below 0 where differences are taken."""
    interval_ns: tuple[float, float] | None = None

    @property
    def label(self) -> str:
        """Kind and name, where these differ."""
        return f"{self.kind}  {self.name}" if self.kind and self.kind != self.name else self.name


def plot_operators(row: PlotRow) -> str:
    """Bars of the row's operators; empty if none were timed."""
    timed = operator_times(row.row.operators or ())
    if not timed:
        return ""
    total = sum(max(0.0, one.ns) for one in timed)
    ordered = sorted(timed, key=lambda one: -one.ns)
    shown, rest = ordered[:MOST], ordered[MOST:]
    if rest:
        name = f"{len(rest)} other{'' if len(rest) == 1 else 's'}"
        shown.append(Timed(name=name, ns=sum(max(0.0, one.ns) for one in rest)))
    canvas = Canvas()
    bottom = 4 + _ROW_PX * len(shown)
    highest = max(end for one in shown for end in (one.ns, *(one.interval_ns or ())))
    axis = Axis(low=0, high=max(highest * 1.02, 1e-9), start_px=_LEFT, end_px=WIDTH - _RIGHT)
    unit = time_unit([highest])
    axis_below(
        canvas,
        axis,
        0,
        bottom,
        lambda value: f"{value / unit.size:,.10g}",
        title=f"time in an inference, {unit.name}",
    )
    for i, one in enumerate(shown):
        _draw(canvas, axis, one, total, row.colour, 4 + i * _ROW_PX)
    listed = "; ".join(f"{one.label} {duration(max(0.0, one.ns))}" for one in shown)
    return canvas.svg(bottom + 42, title=f"Operators of {row.name}", description=listed)


def _draw(canvas: Canvas, axis: Axis, one: Timed, total: float, colour: str, top_px: float) -> None:
    taken = max(0.0, one.ns)
    told = f"{duration(taken)}, {share(taken / total if total else 0)}"
    label = shortened(one.label, _LEFT - 16)
    canvas.text(_LEFT - 12, top_px + 14, label, "name", anchor="end", title=one.label)
    end = taken
    with canvas.group(colour):
        title = f"{one.label}: {told}"
        canvas.box(_LEFT, top_px + 3, axis(taken) - _LEFT, _ROW_PX - 8, "bar", title=title)
        if one.interval_ns is not None:
            low, high = one.interval_ns
            y = top_px + _ROW_PX / 2 - 1
            canvas.line(axis(low), y, axis(high), y, "whisker")
            end = max(taken, high)
    canvas.text(axis(end) + 8, top_px + 14, told, "value small")


def operator_times(operators: Sequence[Mapping[str, Any]]) -> list[Timed]:
    """The operators that have a time: their own, or the median of their samples."""
    found = []
    for one in operators:
        taken = next((one[key] for key in _TIMES if is_number(one.get(key))), None)
        samples = one.get("samples_ns")
        if taken is None and isinstance(samples, list | tuple):
            numbers = [value for value in samples if is_number(value)]
            taken = statistics.median(numbers) if numbers else None
        if taken is not None:
            name, kind = str(one.get("name", "")), str(one.get("operator", ""))
            interval = _interval(one.get("interval_ns"))
            found.append(Timed(name=name, kind=kind, ns=float(taken), interval_ns=interval))
    return found


def operator_check(result: BenchmarkResult, row: Row) -> str:
    """How well the row's operators explain a whole inference, in a sentence; empty if unknown."""
    checks = result.settings.get("operators")
    for one in checks if isinstance(checks, list | tuple) else ():
        if not isinstance(one, Mapping):
            continue
        own = (one.get("path"), one.get("target"), one.get("threads"))
        ratio, whole = one.get("ratio"), one.get("whole_ns")
        if own == (row.path, row.target, row.threads) and is_number(ratio) and is_number(whole):
            warning = "" if one.get("trusted") is True else " Do not trust this profile."
            method = f" ({one['method']})" if isinstance(one.get("method"), str) else ""
            return f"In sum {ratio:.2f} of the whole, {duration(whole)}{method}.{warning}"
    return ""


def _interval(given: object) -> tuple[float, float] | None:
    if isinstance(given, list | tuple) and len(given) == 2:
        low, high = given
        if is_number(low) and is_number(high):
            return max(0.0, low), max(0.0, high)
    return None
