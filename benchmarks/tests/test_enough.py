from pathlib import Path

import pytest

from edgekit_benchmarks.bench_request import BenchRequest
from edgekit_benchmarks.enough import warnings
from edgekit_benchmarks.gate import limits
from edgekit_benchmarks.simulated import Simulated, simulated


def asked(processes: int) -> BenchRequest:
    return BenchRequest(files=(Path("m.tflite"),), processes=processes)


@pytest.mark.parametrize("processes", [6, 9])
def test_enough_processes_are_not_warned_of(processes: int) -> None:
    before = simulated(Simulated())
    assert not list(warnings(asked(processes), before, limits(["p50=5%"])))


@pytest.mark.parametrize("processes", [1, 5])
def test_too_few_to_tell_files_apart_are_told_before(processes: int) -> None:
    (told,) = warnings(asked(processes))
    assert told.startswith(f"--processes {processes}: too few to tell which file is faster")
    assert "give 6 or more (9 is usual)" in told


def test_a_gate_that_must_be_undecided_is_told_before() -> None:
    before = simulated(Simulated(processes=3))
    _, told = warnings(asked(3), before, limits(["p50=5%,size=0%,p99=10%"]))
    assert "too few to compare with the 3 of the baseline" in told
    assert "p50=5%, p99=10% will be undecided; 4 in each are enough" in told


def test_a_baseline_of_too_few_processes_is_told_before() -> None:
    (told,) = warnings(asked(9), simulated(Simulated(processes=1)))
    assert "with the 1 of the baseline, no difference can be shown" in told


def test_few_processes_are_enough_against_many() -> None:
    (told,) = warnings(asked(3), simulated(Simulated(processes=9)), limits(["p50=5%"]))
    assert "baseline" not in told
