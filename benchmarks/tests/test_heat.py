"""Heating up and cooling down."""

from __future__ import annotations

from typing import Any

from edgekit_benchmarks.heat import cool_down, heat_up, is_steady


def looks(temperatures: list[float]) -> list[dict[str, Any]]:
    return [{"t_ns": s * 10**9, "temperature_c": t} for s, t in enumerate(temperatures)]


def test_heating_ends_when_the_temperature_stays() -> None:
    every = looks([*range(40, 80), *[80.0] * 200])
    given = iter(range(0, 240, 20))

    def work(seconds: float) -> list[dict[str, Any]]:
        start = next(given)
        return every[start : start + round(seconds)]

    heat_up(work, lambda _: None)
    assert next(given) == 100  # 40 s to get warm, a minute to be sure, in pieces of 20 s


def test_cooling_ends_when_it_is_cool() -> None:
    cool_down(45.0, lambda: 46.5, lambda _: None)


def test_a_machine_without_thermometer_is_not_waited_for() -> None:
    cool_down(45.0, lambda: None, lambda _: None)


def test_a_clock_that_still_falls_is_not_steady() -> None:
    falling = [{"t_ns": s * 10**9, "frequency_khz": 1_800_000 - s * 1000} for s in range(90)]
    assert not is_steady(falling)
    assert is_steady([look | {"frequency_khz": 1_200_000} for look in falling])
