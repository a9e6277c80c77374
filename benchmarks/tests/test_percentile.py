import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekit_benchmarks import percentile
from edgekit_benchmarks.outliers import Outliers

VALUES = st.lists(st.integers(1, 10**9), min_size=1, max_size=60)
PERCENTS = st.sampled_from([1, 5, 25, 50, 75, 90, 95, 99, 100])


@given(VALUES, PERCENTS)
def test_a_percentile_is_the_smallest_sample_with_enough_at_or_below_it(
    samples: list[int], percent: int
) -> None:
    found = percentile.nearest_rank(samples, percent)
    wanted = percent / 100 * len(samples)
    assert found in samples
    assert sum(sample <= found for sample in samples) >= wanted - 1e-9
    assert sum(sample < found for sample in samples) < max(wanted, 1e-9)


@given(VALUES, st.randoms())
def test_the_order_of_the_samples_does_not_matter(samples: list[int], random: object) -> None:
    shuffled = sorted(samples, key=lambda _: random.random())  # type: ignore[attr-defined]
    assert percentile.of_samples(shuffled, 90) == percentile.of_samples(samples, 90)


@given(VALUES, PERCENTS)
def test_intervals_hold_the_value_and_are_samples(samples: list[int], percent: int) -> None:
    if percent == 100:
        return
    found = percentile.of_samples(samples, percent)
    assert found.low <= found.value <= found.high
    assert {found.low, found.high} <= set(samples)


@given(st.lists(VALUES, min_size=1, max_size=12), PERCENTS)
def test_intervals_over_processes_hold_the_value(runs: list[list[int]], percent: int) -> None:
    found = percentile.of_processes(runs, percent)
    assert found.low <= found.value <= found.high


@pytest.mark.parametrize(("percent", "count"), [(50, 11), (90, 64), (95, 130), (99, 662)])
def test_enough_samples_leave_two_beyond_the_percentile_in_99_of_100(
    percent: int, count: int
) -> None:
    def fewer_than_two(samples: int) -> float:
        beyond = 1 - percent / 100
        return sum(
            math.comb(samples, k) * beyond**k * (1 - beyond) ** (samples - k) for k in (0, 1)
        )

    assert percentile.needed(percent) == count
    assert fewer_than_two(count) <= 0.01 < fewer_than_two(count - 1)


def test_a_median_of_nine_is_enclosed_by_the_second_smallest_and_largest() -> None:
    found = percentile.of_medians(range(1, 10))
    assert (found.low, found.value, found.high) == (2, 5, 8)
    assert found.confidence == 1 - 2 * (1 + 9) / 2**9


@pytest.mark.parametrize(
    ("count", "cut"), [(1, 0), (5, 0), (6, 0), (8, 0), (9, 1), (11, 1), (12, 2), (20, 5), (25, 7)]
)
def test_median_intervals_are_those_of_the_sign_test(count: int, cut: int) -> None:
    found = percentile.of_medians(range(count))
    assert (found.low, found.high) == (cut, count - 1 - cut)
    outside = 2 * sum(math.comb(count, k) for k in range(cut + 1)) / 2**count
    assert found.confidence == pytest.approx(max(0, 1 - outside), abs=1e-6)


def test_what_is_called_the_confidence_is_the_share_of_intervals_that_hold_the_truth() -> None:
    random = np.random.default_rng(0)
    for count, percent in itertools.product((20, 100), (50, 90)):
        truth = math.exp(float(np.quantile(random.normal(size=1_000_000), percent / 100)))
        samples = np.exp(random.normal(size=(2000, count))).tolist()
        found = [percentile.of_samples(one, percent) for one in samples]
        share = sum(one.low <= truth <= one.high for one in found) / len(found)
        assert abs(share - found[0].confidence) < 0.015


@pytest.mark.parametrize("percent", [50, 90])
def test_intervals_over_nine_processes_hold_the_truth_in_95_of_100(percent: int) -> None:
    random = np.random.default_rng(percent)
    inner = math.exp(0.02 * float(np.quantile(random.normal(size=1_000_000), percent / 100)))
    held = 0
    for _ in range(600):
        machine = np.exp(0.01 * random.standard_normal((9, 1)))
        runs = (machine * np.exp(0.02 * random.standard_normal((9, 60)))).tolist()
        found = percentile.of_processes(runs, percent)
        held += found.low <= inner <= found.high
    assert held / 600 >= 0.93


@given(VALUES)
def test_every_sample_is_in_one_class_and_the_middle_half_is_no_outlier(
    samples: list[int],
) -> None:
    found = Outliers.of(samples)
    assert min(found.to_dict().values()) >= 0
    assert sum(found.to_dict().values()) <= len(samples) // 2


def test_a_far_sample_is_far_and_stays_in_the_percentiles() -> None:
    samples = [*range(100, 200), 10_000]
    assert Outliers.of(samples).far_high == 1
    assert percentile.nearest_rank(samples, 100) == 10_000
