import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekit_benchmarks.percentile import enough_processes
from edgekit_benchmarks.ratio import (
    RUNS_NOISE,
    Ratio,
    can_compare,
    enough_to_compare,
    paired,
    unpaired,
    unpaired_values,
)
from edgekit_benchmarks.simulated import Noise

VALUES = st.lists(st.integers(1, 10**6).map(float), min_size=1, max_size=12)


def runs(noise: Noise, seed: int, *, slower: float = 1.0) -> list[tuple[int, ...]]:
    """Nine processes of one file."""
    random = np.random.default_rng(seed)
    return [
        noise.samples(random, 1e6 * slower * factor, 25) for factor in noise.processes(random, 9)
    ]


def in_turn(noise: Noise, seed: int, slower: float) -> Ratio:
    """A file and one that is slower, in turn in nine processes; chunks differ by 0.5 %."""
    random = np.random.default_rng(seed)
    ours, theirs = [], []
    for factor in noise.processes(random, 9):
        chunks = np.exp(random.normal(0, 0.005, 2))
        ours.append(noise.samples(random, 1e6 * factor * slower * chunks[0], 25))
        theirs.append(noise.samples(random, 1e6 * factor * chunks[1], 25))
    return paired(ours, theirs)


def of(low: float, high: float, **more: object) -> Ratio:
    return Ratio(value=(low + high) / 2, low=low, high=high, confidence=0.96, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("ratio", "verdict"),
    [
        (of(1.02, 1.04), "slower"),
        (of(0.95, 0.98), "faster"),
        (of(0.99, 1.03), "no difference shown"),
        (of(1.005, 1.008), "no difference shown"),
        (of(1.02, 1.04, noise=RUNS_NOISE), "no difference shown"),
        (of(1.2, 1.4, valid=False), "invalid"),
        (Ratio(value=3, low=3, high=3, confidence=0.9375), "too few processes to tell"),
    ],
)
def test_a_verdict_needs_an_interval_off_1_by_more_than_noise(ratio: Ratio, verdict: str) -> None:
    assert ratio.verdict == verdict


@given(VALUES, VALUES)
def test_swapping_the_sides_turns_the_ratio_over(ours: list[float], theirs: list[float]) -> None:
    there, back = unpaired_values(ours, theirs), unpaired_values(theirs, ours)
    assert there.low == pytest.approx(1 / back.high)
    assert there.high == pytest.approx(1 / back.low)
    assert there.confidence == back.confidence


@given(VALUES, VALUES)
def test_the_interval_holds_the_value(ours: list[float], theirs: list[float]) -> None:
    found = unpaired_values(ours, theirs)
    assert found.low <= found.value <= found.high


@given(VALUES, VALUES, st.floats(0.1, 10))
def test_a_factor_comes_out_as_it_went_in(
    ours: list[float], theirs: list[float], factor: float
) -> None:
    plain = unpaired_values(ours, theirs)
    scaled = unpaired_values([one * factor for one in ours], theirs)
    assert scaled.value == pytest.approx(plain.value * factor)
    assert scaled.low == pytest.approx(plain.low * factor)


@pytest.mark.parametrize("sizes", [(1, 1), (3, 3), (4, 4), (5, 3), (4, 6)])
def test_the_confidence_is_that_of_all_orders_counted_one_by_one(sizes: tuple[int, int]) -> None:
    ours, theirs = sizes
    held = total = 0
    for chosen in itertools.combinations(range(ours + theirs), ours):
        mine = [float(1 + one) for one in chosen]
        others = [float(1 + one) for one in range(ours + theirs) if one not in chosen]
        found = unpaired_values(mine, others, widen=False)
        held += found.low < 1 < found.high
        total += 1
    assert unpaired_values([1.0] * ours, [1.0] * theirs).confidence == pytest.approx(
        held / total, abs=1e-6
    )


@pytest.mark.parametrize(("count", "is_sure"), [(3, False), (4, True)])
def test_four_processes_on_either_side_are_enough(count: int, is_sure: bool) -> None:
    assert unpaired_values([2.0] * count, [1.0] * count).is_sure == is_sure


