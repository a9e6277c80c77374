"""Draw charts as SVG: text of a few elements, whose colours the page decides by their classes."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from html import escape
from unicodedata import east_asian_width

WIDTH = 1080
"""Of every chart, in pixels where the window is wide enough."""
COLOURS = 8
_DECADE = 10
_FLAT = 1e-9
"""Values this much apart, as a share of them, are drawn as one."""


def clean(text: str) -> str:
    r"""Text fit to stand in markup: escaped, and without what cannot be printed.

    >>> clean('<b>"x"\x1b')
    '&lt;b&gt;&quot;x&quot;�'
    """
    printable = (c if c.isprintable() or c == " " else "\N{REPLACEMENT CHARACTER}" for c in text)
    return escape("".join(printable))


def width_px(text: str, size_px: float = 12) -> float:
    """About how wide a text is; generous, as fonts differ."""
    return size_px * sum(
        1.05 if east_asian_width(c) in "WF" else 0.36 if c in "iljtf.,:;'|![]() " else 0.64
        for c in text
    )


def shortened(text: str, most_px: float, size_px: float = 12) -> str:
    """The text with its middle left out if it is too wide.

    >>> shortened("a_very_long_name.int8.tflite", 120)
    'a_very_lo…t8.tflite'
    """
    if width_px(text, size_px) <= most_px:
        return text
    for kept in range(len(text) - 1, 2, -1):
        cut = f"{text[: kept // 2]}…{text[len(text) - (kept - kept // 2) :]}"
        if width_px(cut, size_px) <= most_px:
            return cut
    return "…"


def number(value: float) -> str:
    """A coordinate: a tenth of a pixel is enough.

    >>> number(12.04), number(3.25), number(-0.01)
    ('12', '3.2', '0')
    """
    text = f"{value:.1f}".removesuffix(".0")
    return "0" if text == "-0" else text


@dataclass(frozen=True, slots=True, kw_only=True)
class Axis:
    """From values to pixels."""

    low: float
    high: float
    start_px: float
    end_px: float
    is_log: bool = False

    @classmethod
    def over(
        cls,
        low: float,
        high: float,
        start_px: float,
        end_px: float,
        *,
        can_be_log: bool = False,
        margin: float = 0.03,
    ) -> Axis:
        """An axis that holds both, with a margin; logarithmic where they are a decade apart."""
        is_log = can_be_log and low > 0 and high / low > _DECADE
        if is_log:
            room = (high / low) ** margin
            low, high = low / room, high * room
        else:
            room = (high - low) * margin
            most = max(abs(low), abs(high))
            if high - low <= most * _FLAT:
                room = most * 0.05
            if room < _FLAT**2:
                room = 1
            low, high = max(0.0, low - room) if low >= 0 else low - room, high + room
        return cls(low=low, high=high, start_px=start_px, end_px=end_px, is_log=is_log)

    def __call__(self, value: float) -> float:
        """Where a value is; at the end of the axis if it is beyond."""
        inside = min(max(value, self.low), self.high)
        if self.is_log:
            part = math.log(inside / self.low) / math.log(self.high / self.low)
        else:
            part = (inside - self.low) / (self.high - self.low)
        return self.start_px + part * (self.end_px - self.start_px)

    def ticks(self, most: int = 8) -> list[float]:
        """Round values, in order.

        >>> Axis(low=0, high=9, start_px=0, end_px=1).ticks(6)
        [0, 2, 4, 6, 8]
        >>> Axis(low=15, high=4e3, start_px=0, end_px=1, is_log=True).ticks()
        [20.0, 50.0, 100.0, 200.0, 500.0, 1000.0, 2000.0]
        """
        if self.is_log:
            decades = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
            for steps in ((1, 2, 5), (1, 3), (1,)):
                found = [step * 10.0**decade for decade in decades for step in steps]
                inside = [value for value in found if self.low <= value <= self.high]
                if len(inside) <= most:
                    return inside
            every = math.ceil(len(inside) / most)
            return inside[::every]
        power = 10.0 ** (math.floor(math.log10(self.high - self.low)) - 2)
        for step in (power * 10**i * nice for i in range(5) for nice in (1, 2, 5)):
            first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
            if last - first < most:
                break
        if step >= 1 and step == int(step):
            return [i * int(step) for i in range(first, last + 1)]
        return [i * step for i in range(first, last + 1)]


class Canvas:
    """Elements in the order in which they are drawn."""

    def __init__(self) -> None:
        """Nothing is drawn yet."""
        self._parts: list[str] = []

    def line(self, x1: float, y1: float, x2: float, y2: float, kind: str) -> None:
        """A straight line; `kind` is its class here and in all the others."""
        ends = f'x1="{number(x1)}" y1="{number(y1)}" x2="{number(x2)}" y2="{number(y2)}"'
        self._parts.append(f'<line class="{kind}" {ends}/>')

    def box(
        self, x: float, y: float, width: float, height: float, kind: str, *, title: str = ""
    ) -> None:
        """A rectangle, with what is told to who points at it."""
        sizes = f'width="{number(max(0, width))}" height="{number(max(0, height))}"'
        place = f'<rect class="{kind}" x="{number(x)}" y="{number(y)}" {sizes}'
        self._titled(place, "rect", title)

    def circle(self, x: float, y: float, radius: float, kind: str, *, title: str = "") -> None:
        """A circle."""
        place = f'<circle class="{kind}" cx="{number(x)}" cy="{number(y)}" r="{number(radius)}"'
        self._titled(place, "circle", title)

    def path(self, steps: str, kind: str, *, title: str = "") -> None:
        """Any shape, in SVG's own words."""
        self._titled(f'<path class="{kind}" d="{steps}"', "path", title)

    def text(
        self, x: float, y: float, text: str, kind: str = "", *, anchor: str = "", title: str = ""
    ) -> None:
        """A text, its baseline at `y`; `anchor` is ``middle`` or ``end``."""
        classes = f' class="{kind}"' if kind else ""
        anchored = f' text-anchor="{anchor}"' if anchor else ""
        told = f"<title>{clean(title)}</title>" if title and title != text else ""
        at = f'x="{number(x)}" y="{number(y)}"'
        self._parts.append(f"<text{classes} {at}{anchored}>{clean(text)}{told}</text>")

    @contextmanager
    def group(self, kind: str, *, title: str = "") -> Iterator[None]:
        """What is drawn meanwhile belongs together."""
        told = f"<title>{clean(title)}</title>" if title else ""
        self._parts.append(f'<g class="{kind}">{told}')
        yield
        self._parts.append("</g>")

    def svg(self, height: float, *, title: str, description: str) -> str:
        """The whole picture; both texts are for who does not see it."""
        inside = "\n".join(self._parts)
        return (
            f'<svg viewBox="0 0 {WIDTH} {number(height)}" role="img" '
            f'aria-label="{clean(title)}. {clean(description)}">\n{inside}\n</svg>'
        )

    def _titled(self, begin: str, tag: str, title: str) -> None:
        end = f"><title>{clean(title)}</title></{tag}>" if title else "/>"
        self._parts.append(begin + end)


def axis_below(
    canvas: Canvas,
    axis: Axis,
    top_px: float,
    bottom_px: float,
    label: Callable[[float], str],
    *,
    title: str,
    most: int = 8,
) -> None:
    """Grid lines from top to bottom, their values below, and what the axis is below these."""
    ticks = [(axis(value), label(value)) for value in axis.ticks(most)]
    for x, text in _apart(ticks):
        canvas.line(x, top_px, x, bottom_px, "grid")
        canvas.text(x, bottom_px + 16, text, "small", anchor="middle")
    middle = (axis.start_px + axis.end_px) / 2
    canvas.text(middle, bottom_px + 34, title, "axis", anchor="middle")


def _apart(ticks: Sequence[tuple[float, str]]) -> list[tuple[float, str]]:
    """Without those whose texts would touch the one before."""
    kept: list[tuple[float, str]] = []
    for x, text in ticks:
        if not kept or x - kept[-1][0] > (width_px(text, 11) + width_px(kept[-1][1], 11)) / 2 + 8:
            kept.append((x, text))
    return kept


def colour(index: int) -> str:
    """The class of the n-th colour."""
    return f"c{index % COLOURS}"
