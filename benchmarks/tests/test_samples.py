import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekit_benchmarks.samples import Samples

_TIMES = st.lists(st.floats(1.0, 1e9), min_size=1, max_size=80)


@given(_TIMES)
def test_the_interval_holds_the_median(values: list[float]) -> None:
    samples = Samples(tuple(values))
    low, high = samples.median_interval_ns()
    assert min(values) <= low <= samples.median_ns <= high <= max(values)


@given(_TIMES)
def test_a_file_is_neither_faster_nor_slower_than_itself(values: list[float]) -> None:
    samples = Samples(tuple(values))
    ratio = samples.ratio_to(samples)
    assert (ratio.value, ratio.low, ratio.high) == (1.0, 1.0, 1.0)
    assert ratio.verdict == "no difference shown"


def test_half_the_time_is_faster_and_twice_is_slower() -> None:
    one = Samples(tuple(100.0 + i % 7 for i in range(60)))
    two = Samples(tuple(2 * value for value in one.values_ns))
    assert one.ratio_to(two).verdict == "faster"
    assert two.ratio_to(one).verdict == "slower"


def test_drift_that_hits_both_alike_is_no_difference() -> None:
    one = Samples(tuple(100.0 * (1 + i / 10) for i in range(60)))
    two = Samples(
        tuple(value * (1.0005 if i % 2 else 0.9995) for i, value in enumerate(one.values_ns))
    )
    assert one.ratio_to(two).verdict == "no difference shown"


def test_no_samples_are_refused() -> None:
    with pytest.raises(ValueError, match="none were taken"):
        Samples(())
