"""Warm until nothing changes any more, and cool again: for numbers of the state that is meant."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

LONGEST_S = 900.0
"""Passively cooled boards take some minutes."""
_PIECE_S = 20.0
_STEADY_S = 60.0
_BLIND_S = 60.0
"""How long to heat a machine that tells neither temperature nor frequency."""
_STEADY_C = 1.0
_STEADY_FREQUENCY = 0.02
_COOL_C = 2.0
_COOL_LONGEST_S = 300.0
"""What MLPerf Mobile lets a phone rest between two tries."""
_LOOK_S = 5.0

Looks = Sequence[Mapping[str, Any]]


def heat_up(work: Callable[[float], Looks], tell: Callable[[str], None]) -> float:
    """Let it work until temperature and frequency stay as they are.

    Args:
        work: keeps it busy for so many seconds, and gives the looks at the machine meanwhile.
        tell: told how it is.

    Returns:
        How long that took, in seconds.
    """
    begun = time.monotonic()
    looks: list[Mapping[str, Any]] = []
    while (elapsed := time.monotonic() - begun) < LONGEST_S:
        looks.extend(work(_PIECE_S))
        known = any(
            _told(look, name) for look in looks for name in ("temperature_c", "frequency_khz")
        )
        if not known and elapsed >= _BLIND_S - _PIECE_S:
            break
        if known and is_steady(looks):
            break
        last = looks[-1] if looks else {}
        tell(f"{last.get('temperature_c')} °C, {last.get('frequency_khz')} kHz")
    return time.monotonic() - begun


def is_steady(looks: Looks) -> bool:
    """Whether the last minute changed nothing: less than 1 °C, and 2 % of the frequency.

    >>> is_steady([{"t_ns": s * 10**9, "temperature_c": 70.0} for s in range(90)])
    True
    >>> is_steady([{"t_ns": s * 10**9, "temperature_c": 40 + s / 3} for s in range(90)])
    False
    """
    if not looks or looks[-1]["t_ns"] - looks[0]["t_ns"] < _STEADY_S * 1e9:
        return False
    since = looks[-1]["t_ns"] - _STEADY_S * 1e9
    late = [look for look in looks if look["t_ns"] >= since]
    warm = [look["temperature_c"] for look in late if _told(look, "temperature_c")]
    clock = [look["frequency_khz"] for look in late if _told(look, "frequency_khz")]
    if warm and max(warm) - min(warm) > _STEADY_C:
        return False
    return not clock or min(clock) >= (1 - _STEADY_FREQUENCY) * max(clock)


def cool_down(
    before_c: float, temperature: Callable[[], float | None], tell: Callable[[str], None]
) -> None:
    """Wait until it is nearly as cool as before, but not for ever."""
    end = time.monotonic() + _COOL_LONGEST_S
    while time.monotonic() < end:
        now_c = temperature()
        if now_c is None or now_c <= before_c + _COOL_C:
            return
        tell(f"cools down: {now_c:.0f} °C, was {before_c:.0f} °C")
        time.sleep(_LOOK_S)


def _told(look: Mapping[str, Any], name: str) -> bool:
    return isinstance(look.get(name), int | float)
