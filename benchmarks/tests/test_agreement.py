"""What the suite that compares with the vendor's benchmark says of a ratio."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

from edgekit_benchmarks.percentile import Enclosed

SUITE = runpy.run_path(str(Path(__file__).parents[1] / "suites/agreement.py"))


def _ratio(value: float, low: float, high: float) -> Enclosed:
    return Enclosed(value=value, low=low, high=high, confidence=0.96)


@pytest.mark.parametrize(
    ("ratio", "verdict"),
    [
        (_ratio(1.005, 0.999, 1.012), "agrees"),
        (_ratio(1.03, 0.97, 1.06), "undecided"),
        (_ratio(1.00, 0.75, 1.03), "undecided"),
        (_ratio(1.03, 1.015, 1.04), "MISSED"),
        (_ratio(1.05, 1.03, 1.20), "MISSED"),
        (_ratio(0.95, 0.85, 0.97), "MISSED"),
    ],
)
def test_only_a_noisy_machine_excuses_a_ratio_that_is_off(ratio: Enclosed, verdict: str) -> None:
    assert SUITE["judge"](ratio) == verdict


def test_what_changes_steadily_through_a_round_cancels_out() -> None:
    speed = [1.00, 1.02, 1.04, 1.06, 1.08, 1.10]  # of the machine, in the round A B C C B A
    found = SUITE["ratio_of"]([speed[0], speed[5]], [speed[2], speed[3]])
    assert found.value == pytest.approx(1, abs=0.002)
