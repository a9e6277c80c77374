import random
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekit_benchmarks.paired import Median, differences, ratios, take_turns


@given(st.lists(st.floats(-1e9, 1e9), min_size=1, max_size=60))
def test_the_interval_holds_the_median(values: list[float]) -> None:
    found = Median.of(values)
    assert min(values) <= found.low <= found.value <= found.high <= max(values)


@pytest.mark.parametrize(("count", "rank"), [(5, 1), (6, 1), (9, 2), (21, 6), (101, 41)])
def test_the_interval_is_between_the_order_statistics_of_the_sign_test(
    count: int, rank: int
) -> None:
    found = Median.of([float(number) for number in range(1, count + 1)])
    assert (found.low, found.high) == (rank, count + 1 - rank)


def test_the_interval_holds_the_true_median_in_95_of_100_cases() -> None:
    generator = random.Random(1)
    held = 0
    for _ in range(2000):
        found = Median.of([generator.lognormvariate(0, 1) for _ in range(25)])
        held += found.low <= 1 <= found.high
    assert held / 2000 >= 0.94


def test_what_slows_a_whole_turn_cancels_out() -> None:
    drift = [1.0, 5.0, 2.0, 9.0, 1.0, 3.0, 7.0]
    ours, theirs = [2 * slow for slow in drift], drift
    assert ratios(ours, theirs) == Median(value=2.0, low=2.0, high=2.0)
    shifted = [slow + 0.5 for slow in drift]
    assert differences(shifted, theirs).value == 0.5


def test_ways_take_turns_and_are_told_apart() -> None:
    def block(seconds: float) -> "object":
        return lambda calls: time.sleep(seconds * calls)

    taken = take_turns({"a": block(2e-3), "b": block(4e-2)}, turns=6, turn_s=0.002)  # type: ignore[dict-item]
    assert [len(values) for values in taken.values()] == [6, 6]
    assert ratios(taken["b"], taken["a"]).low > 2
