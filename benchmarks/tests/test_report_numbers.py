import math

import pytest

from edgekit_benchmarks.percentile import Enclosed
from edgekit_benchmarks.report_numbers import (
    duration,
    enclosed,
    factor_enclosed,
    is_number,
    size,
    size_unit,
    time_unit,
)


@pytest.mark.parametrize(
    ("value_ns", "told"),
    [
        (0.4, "0.40 ns"),
        (999, "999 ns"),
        (999.6, "1.00 µs"),
        (15_321, "15.3 µs"),
        (999_400, "999 µs"),
        (999_900, "1.00 ms"),
        (900e6, "900 ms"),
        (61e9, "61.0 s"),
        (3600e9, "3,600 s"),
    ],
)
def test_a_time_has_three_digits_and_the_unit_that_fits(value_ns: float, told: str) -> None:
    assert duration(value_ns) == told


def test_an_interval_has_the_decimals_of_its_value() -> None:
    found = Enclosed(value=9_990_000, low=9_900_000, high=10_120_000, confidence=0.96)
    assert enclosed(found) == "9.99 ms [9.90, 10.12]"


def test_a_column_of_times_shares_a_unit_that_its_smallest_fills() -> None:
    assert time_unit([38_000, 1_200_000]).name == "µs"


def test_times_that_no_unit_fits_are_in_that_of_the_largest() -> None:
    assert time_unit([15_000, 9e9]).name == "s"


def test_no_times_have_a_unit_too() -> None:
    assert time_unit([]).name == "ns"
    assert size_unit([0]).name == "B"


def test_bytes_are_in_decimal_units() -> None:
    assert [size(value) for value in (0, 999, 1000, 110_704, 13_310_000)] == [
        "0 B", "999 B", "1.00 kB", "111 kB", "13.3 MB",
    ]  # fmt: skip


def test_a_narrow_interval_is_not_rounded_away() -> None:
    assert factor_enclosed(2.9, 2.88, 2.93).endswith("[2.88, 2.93]")
    assert factor_enclosed(2.9, 2.1, 3.4).endswith("[2.1, 3.4]")


@pytest.mark.parametrize("value", [math.nan, math.inf, True, None, "3", 10**400, [1]])
def test_what_no_chart_can_show_is_no_number(value: object) -> None:
    assert not is_number(value)
