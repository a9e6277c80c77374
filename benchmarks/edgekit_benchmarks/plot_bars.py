"""Stacked bars, one for each row: how it starts, and the memory that it takes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from edgekit_benchmarks.plot import WIDTH, Axis, Canvas, axis_below, shortened, width_px
from edgekit_benchmarks.plot_names import plot_rows
from edgekit_benchmarks.report_numbers import Unit, duration, size, size_unit, time_unit
from edgekit_benchmarks.result import BenchmarkResult

_RIGHT, _TOP, _ROW_PX = 178, 34, 30


@dataclass(frozen=True, slots=True, kw_only=True)
class _Bar:
    name: str
    parts: tuple[float, ...]
    after: str
    """What stands behind the bar."""


def plot_phases(result: BenchmarkResult) -> str:
    """From nothing to the first result: import, load, first inference; empty if not measured."""
    bars = []
    for row in plot_rows(result):
        parts = [row.row.of_starts(name) for name in ("import_ns", "load_ns", "first_inference_ns")]
        if all(part is not None for part in parts):
            given = tuple(part or 0.0 for part in parts)
            after = f"{duration(sum(given))}, then {duration(row.row.p50_ns)}"
            bars.append(_Bar(name=row.name, parts=given, after=after))
    return _stacked(
        bars,
        ("import of the runtime", "load", "first inference"),
        time_unit,
        duration,
        title="time from an empty process to the first result",
    )


def plot_memory(result: BenchmarkResult) -> str:
    """What the process took before and at its peak; empty if not measured."""
    bars = []
    for row in plot_rows(result):
        peak, own = row.row.of_starts("peak_memory_bytes"), row.row.of_starts("model_memory_bytes")
        if peak is not None and own is not None:
            model = min(own, peak)
            after = f"{size(peak)}, of it {size(model)}"
            bars.append(_Bar(name=row.name, parts=(peak - model, model), after=after))
    return _stacked(
        bars,
        ("Python, NumPy and the runtime", "owed to the model, at the peak"),
        size_unit,
        size,
        title="resident memory of the process",
    )


def _stacked(
    bars: Sequence[_Bar],
    legend: Sequence[str],
    unit_of: Callable[[list[float]], Unit],
    told: Callable[[float], str],
    *,
    title: str,
) -> str:
    if not bars:
        return ""
    canvas = Canvas()
    left_px = x = min(268.0, max([110.0, *(width_px(bar.name) + 16 for bar in bars)]))
    for i, text in enumerate(legend):
        canvas.box(x, 6, 11, 11, f"part p{i}")
        canvas.text(x + 17, 16, text, "small")
        x += 17 + width_px(text, 11) + 22
    bottom = _TOP + _ROW_PX * len(bars)
    highest = max(sum(bar.parts) for bar in bars)
    axis = Axis(low=0, high=max(highest * 1.02, 1e-9), start_px=left_px, end_px=WIDTH - _RIGHT)
    unit = unit_of([highest])
    axis_below(
        canvas,
        axis,
        _TOP - 4,
        bottom,
        lambda value: f"{value / unit.size:,.10g}",
        title=f"{title}, {unit.name}",
    )
    for i, bar in enumerate(bars):
        top = _TOP + i * _ROW_PX + 5
        canvas.text(
            left_px - 12,
            top + 14,
            shortened(bar.name, left_px - 12),
            "name",
            anchor="end",
            title=bar.name,
        )
        begin = 0.0
        for number, (part, text) in enumerate(zip(bar.parts, legend, strict=True)):
            left, right = axis(begin), axis(begin + part)
            canvas.box(
                left,
                top,
                right - left,
                _ROW_PX - 10,
                f"part p{number}",
                title=f"{bar.name}: {text} {told(part)}",
            )
            begin += part
        canvas.text(axis(begin) + 8, top + 14, bar.after, "value small")
    described = "; ".join(
        f"{bar.name}: "
        + ", ".join(f"{text} {told(part)}" for text, part in zip(legend, bar.parts, strict=True))
        for bar in bars
    )
    return canvas.svg(bottom + 42, title=title.capitalize(), description=described)
