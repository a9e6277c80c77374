"""Numbers as people read them: a unit, about three digits, and the interval in the same."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeGuard

from edgekit_benchmarks.percentile import CONFIDENCE, Enclosed

TIMES = "\N{MULTIPLICATION SIGN}"
DASH = "\N{EN DASH}"
_NOTHING_HAS = 1e30
"""No time, size or temperature has so many of its units; sums of smaller ones are finite."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """What numbers of a column or an axis are counted in."""

    name: str
    size: float
    """In the unit that the numbers are stored in: nanoseconds, bytes, kHz."""

    def text(self, value: float) -> str:
        """The number alone, with about three digits.

        >>> MICROSECONDS.text(38_140), MICROSECONDS.text(1_204_000)
        ('38.1', '1,204')
        """
        scaled = value / self.size
        return f"{scaled:,.{decimals(scaled)}f}"


MICROSECONDS = Unit(name="\N{MICRO SIGN}s", size=1e3)
_TIME = (
    Unit(name="s", size=1e9),
    Unit(name="ms", size=1e6),
    MICROSECONDS,
    Unit(name="ns", size=1),
)
_BYTES = (Unit(name="MB", size=1e6), Unit(name="kB", size=1e3), Unit(name="B", size=1))


def decimals(value: float) -> int:
    """How many show three digits of it."""
    return 2 if abs(value) < 9.995 else 1 if abs(value) < 99.95 else 0


def time_unit(values: Iterable[float]) -> Unit:
    """The one to put all of these nanoseconds in: the largest that the smallest fills.

    >>> time_unit([38_000, 1_200_000]).name, time_unit([15_000, 900_000_000]).name
    ('µs', 'ms')
    """
    given = [value for value in values if value > 0]
    if not given:
        return _TIME[-1]
    fits = _fitting(min(given), _TIME)
    return _fitting(max(given), _TIME) if max(given) / fits.size >= 1e5 else fits


def size_unit(values: Iterable[float]) -> Unit:
    """The same for bytes.

    >>> size_unit([12_000, 900_000]).name, size_unit([12_000, 90_000_000]).name
    ('kB', 'kB')
    """
    given = [value for value in values if value > 0]
    return _fitting(min(given), _BYTES) if given else _BYTES[-1]


def _fitting(value: float, units: Sequence[Unit]) -> Unit:
    return next((unit for unit in units if value >= 0.9995 * unit.size), units[-1])


def duration(value_ns: float) -> str:
    """One time with its own unit.

    >>> duration(15_321), duration(900_000_000), duration(0.4)
    ('15.3 µs', '900 ms', '0.40 ns')
    """
    unit = _fitting(value_ns, _TIME)
    return f"{unit.text(value_ns)} {unit.name}"


def enclosed(found: Enclosed, unit: Unit | None = None) -> str:
    """A time and its interval, all with as many decimals.

    >>> enclosed(Enclosed(value=38_140, low=37_920, high=38_400, confidence=0.96))
    '38.1 µs [37.9, 38.4]'
    """
    own = unit or _fitting(found.value, _TIME)
    places = decimals(found.value / own.size)
    value, low, high = (
        f"{one / own.size:,.{places}f}" for one in (found.value, found.low, found.high)
    )
    return f"{value}{'' if unit else f' {own.name}'} [{low}, {high}]"


def size(size_bytes: float) -> str:
    """Bytes in decimal units.

    >>> size(5812), size(110_704), size(13_310_000), size(410)
    ('5.81 kB', '111 kB', '13.3 MB', '410 B')
    """
    unit = _fitting(size_bytes, _BYTES)
    if unit.size == 1:
        return f"{size_bytes:.0f} B"
    return f"{unit.text(size_bytes)} {unit.name}"


def factor(value: float) -> str:
    """How many times; so many decimals that what is not 1 is not told as 1.

    >>> [factor(value).rstrip(TIMES) for value in (2.913, 1.0449, 46.2, 312.0, 1.0002)]
    ['2.9', '1.04', '46', '312', '1.0002']
    """
    places = _factor_decimals(value)
    if 0 < abs(value - 1) < 0.01:
        places = 3 if abs(value - 1) >= 0.0005 else 4
    return f"{value:,.{places}f}{TIMES}"


def factor_enclosed(value: float, low: float, high: float) -> str:
    """How many times, and the interval; more decimals where fewer would hide it.

    >>> factor_enclosed(2.913, 2.84, 3.02).split(TIMES)
    ['2.9', ' [2.8, 3.0]']
    >>> factor_enclosed(2.913, 2.909, 2.918).split(TIMES)
    ['2.91', ' [2.91, 2.92]']
    >>> factor_enclosed(1.101, 1.093, 1.108).split(TIMES)
    ['1.101', ' [1.093, 1.108]']
    """
    places = _factor_decimals(value)
    if value < 10 and high - low < 0.1:
        places = 3 if value < 2 and high - low < 0.02 else 2
    if low < 2:
        places = max(places, 1)
    return f"{value:,.{places}f}{TIMES} [{low:,.{places}f}, {high:,.{places}f}]"


def _factor_decimals(value: float) -> int:
    return 2 if value < 2 else 1 if value < 10 else 0


def share(value: float) -> str:
    """A share as percent.

    >>> share(0.9245), share(1.0)
    ('92.5 %', '100.0 %')
    """
    return f"{100 * value:.1f} %"


def confidence_text(found: Iterable[float]) -> str:
    """What intervals are called in a heading: never more than the least of them has.

    >>> confidence_text([0.961, 0.97]), confidence_text([0.961, 0.75]), confidence_text([0.0])
    ('[95 %]', '[only 75 %]', '[of one process]')
    """
    least = min(found, default=CONFIDENCE)
    if least >= CONFIDENCE:
        return f"[{100 * CONFIDENCE:.0f} %]"
    return f"[only {100 * least:.0f} %]" if least > 0 else "[of one process]"


def percent(value: float) -> str:
    """A share as a rough percentage, for sentences.

    >>> percent(0.57), percent(0.0123), percent(-0.002)
    ('57 %', '1.2 %', '-0.2 %')
    """
    return f"{100 * value:,.{0 if abs(value) >= 0.0995 else 1}f} %"


def counted(count: int, one: str, many: str = "") -> str:
    """A number with its noun.

    >>> counted(1, "process", "processes"), counted(2500, "sample")
    ('1 process', '2,500 samples')
    """
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def is_number(value: object) -> TypeGuard[float]:
    """Whether it is a number that can be drawn: no true or false, none of NaN, infinity, 1e300."""
    return (
        isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < _NOTHING_HAS
    )


def is_share(value: object) -> TypeGuard[float]:
    """Whether it is a number from 0 to 1."""
    return is_number(value) and 0 <= value <= 1
