"""Temperature, clock and load of a target while it measured, and when it was throttled."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from edgekit_benchmarks.device_worker.facts import throttled
from edgekit_benchmarks.plot import WIDTH, Axis, Canvas, number
from edgekit_benchmarks.report_numbers import is_number
from edgekit_benchmarks.result import BenchmarkResult

_LEFT, _RIGHT, _TOP, _PANEL_PX, _GAP_PX = 84, 24, 26, 92, 30
_NOW = 0xF
_MOST_LOOKS = 600

Look = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Series:
    key: str
    title: str
    divisor: float = 1.0
    least: float = 0.0
    """The axis spans at least so much: noise should not look like a mountain."""


_SERIES = (
    _Series(key="temperature_c", title="temperature, °C", least=10),
    _Series(key="frequency_khz", title="clock, MHz", divisor=1000, least=200),
    _Series(key="load_1m", title="load (1 minute)", least=1),
)


def plot_watch(result: BenchmarkResult, target: str) -> str:
    """Panels with one time; empty if the target tells neither temperature, clock nor throttling."""
    looks = sorted(
        (look for look in result.targets[target].watch if is_number(look.get("t_ns"))),
        key=lambda look: look["t_ns"],
    )
    if len(looks) < 2 or not any(
        is_number(look.get(key))
        for look in looks
        for key in ("temperature_c", "frequency_khz", "throttled")
    ):
        return ""
    shown = [one for one in _SERIES if sum(is_number(look.get(one.key)) for look in looks) > 1]
    begin = looks[0]["t_ns"]
    seconds = max(1e-9, (looks[-1]["t_ns"] - begin) / 1e9)
    across = Axis(low=0, high=seconds, start_px=_LEFT, end_px=WIDTH - _RIGHT)
    bottom = _TOP + len(shown) * (_PANEL_PX + _GAP_PX) - _GAP_PX if shown else _TOP + 40
    canvas = Canvas()
    _phases(canvas, looks, across, begin, bottom)
    spans = _throttles(canvas, looks, across, begin, bottom)
    told = []
    for i, series in enumerate(shown):
        top = _TOP + i * (_PANEL_PX + _GAP_PX)
        told.append(_panel(canvas, series, looks, across, begin, top))
    for value in across.ticks(10):
        canvas.text(across(value), bottom + 16, f"{value:,.10g}", "small", anchor="middle")
    middle = (across.start_px + across.end_px) / 2
    canvas.text(middle, bottom + 34, "seconds since the first look", "axis", anchor="middle")
    described = "; ".join([*told, *spans])
    return canvas.svg(bottom + 42, title=f"State of {target}", description=described)


def _panel(
    canvas: Canvas, series: _Series, looks: Sequence[Look], across: Axis, begin: float, top: float
) -> str:
    points = [
        ((look["t_ns"] - begin) / 1e9, look[series.key] / series.divisor)
        for look in looks
        if is_number(look.get(series.key))
    ]
    values = [value for _, value in points]
    lacking = max(0.0, series.least - (max(values) - min(values))) / 2
    up = Axis.over(
        min(values) - min(lacking, max(0.0, min(values))),
        max(values) + lacking,
        top + _PANEL_PX,
        top,
    )
    for value in up.ticks(4):
        canvas.line(_LEFT, up(value), WIDTH - _RIGHT, up(value), "grid")
        canvas.text(_LEFT - 8, up(value) + 4, f"{value:,.10g}", "small", anchor="end")
    canvas.text(_LEFT, top - 8, series.title, "axis")
    ends = f"{series.title}: from {min(values):,.4g} to {max(values):,.4g}"
    steps = [
        f"{number(across(at))} {number(up(value))}" for at, value in _thinned(points, _MOST_LOOKS)
    ]
    canvas.path("M" + "L".join(steps), "curve", title=ends)
    return ends


def _thinned(points: Sequence[tuple[float, float]], most: int) -> list[tuple[float, float]]:
    """The lowest and highest of each stretch, where there are too many."""
    every = -(-len(points) // most)
    if every == 1:
        return list(points)
    kept = []
    for i in range(0, len(points), 2 * every):
        part = points[i : i + 2 * every]
        ends = {min(part, key=lambda one: one[1]), max(part, key=lambda one: one[1])}
        kept += sorted(ends)
    return kept


def _phases(
    canvas: Canvas, looks: Sequence[Look], across: Axis, begin: float, bottom: float
) -> None:
    """A band behind the time in which latencies were taken."""
    for is_steady, left, right in _stretches(looks, [look.get("phase") for look in looks]):
        if is_steady == "steady":
            x = across((left - begin) / 1e9)
            width = across((right - begin) / 1e9) - x
            canvas.box(x, _TOP, width, bottom - _TOP, "band", title="latencies were taken")


def _throttles(
    canvas: Canvas, looks: Sequence[Look], across: Axis, begin: float, bottom: float
) -> list[str]:
    told = []
    bits = [
        look["throttled"] & _NOW if isinstance(look.get("throttled"), int) else 0 for look in looks
    ]
    for state, left, right in _stretches(looks, bits):
        if state:
            words = ", ".join((throttled(state) or {})["now"])
            x = across((left - begin) / 1e9)
            width = max(3.0, across((right - begin) / 1e9) - x)
            span = f"{words}, from {(left - begin) / 1e9:,.0f} s to {(right - begin) / 1e9:,.0f} s"
            canvas.box(x, _TOP, width, bottom - _TOP, "throttle", title=span)
            told.append(span)
    if told:
        canvas.text(WIDTH - _RIGHT, 14, told[0], "small bad", anchor="end")
    return told


def _stretches(looks: Sequence[Look], states: Sequence[Any]) -> list[tuple[Any, float, float]]:
    """Runs of looks with the same state, each until the next look."""
    found = []
    done = 0
    for state, run in groupby(states):
        count = len(list(run))
        end = min(done + count, len(looks) - 1)
        found.append((state, looks[done]["t_ns"], looks[end]["t_ns"]))
        done += count
    return found
