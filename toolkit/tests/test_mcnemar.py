from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgekit.mcnemar import PairedAccuracy, exact_mcnemar

stats: Any = pytest.importorskip("scipy.stats", reason="scipy checks our test")


@given(st.integers(0, 3000), st.integers(0, 3000))
@settings(deadline=None)
def test_mcnemar_is_the_exact_binomial_test(only_first: int, only_second: int) -> None:
    total = only_first + only_second
    expected = stats.binomtest(only_first, total).pvalue if total else 1.0
    assert exact_mcnemar(only_first, only_second) == pytest.approx(expected, rel=1e-8, abs=1e-250)


@given(st.integers(0, 500), st.integers(0, 500))
def test_the_order_of_the_models_does_not_matter(a: int, b: int) -> None:
    assert exact_mcnemar(a, b) == exact_mcnemar(b, a)


def test_huge_counts_neither_overflow_nor_take_long() -> None:
    assert exact_mcnemar(500_000, 500_100) == pytest.approx(0.921, abs=0.001)
    assert exact_mcnemar(500_000, 510_000) < 1e-20


def test_only_samples_on_which_the_models_differ_count() -> None:
    first = np.array([True, True, False, False, True])
    second = np.array([True, False, True, False, False])
    paired = PairedAccuracy.of(first, second)
    assert (paired.only_first, paired.only_second) == (2, 1)
    assert paired.difference == pytest.approx(-0.2)


def test_equal_models_have_a_difference_around_zero() -> None:
    paired = PairedAccuracy(samples=1000, only_first=0, only_second=0)
    assert paired.p_value == 1.0
    interval = paired.interval()
    assert interval.low == -interval.high
    assert 0 < interval.high < 0.005


@given(
    st.integers(1, 2000).flatmap(
        lambda n: st.integers(0, n).flatmap(
            lambda a: st.tuples(st.just(n), st.just(a), st.integers(0, n - a))
        )
    )
)
def test_the_interval_of_the_difference_stays_possible(counts: tuple[int, int, int]) -> None:
    samples, a, b = counts
    interval = PairedAccuracy(samples=samples, only_first=a, only_second=b).interval()
    assert -1 <= interval.low <= interval.high <= 1


def test_the_interval_holds_its_confidence() -> None:
    # true difference 0.02 - 0.06 = -0.04; 95 % of the intervals must contain it
    random = np.random.default_rng(0)
    draws = random.multinomial(300, [0.06, 0.02, 0.92], size=1000)
    hits = 0
    for only_first, only_second, _ in draws:
        paired = PairedAccuracy(
            samples=300, only_first=int(only_first), only_second=int(only_second)
        )
        hits += paired.interval().low <= -0.04 <= paired.interval().high
    assert 0.93 < hits / 1000 < 0.975
