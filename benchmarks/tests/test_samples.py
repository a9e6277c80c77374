import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekit_benchmarks.samples import Samples

_RUN = st.lists(st.floats(1.0, 1e9), min_size=1, max_size=20).map(tuple)
_RUNS = st.lists(_RUN, min_size=1, max_size=8).map(tuple)


@given(_RUNS)
def test_the_interval_holds_the_median(runs: tuple[tuple[float, ...], ...]) -> None:
    samples = Samples(runs)
    low, high = samples.median_interval_ns()
    assert low <= samples.median_ns <= high


@given(_RUNS)
def test_a_file_is_neither_faster_nor_slower_than_itself(
    runs: tuple[tuple[float, ...], ...],
) -> None:
    ratio = Samples(runs).ratio_to(Samples(runs))
    assert (ratio.value, ratio.low, ratio.high) == (1.0, 1.0, 1.0)
    is_enough = len(runs) >= 6  # of fresh processes, for an interval of 95 %
    assert ratio.verdict == ("no difference shown" if is_enough else "too few processes to tell")


def test_half_the_time_is_faster_and_twice_is_slower() -> None:
    one = Samples(tuple((100.0 + i, 101.0 + i) for i in range(6)))
    two = Samples(tuple(tuple(2 * value for value in run) for run in one.runs_ns))
    assert one.ratio_to(two).verdict == "faster"
    assert two.ratio_to(one).verdict == "slower"


@pytest.mark.parametrize(("disturbed", "verdict"), [(1, "faster"), (2, "no difference shown")])
def test_one_disturbed_process_decides_nothing_two_leave_it_open(
    disturbed: int, verdict: str
) -> None:
    one = Samples(((50.0,),) * (9 - disturbed) + ((101.0,),) * disturbed)
    two = Samples(((100.0,),) * 9)
    assert one.ratio_to(two).verdict == verdict


def test_drift_that_hits_both_alike_is_no_difference() -> None:
    one = Samples(tuple((100.0 * (1 + i),) for i in range(6)))
    two = Samples(tuple((100.5 * (1 + i),) for i in range(6)))
    assert one.ratio_to(two).verdict == "no difference shown"


def test_no_samples_are_refused() -> None:
    with pytest.raises(ValueError, match="took none"):
        Samples(())
