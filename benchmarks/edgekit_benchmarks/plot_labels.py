"""Find places for the labels of points, where they cover neither each other nor the points."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from edgekit_benchmarks.plot import width_px

_HEIGHT_PX = 15
_DIRECTIONS = (
    ("", 1.0, 0.0),
    ("end", -1.0, 0.0),
    ("middle", 0.0, -1.0),
    ("middle", 0.0, 1.0),
    ("", 0.7, -0.7),
    ("", 0.7, 0.7),
    ("end", -0.7, -0.7),
    ("end", -0.7, 0.7),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """A part of the chart; for a label also how its text is anchored: ``end``, ``middle`` or ""."""

    left: float
    top: float
    right: float
    bottom: float
    anchor: str = ""

    def common(self, other: Box) -> float:
        """The area that both cover.

        >>> Box(left=0, top=0, right=4, bottom=2).common(Box(left=3, top=1, right=9, bottom=9))
        1
        """
        wide = min(self.right, other.right) - max(self.left, other.left)
        high = min(self.bottom, other.bottom) - max(self.top, other.top)
        return wide * high if wide > 0 and high > 0 else 0

    def beyond(self, frame: Box) -> float:
        """How far it leaves `frame`, in pixels."""
        ends = (
            frame.left - self.left,
            self.right - frame.right,
            frame.top - self.top,
            self.bottom - frame.bottom,
        )
        return sum(max(0.0, end) for end in ends)


@dataclass(frozen=True, slots=True, kw_only=True)
class Spot:
    """A point, and the text that belongs to it."""

    x: float
    y: float
    radius: float
    text: str


def placed(spots: Sequence[Spot], marks: Sequence[Box], frame: Box) -> list[Box]:
    """One after the other, each where it covers least: near its point first, then further off.

    Args:
        spots: to be labelled.
        marks: what else should stay free.
        frame: what labels should not leave.
    """
    taken: list[Box] = []
    drawn = [*marks, *map(_around, spots)]
    for spot in spots:
        choices = list(_choices(spot))
        costs = [
            sum(map(box.common, taken)) * 4 + sum(map(box.common, drawn)) + box.beyond(frame) * 50
            for box in choices
        ]
        best = min(range(len(choices)), key=lambda i: (costs[i] > 1, round(costs[i]), i))
        taken.append(choices[best])
    return taken


def _around(spot: Spot) -> Box:
    return Box(
        left=spot.x - spot.radius,
        top=spot.y - spot.radius,
        right=spot.x + spot.radius,
        bottom=spot.y + spot.radius,
    )


def _choices(spot: Spot) -> Iterator[Box]:
    wide, half = width_px(spot.text), _HEIGHT_PX / 2
    for extra in (0, 14, 30, 50, 75, 105, 140):
        away = spot.radius + 5 + extra
        for anchor, right, down in _DIRECTIONS:
            x = spot.x + right * away
            y = spot.y + down * (away + (3 if anchor == "middle" else 0))
            left = {"": x, "end": x - wide, "middle": x - wide / 2}[anchor]
            yield Box(left=left, top=y - half, right=left + wide, bottom=y + half, anchor=anchor)
