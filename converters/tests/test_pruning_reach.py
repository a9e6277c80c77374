from hypothesis import given
from hypothesis import strategies as st

from edgekit_converters.pruning.reach import CLOSE_ENOUGH, TRIES, reach


@given(
    fixed=st.floats(0, 0.4),
    power=st.floats(0.5, 2.5),
    wanted=st.floats(0.5, 0.95),
)
def test_a_smooth_curve_is_met_closely(fixed: float, power: float, wanted: float) -> None:
    found = reach(wanted, lambda share: fixed + (1 - fixed) * share**power, whole=1.0)
    assert found.met
    assert found.value >= CLOSE_ENOUGH * wanted - 0.02


@given(st.lists(st.floats(0, 2), min_size=TRIES, max_size=TRIES), st.floats(0.05, 0.95))
def test_whatever_is_measured_the_answer_was_measured(values: list[float], target: float) -> None:
    tried: dict[float, float] = {}

    def measure(share: float) -> float:
        assert 0 < share < 1
        tried[share] = values[len(tried) % len(values)]
        return tried[share]

    found = reach(target, measure, whole=1.0)
    assert tried[found.amount] == found.value
    assert found.met == (found.value <= target)
    assert found.met == any(value <= target for value in tried.values())


def test_a_target_above_the_whole_asks_for_nothing() -> None:
    found = reach(2.0, lambda share: 1 / 0, whole=1.0)
    assert (found.amount, found.met) == (1.0, True)


def test_a_target_below_the_fixed_part_is_not_met_and_says_how_far_it_came() -> None:
    found = reach(0.2, lambda share: 0.3 + 0.7 * share, whole=1.0)
    assert not found.met
    assert 0.3 < found.value < 0.4


def test_steps_of_whole_channels_are_met_from_below() -> None:
    found = reach(0.5, lambda share: -(-share * 8 // 1) / 8, whole=1.0)
    assert found.met
    assert found.value == 0.5


def test_no_smaller_share_than_the_least_is_tried() -> None:
    tried = []

    def measure(share: float) -> float:
        tried.append(share)
        return 20 + 80 * share

    found = reach(69.61, measure, whole=100.0, least=0.62)
    assert (found.amount, found.met) == (0.62, True)
    assert not reach(69.0, measure, whole=100.0, least=0.62).met
    assert min(tried) == 0.62
    assert tried.count(0.62) == 2
