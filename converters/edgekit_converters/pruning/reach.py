"""How much has to go for a target that only a measurement can tell: bytes of a file, latency."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

CLOSE_ENOUGH = 0.95
"""A measured value between this share of the target and the target ends the search."""
TRIES = 7
_INSIDE = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Reached:
    """The best try."""

    amount: float
    """What was asked for: the share that stays, above 0, at most 1."""
    value: float
    """What was measured with it."""
    met: bool
    """Whether that is at most the target."""


def reach(
    target: float,
    measure: Callable[[float], float],
    *,
    whole: float,
    least: float = 0.0,
    tries: int = TRIES,
) -> Reached:
    """The largest share whose measured value is at most `target`, by interpolation.

    Between the nearest tries on both sides the value is taken to be a straight line: regula falsi,
    with the change of the Illinois algorithm (Dowell and Jarratt, 1971) that an end which stays
    counts half, and kept away from both ends. `measure` may be noisy, and need not be monotone to
    the last digit: what is given back was measured.

    Args:
        target: above 0.
        measure: of a share that stays, the value; called at most `tries` times.
        whole: the value of share 1, which is known.
        least: no smaller share can be had.
        tries: how often to measure.

    >>> reach(50.0, lambda share: 10 + 90 * share, whole=100.0).met
    True
    """
    if whole <= target:
        return Reached(amount=1.0, value=whole, met=True)
    wanted = (1 + CLOSE_ENOUGH) / 2 * target  # the middle of what is close enough
    low, below = 0.0, wanted  # how far under, and over, the ends are; nothing may cost nothing
    high, above = 1.0, whole - wanted
    best: Reached | None = None
    last: bool | None = None
    for _ in range(tries):
        margin = _INSIDE * (high - low)
        guess = low + (high - low) * below / (below + above)
        amount = max(least, min(high - margin, max(low + margin, guess)))
        value = measure(amount)
        tried = Reached(amount=amount, value=value, met=value <= target)
        if best is None or _better(tried, best):
            best = tried
        if tried.met and value >= CLOSE_ENOUGH * target:
            break
        if amount == least and not tried.met:
            break
        under = value <= wanted
        if under:
            low, below, above = amount, wanted - value, above / 2 if last is under else above
        else:
            high, above, below = amount, value - wanted, below / 2 if last is under else below
        last = under
    assert best is not None
    return best


def _better(tried: Reached, best: Reached) -> bool:
    """One that meets the target before one that does not; then the larger, or the nearer."""
    if tried.met != best.met:
        return tried.met
    return tried.amount > best.amount if tried.met else tried.value < best.value