@pytest.mark.parametrize("count", range(1, 12))
def test_the_rule_of_how_many_are_enough_is_that_of_the_intervals(count: int) -> None:
    in_turn = paired([[2.0]] * count, [[1.0]] * count)
    assert (in_turn.verdict == "slower") == in_turn.is_sure == (count >= enough_processes())
    between = unpaired_values([2.0] * count, [1.0] * count)
    assert (between.verdict == "slower") == between.is_sure == (count >= enough_to_compare())
    for other in range(1, 12):
        found = unpaired_values([2.0] * count, [1.0] * other)
        assert found.is_sure == can_compare(count, other)


def test_many_processes_are_counted_by_the_normal_distribution() -> None:
    exact = unpaired_values([1.0] * 60, [1.0] * 60)
    near = unpaired_values([1.0] * 61, [1.0] * 61)
    assert near.confidence == pytest.approx(exact.confidence, abs=1e-3)


def test_what_takes_turns_must_have_as_many_processes() -> None:
    with pytest.raises(ValueError, match="shorter"):
        paired([[1.0]] * 9, [[1.0]] * 8)


def test_turns_that_a_mood_of_the_machine_hits_alike_cancel_it_out() -> None:
    moods = [1.0, 1.0, 1.4, 1.4, 1.0, 1.4]
    ours = [[1e6 * mood * 1.1 + i for mood in moods for _ in range(4)] for i in range(9)]
    theirs = [[1e6 * mood + i for mood in moods[:4] * 2 for _ in range(3)][:18] for i in range(9)]
    for run in theirs:
        run[12:] = [1e6] * 3 + [1.4e6] * 3
    found = paired(ours, theirs, chunks=([[4] * 6] * 9, [[3] * 6] * 9))
    assert [found.low, found.high] == pytest.approx([1.1, 1.1], abs=1e-4)


@pytest.mark.parametrize("chunks", [[], [2], [2, 2], [1, 1, 1], [1, 1, 1, 1, 0], [5, -1]])
def test_turns_that_do_not_fit_are_not_used(chunks: list[int]) -> None:
    ours = [[1.0, 2.0, 3.0, 4.0]] * 9
    assert paired(ours, ours, chunks=([chunks] * 9, [[2, 2]] * 9)) == paired(ours, ours)


def test_two_moods_of_a_machine_are_no_difference() -> None:
    moods = [33.0, 33.2, 33.1, 33.0, 33.3, 51.0, 51.2, 51.1, 51.0]
    others = [51.1, 51.0, 33.2, 51.3, 51.2, 51.0, 51.2, 51.4, 33.0]
    assert unpaired([[one] for one in others], [[one] for one in moods]).verdict == (
        "no difference shown"
    )


@pytest.mark.parametrize(
    "noise", [Noise(between=0.01, tail=0), Noise(), Noise(between=0.02, tail=0.2)]
)
def test_nothing_changed_is_called_a_difference_in_5_of_100_at_most(noise: Noise) -> None:
    found = [unpaired(runs(noise, 2 * seed), runs(noise, 2 * seed + 1)) for seed in range(300)]
    assert sum(one.verdict != "no difference shown" for one in found) <= 0.05 * 300
    assert sum(one.low <= 1 <= one.high for one in found) >= 0.92 * 300


def test_a_tenth_slower_is_found_between_runs_in_95_of_100() -> None:
    found = [
        unpaired(runs(Noise(), 2 * seed, slower=1.1), runs(Noise(), 2 * seed + 1)).verdict
        for seed in range(200)
    ]
    assert found.count("slower") >= 0.95 * 200


@pytest.mark.parametrize(("slower", "share"), [(1.1, 0.99), (1.03, 0.95)])
def test_a_slower_file_is_found_in_turn(slower: float, share: float) -> None:
    noise = Noise(between=0.1, tail=0.3, tail_by=0.3)
    found = [in_turn(noise, seed, slower).verdict for seed in range(200)]
    assert found.count("slower") >= share * 200


def test_a_file_in_turn_with_itself_is_no_difference_in_95_of_100() -> None:
    noise = Noise(between=0.1, tail=0.3, tail_by=0.3)
    found = [in_turn(noise, seed, 1.0).verdict for seed in range(300)]
    assert found.count("no difference shown") >= 0.95 * 300
