"""Schedules in numbers; that they are those of another project stands in test_pruning_parity."""

import pytest

from edgekit.errors import UsageError
from edgekit_converters.pruning.zeros.schedule import ConstantSparsity, PolynomialDecay, plan


def test_updates_are_due_every_so_often_from_begin_to_end() -> None:
    schedule = PolynomialDecay(final=0.5, begin_step=2, end_step=10, frequency=3)
    assert [step for step in range(20) if schedule.due(step)] == [2, 5, 8]


def test_the_latest_update_is_one_that_is_due() -> None:
    schedule = PolynomialDecay(final=0.5, begin_step=2, end_step=10, frequency=3)
    assert [schedule.latest(step) for step in (1, 2, 4, 5, 30)] == [None, 2, 2, 5, 8]


def test_there_is_no_update_before_the_first_batch() -> None:
    assert ConstantSparsity(target=0.5, begin_step=0, frequency=100).latest(99) is None


def test_a_planned_polynomial_reaches_its_target_at_an_update() -> None:
    for steps in (1, 2, 7, 100, 1003, 50_000):
        schedule = plan("polynomial", 0.8, steps)
        assert schedule.latest(steps) == schedule.end_step
        assert schedule.sparsity(schedule.end_step) == pytest.approx(0.8)


def test_an_end_off_the_beat_is_moved_back_to_the_last_update() -> None:
    assert plan("polynomial", 0.8, 1000, begin_step=0, end_step=950, frequency=100).end_step == 900


def test_a_planned_constant_begins_before_the_first_batch() -> None:
    assert plan("constant", 0.8, 500).latest(1) == 1


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"kind": "cubic"}, "schedule 'cubic'"),
        ({"end_step": 101}, "end_step 101: comes after the last of 100 steps"),
        ({"begin_step": 50, "end_step": 20}, "end_step 20: comes before the begin, 50"),
        ({"begin_step": -1}, "begin_step -1: must not be negative"),
        ({"frequency": 0}, "frequency 0: must be at least 1"),
    ],
)
def test_steps_that_make_no_sense_are_refused(options: dict[str, int], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        plan(**{"kind": "polynomial", "sparsity": 0.5, "steps": 100, **options})  # type: ignore[arg-type]
