from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from edgekit_benchmarks.comparison import Comparison, compare
from edgekit_benchmarks.gate import Decision, decide, limits
from edgekit_benchmarks.result import Row
from edgekit_benchmarks.simulated import Simulated, simulated
from edgekit_benchmarks.tail import preempted_share, undisturbed

COUNT = 1000


def preempted(seed: int, share: float, *, slower: float = 1.0, tail: float = 1.0) -> Simulated:
    """Nine processes of a model of 33 us; in `share` of the samples another program runs first.

    `tail` is what the slowest twentieth of the samples takes longer by the model's own doing.
    """
    random = np.random.default_rng(seed)
    runs, counts = [], []
    for _ in range(9):
        run = 33_000 * slower * np.exp(random.normal(0, 0.05, COUNT))
        run[random.random(COUNT) < 0.05] *= tail
        hit = random.random(COUNT) < share * random.exponential()
        run[hit] += random.uniform(1e5, 4e6, int(hit.sum()))
        runs.append(tuple(map(float, np.rint(run))))
        counts.append(int(hit.sum()))
    more: dict[str, Any] = {"samples_ns": tuple(runs), "preempted": tuple(counts)}
    return Simulated(samples=1, starts=0, more=more)


def of(before: Simulated, after: Simulated) -> Comparison:
    return compare(simulated(before), simulated(after))


def decided(before: Simulated, after: Simulated, limit: str = "p99=5%") -> Decision:
    return decide(of(before, after), limits([limit]))[0]


def row(samples: tuple[float, ...], count: int) -> Row:
    return replace(Simulated().row(), samples_ns=(samples,) * 9, preempted=(count,) * 9)


def test_the_slowest_samples_may_be_those_that_waited() -> None:
    samples = tuple(map(float, range(1, 101)))
    assert undisturbed(row(samples, 0), 99) == [99.0] * 9
    assert undisturbed(row(samples, 20), 99) == [80.0] * 9
    assert undisturbed(row(samples, 500), 99) == [1.0] * 9
    assert preempted_share(row(samples, 20)) == pytest.approx(0.2)
    assert preempted_share(row(samples, 500)) == 1.0


def test_what_was_not_counted_is_taken_as_measured() -> None:
    one = replace(row((1.0, 2.0, 3.0), 0), preempted=())
    assert undisturbed(one, 50) == [2.0] * 9


@pytest.mark.parametrize("shares", [(0.01, 0.01), (0.002, 0.03), (0.03, 0.002), (0.0, 0.05)])
def test_a_tail_made_by_other_programs_fails_nothing(shares: tuple[float, float]) -> None:
    found = [
        decided(preempted(2 * i, shares[0]), preempted(2 * i + 1, shares[1])) for i in range(60)
    ]
    assert not [one.text for one in found if one.outcome == "failed"]


def test_why_it_is_undecided_is_told_in_the_gate_and_beside_the_table() -> None:
    before, after = preempted(0, 0.0), preempted(1, 0.05)
    found = decided(before, after)
    assert found.outcome == "undecided"
    assert "other programs took the processor in up to 0.0 % of the earlier samples" in found.text
    assert found.text.endswith("use a calmer machine")
    assert any("p99: other programs" in note for note in of(before, after).notes)
    change = of(before, after).rows[0].change("p99")
    assert change is not None
    assert change.verdict == "no difference shown"
    assert change.to_dict()["widened"]


def test_a_tail_that_other_programs_made_is_no_improvement_when_they_are_gone() -> None:
    change = of(preempted(0, 0.05), preempted(1, 0.0)).rows[0].change("p99")
    assert change is not None
    assert change.verdict == "no difference shown"


@pytest.mark.parametrize("limit", ["p50=5%", "p90=5%"])
def test_the_median_of_a_disturbed_machine_is_decided_all_the_same(limit: str) -> None:
    assert decided(preempted(0, 0.02), preempted(1, 0.02, slower=1.15), limit).outcome == "failed"


def test_a_tail_of_the_models_own_fails() -> None:
    for share in (0.0, 0.001):
        found = decided(preempted(0, share), preempted(1, share, tail=2.0))
        assert found.outcome == "failed", found.text
        assert "other programs" not in found.text
