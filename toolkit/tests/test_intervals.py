from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from edgekit.intervals import bootstrap, wilson

stats: Any = pytest.importorskip("scipy.stats", reason="scipy checks our intervals")


def mean(means: NDArray[Any]) -> NDArray[np.float64]:
    return np.asarray(means[:, 0])


@given(st.integers(1, 5000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
@settings(deadline=None)
def test_wilson_agrees_with_scipy(counts: tuple[int, int]) -> None:
    successes, total = counts
    expected = stats.binomtest(successes, total).proportion_ci(method="wilson")
    interval = wilson(successes, total)
    assert interval.low == pytest.approx(expected.low, abs=1e-9)
    assert interval.high == pytest.approx(expected.high, abs=1e-9)


@given(st.integers(1, 10_000).flatmap(lambda n: st.tuples(st.floats(0, n), st.just(n))))
def test_wilson_contains_the_share_and_stays_between_0_and_1(counts: tuple[float, int]) -> None:
    interval = wilson(*counts)
    share = counts[0] / counts[1]
    assert 0 <= interval.low <= share + 1e-12
    assert share - 1e-12 <= interval.high <= 1


def test_more_confidence_is_a_wider_interval() -> None:
    narrow, wide = wilson(40, 50, confidence=0.8), wilson(40, 50, confidence=0.99)
    assert wide.low < narrow.low < narrow.high < wide.high


def test_all_right_does_not_mean_certainly_perfect() -> None:
    assert wilson(10, 10).low < 0.73
    assert wilson(10, 10).high == 1.0


def test_bootstrap_repeats_itself() -> None:
    values = np.random.default_rng(1).normal(size=(50, 1))
    assert bootstrap(values, mean) == bootstrap(values, mean)


def test_bootstrap_of_a_mean_is_about_the_t_interval() -> None:
    values = np.random.default_rng(1).normal(3, 2, size=(400, 1))
    interval = bootstrap(values, mean)
    expected = stats.t.interval(0.95, 399, values.mean(), stats.sem(values)[0])
    assert interval.low == pytest.approx(expected[0], abs=0.03)
    assert interval.high == pytest.approx(expected[1], abs=0.03)


def test_many_samples_give_the_same_interval_without_resampling() -> None:
    values = np.random.default_rng(1).exponential(size=(30_000, 1))
    expected = stats.t.interval(0.95, 29_999, values.mean(), stats.sem(values)[0])
    interval = bootstrap(values, mean)
    assert interval.low == pytest.approx(expected[0], abs=0.001)
    assert interval.high == pytest.approx(expected[1], abs=0.001)


def test_a_paired_difference_is_known_better_than_its_parts() -> None:
    random = np.random.default_rng(1)
    hardness = random.exponential(10, size=300)
    pairs = np.stack([hardness, hardness + random.normal(0.1, 0.01, size=300)], axis=1)
    interval = bootstrap(pairs, lambda means: means[:, 1] - means[:, 0])
    assert 0.09 < interval.low < interval.high < 0.11


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=30))
@settings(deadline=None, max_examples=20)
def test_bootstrap_of_a_mean_stays_within_the_values(values: list[float]) -> None:
    interval = bootstrap(np.array(values)[:, None], mean)
    slack = 1e-9 * max(1.0, *map(abs, values))
    assert min(values) - slack <= interval.low <= interval.high <= max(values) + slack
