"""How much is to be pruned, as people write it: ``50%``, ``0.5``, ``12M``, ``200KB``, ``0.6x``."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from edgekit.errors import UsageError

Number = str | float | int

COUNT_UNITS: Mapping[str, int] = MappingProxyType(
    {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}
)
"""Of multiply-adds."""
BYTE_UNITS: Mapping[str, int] = MappingProxyType(
    {
        **{"": 1, "b": 1, "k": 10**3, "kb": 10**3, "m": 10**6, "mb": 10**6, "g": 10**9},
        **{"gb": 10**9, "ki": 2**10, "kib": 2**10, "mi": 2**20, "mib": 2**20},
        **{"gi": 2**30, "gib": 2**30},
    }
)
"""Decimal, as file managers and `edgekit` show sizes; ``KiB`` and ``MiB`` are powers of two."""
_FORM = re.compile(r"([0-9]*\.?[0-9]+(?:e[+-]?[0-9]+)?|[0-9]+\.)\s*([a-z%]*)", re.IGNORECASE)
_MOST = 10**15


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """What is to be left: a share of the original, or a number."""

    share: float | None = None
    """Above 0, below 1; None where a number is given."""
    amount: int | None = None
    """Multiply-adds, or bytes."""
    written: str = field(default="", compare=False, repr=False)
    """As the user wrote it, for messages."""

    def __post_init__(self) -> None:
        """It is one of the two."""
        assert (self.share is None) != (self.amount is None), self

    def of(self, original: float) -> int:
        """The number that it means for a model that has `original`.

        >>> Goal(share=0.5).of(1001), Goal(amount=7).of(1001)
        (500, 7)
        """
        return int(self.share * original) if self.share is not None else self.amount or 0

    def __str__(self) -> str:
        """As it may be given again.

        >>> str(Goal(share=0.125)), str(Goal(amount=204800))
        ('12.5%', '204800')
        """
        return percent(self.share) if self.share is not None else str(self.amount)


def percent(share: float) -> str:
    """A share as people write it.

    >>> percent(0.5), percent(0.333)
    ('50%', '33.3%')
    """
    return f"{share * 100:.10g}%"


def parse_share(option: str, given: Number) -> float:
    """A share that is neither nothing nor everything: ``50%`` or ``0.5``.

    Raises:
        UsageError: it is none, or nothing, or everything or more.

    >>> parse_share("--sparsity", "50%"), parse_share("--sparsity", 0.5)
    (0.5, 0.5)
    """
    value, unit = _split(option, given, "a share", "one between 0 % and 100 %, as 50% or 0.5")
    if unit not in ("", "%"):
        raise _wrong(option, given, "not a share", "give it as 50% or 0.5")
    share = value / 100 if unit == "%" else value
    if share == 0:
        raise _wrong(option, given, "prunes nothing", "give a share above 0 %, as 50%")
    if share == 1:
        raise _wrong(option, given, "leaves nothing", "give a share below 100 %, as 90%")
    if share > 1:
        meant = f"; did you mean {value:g}%?" if not unit and value < 100 else ""
        told = f"give a share between 0 % and 100 %, as 50% or 0.5{meant}"
        raise _wrong(option, given, "more than everything", told)
    return share


def parse_ratio(option: str, given: Number) -> float:
    """How long it may take, compared with the original: ``0.6x``, ``0.6`` or ``60%``.

    Raises:
        UsageError: it is none, or not below 1.

    >>> parse_ratio("--latency", "0.6x")
    0.6
    """
    value, unit = _split(option, given, "a ratio", "one below 1, as 0.6x or 60%")
    if unit not in ("", "%", "x"):
        told = "give it as a ratio to the original, as 0.6x or 60%"
        raise _wrong(option, given, "not a ratio", told)
    ratio = value / 100 if unit == "%" else value
    if not 0 < ratio < 1:
        told = "give a ratio between 0 and 1 to the original, as 0.6x or 60%"
        raise _wrong(option, given, "cannot be, or asks for nothing", told)
    return ratio


def parse_goal(option: str, given: Number, units: Mapping[str, int]) -> Goal:
    """What is to be left: a share of the original (``50%``, ``0.5``), or a number with a unit.

    Args:
        option: for messages.
        given: what the user wrote; below 1 and without a unit it is a share.
        units: `COUNT_UNITS` or `BYTE_UNITS`, in lower case.

    Raises:
        UsageError: it is neither, or nothing, or everything.

    >>> parse_goal("--macs", "12M", COUNT_UNITS), parse_goal("--size", "1.5MB", BYTE_UNITS)
    (Goal(share=None, amount=12000000), Goal(share=None, amount=1500000))
    """
    example = "200KB or 50%" if units is BYTE_UNITS else "50% or 12M"
    value, unit = _split(option, given, "an amount", f"one, as {example}")
    if unit == "%" or (not unit and value < 1):
        share = value / 100 if unit else value
        if share <= 0:
            raise _wrong(option, given, "leaves nothing", f"say what is to be left, as {example}")
        if share >= 1:
            told = f"say what is to be left, less than everything, as {example}"
            raise _wrong(option, given, "prunes nothing", told)
        return Goal(share=share, written=str(given).strip())
    if unit not in units:
        known = ", ".join(name.upper() for name in units if name) + ", %"
        raise _wrong(option, given, f"unknown unit {unit!r}", f"there are: {known}")
    amount = value * units[unit]
    if amount < 1 or amount > _MOST:
        raise _wrong(option, given, "cannot be reached", f"say what is to be left, as {example}")
    if not unit and value == 1:
        told = f"say what is to be left, as {example}"
        raise _wrong(option, given, "may mean everything, or a single one", told)
    return Goal(amount=int(amount), written=str(given).strip())


def _split(option: str, given: Number, what: str, wanted: str) -> tuple[float, str]:
    text = str(given).strip()
    found = _FORM.fullmatch(text)
    value = float(found[1]) if found else math.nan
    if not found or not math.isfinite(value):
        raise _wrong(option, given, f"not {what}", f"give {wanted}")
    return value, found[2].lower()


def _wrong(option: str, given: Number, what: str, advice: str) -> UsageError:
    return UsageError(f"{option} {given}: {what}; {advice}")
