from dataclasses import replace
from typing import Any

import pytest

from edgekit.errors import UsageError
from edgekit_benchmarks import comparison_text
from edgekit_benchmarks.comparison import Comparison, compare, reference
from edgekit_benchmarks.report_numbers import TIMES
from edgekit_benchmarks.result import BenchmarkResult, FailureRecord
from edgekit_benchmarks.simulated import FACTS, Noise, Simulated, simulated

CALM = Noise(between=0.005, tail=0)
ONE = Simulated(noise=CALM)
OTHER = replace(ONE, seed=1)


def of(before: Simulated, after: Simulated) -> Comparison:
    return compare(simulated(before), simulated(after))


def verdicts(comparison: Comparison) -> dict[str, str]:
    return {one.metric.name: one.verdict for one in comparison.rows[0].changes}


def test_nothing_changed() -> None:
    found = verdicts(of(ONE, OTHER))
    assert {found[name] for name in ("p50", "p90", "memory", "peak")} == {"no difference shown"}
    assert {found[name] for name in ("size", "gzip")} == {"same"}


def test_each_metric_has_its_words() -> None:
    accurate = {"accuracy": {"metric": "accuracy", "samples": 2000, "value": 0.91}}
    worse = {"accuracy": {"metric": "accuracy", "samples": 2000, "value": 0.90}}
    after = replace(OTHER, median_ns=1.2e6, memory_bytes=4e6, size_bytes=90_000, more=worse)
    found = verdicts(of(replace(ONE, more=accurate), after))
    assert found["p50"] == found["p90"] == found["first"] == "slower"
    assert (found["memory"], found["peak"]) == ("larger", "larger")
    assert (found["size"], found["gzip"], found["accuracy"]) == ("smaller", "smaller", "worse")


def test_the_ratio_is_after_over_before() -> None:
    change = of(ONE, replace(OTHER, median_ns=2e6)).rows[0].change("p50")
    assert change is not None
    assert change.ratio is not None
    assert change.ratio.low < 2 < change.ratio.high


def test_rows_are_matched_by_model_precision_format_target_and_threads() -> None:
    kinds = [
        {"name": "a"}, {"name": "b"}, {"precision": "float32"}, {"format": "onnx"},
        {"threads": 2}, {"target": "pi"},
    ]  # fmt: skip
    rows = [replace(ONE, **kind, samples=3) for kind in kinds]  # type: ignore[arg-type]
    found = compare(simulated(*rows), simulated(*rows[::-1]))
    assert len(found.rows) == len(rows)
    assert all(row.before.key == row.after.key for row in found.rows)


def test_rows_without_a_partner_are_told() -> None:
    found = compare(
        simulated(ONE, replace(ONE, name="old")), simulated(OTHER, replace(ONE, name="new"))
    )
    assert [row.name for row in found.only_before] == ["old"]
    assert [row.name for row in found.only_after] == ["new"]
    lines = list(comparison_text.lines(found, ()))
    assert "only in the earlier result: old.int8.tflite, 1 thread" in lines
    assert "only in the later result: new.int8.tflite, 1 thread" in lines


def test_files_of_one_name_in_two_folders_are_matched_by_path() -> None:
    here, there = (replace(ONE, more={"path": f"{at}/m.int8.tflite"}) for at in "ab")
    found = compare(simulated(here, there), simulated(there, here))
    assert [row.before.path == row.after.path for row in found.rows] == [True, True]
    lost = compare(simulated(here, there), simulated(here))
    assert [row.path for row in lost.only_before] == ["b/m.int8.tflite"]


def test_results_with_nothing_in_common_are_refused() -> None:
    with pytest.raises(UsageError, match=r"no row in common \(a.*; b.*\); bench the same"):
        of(replace(ONE, name="a"), replace(ONE, name="b"))


@pytest.mark.parametrize(
    ("fact", "value", "said"),
    [
        ("cpu", "ARM Cortex-A76", "CPU: ARM Cortex-A72, then ARM Cortex-A76"),
        ("governor", "ondemand", "governor: performance, then ondemand"),
        ("kernel", "6.12", "kernel: 6.6.31"),
        ("model", "unknown", "board: Raspberry Pi 4 Model B Rev 1.4, then unknown"),
        ("features", ["asimd"], "CPU features: crc32, then none of those"),
        ("frequency_khz", {"max": 1_800_000}, "maximum frequency in kHz: 1500000, then 1800000"),
        ("python", "3.12.1", "Python: 3.11.2, then 3.12.1"),
    ],
)
def test_other_machines_are_refused_and_what_differs_is_named(
    fact: str, value: Any, said: str
) -> None:
    after = simulated(OTHER, facts=FACTS | {fact: value})
    with pytest.raises(UsageError) as caught:
        compare(simulated(ONE), after)
    assert said in str(caught.value)
    assert "--allow-other-machine" in str(caught.value)
    allowed = compare(simulated(ONE), after, allow_other_machine=True)
    assert any(said in text for text in allowed.machines)
    assert allowed.rows[0].changes[0].verdict == "no difference shown"


@pytest.mark.parametrize("fact", ["temperature_c", "boot_id", "disk_free_bytes", "load"])
def test_what_changes_by_itself_makes_no_other_machine(fact: str) -> None:
    assert compare(simulated(ONE), simulated(OTHER, facts=FACTS | {fact: 5})).machines == ()


def test_another_runtime_is_refused() -> None:
    after = replace(OTHER, more={"runtime": "ai-edge-litert 2.4.0"})
    with pytest.raises(UsageError, match="runtime: ai-edge-litert 2.3.0, then ai-edge-litert 2.4"):
        of(ONE, after)


def test_one_target_each_may_have_different_names_when_other_machines_are_allowed() -> None:
    before, after = simulated(ONE), simulated(replace(OTHER, target="pi"))
    with pytest.raises(UsageError, match="no row in common"):
        compare(before, after)
    assert len(compare(before, after, allow_other_machine=True).rows) == 1


def test_an_invalid_measurement_has_no_verdict_but_its_size_has() -> None:
    found = of(ONE, replace(OTHER, median_ns=5e6, size_bytes=1, more={"valid": False}))
    assert not found.valid
    assert found.rows[0].invalid == ("the later measurement is INVALID",)
    assert verdicts(found)["p50"] == verdicts(found)["memory"] == "invalid"
    assert verdicts(found)["size"] == "smaller"


@pytest.mark.parametrize("speed", [0.5, 0.65, 1.5, 2.0])
def test_a_machine_that_changed_its_own_speed_shows_no_difference(speed: float) -> None:
    found = of(ONE, replace(OTHER, speed=speed))
    assert found.rows[0].machine is not None
    assert verdicts(found)["p50"] == verdicts(found)["p90"] == "no difference shown"
    assert "the machine itself took" in found.notes[0]


def test_what_goes_far_beyond_the_change_of_the_machine_is_shown() -> None:
    assert verdicts(of(ONE, replace(OTHER, speed=0.7, median_ns=2e6)))["p50"] == "slower"
    assert verdicts(of(ONE, replace(OTHER, speed=0.7, memory_bytes=4e6)))["memory"] == "larger"


def test_a_machine_that_stayed_as_it_was_widens_nothing() -> None:
    found = of(ONE, replace(OTHER, speed=1.02, median_ns=1.1e6))
    assert found.rows[0].machine is None
    assert verdicts(found)["p50"] == "slower"


def test_a_machine_whose_speed_changes_all_the_time_widens_the_interval() -> None:
    moods = tuple((float(100 + 60 * (i % 2)),) for i in range(9))
    found = of(replace(ONE, more={"reference_ns": moods}), replace(OTHER, median_ns=1.1e6))
    assert verdicts(found)["p50"] == "no difference shown"


def test_results_without_the_machines_own_loop_are_compared() -> None:
    without = replace(ONE, more={"reference_ns": ()})
    assert reference(without.row(), OTHER.row()) is None
    assert of(without, OTHER).valid


def test_a_percentile_without_enough_samples_is_left_out() -> None:
    change = of(replace(ONE, samples=5), OTHER).rows[0].change("p90")
    assert change is not None
    assert (change.ratio, change.verdict) == (None, "")
    assert change.reason == "45 samples are too few; 64 are needed"


def test_too_few_processes_are_told() -> None:
    found = of(replace(ONE, processes=3), replace(OTHER, processes=3, median_ns=2e6))
    assert verdicts(found)["p50"] == "too few processes to tell"
    assert "3 and 3 processes are too few to tell" in found.notes[0]
    assert "4 in each are enough" in found.notes[0]
    text = "\n".join(comparison_text.lines(found, ()))
    assert "ratio [only 90 %]" in text
    assert "no difference" not in text.split("load")[0]


def test_numbers_are_those_of_every_report() -> None:
    text = "\n".join(comparison_text.lines(of(ONE, replace(OTHER, median_ns=35_300)), ()))
    (line,) = (line for line in text.splitlines() if line.startswith("  p50"))
    assert line.split()[1:5] == ["1.00", "ms", "35.3", "µs"]
    assert TIMES in line
    assert "ratio [95 %]" in text


def test_accuracy_on_other_data_is_not_compared() -> None:
    first, second = ({"accuracy": {"value": 0.9, "samples": count}} for count in (100, 200))
    change = of(replace(ONE, more=first), replace(OTHER, more=second)).rows[0].change("accuracy")
    assert change is not None
    assert change.reason == "it was measured otherwise: samples 100, then 200"


def test_the_same_data_may_lie_in_another_folder() -> None:
    first, second = ({"accuracy": {"value": 0.9, "data": f"{at}/x.npz:test"}} for at in "ab")
    change = of(replace(ONE, more=first), replace(OTHER, more=second)).rows[0].change("accuracy")
    assert change is not None
    assert (change.reason, change.verdict) == ("", "same")


def test_memory_of_nothing_is_not_compared() -> None:
    change = of(replace(ONE, memory_bytes=1), OTHER).rows[0].change("memory")
    assert change is not None
    assert change.reason.startswith("it is 0")


def test_the_text_shows_what_can_be_compared() -> None:
    text = "\n".join(comparison_text.lines(of(ONE, replace(OTHER, median_ns=1.2e6)), ()))
    assert text.startswith("mnist.int8.tflite, 1 thread, the same file\n")
    assert "1.20 ms  1.2" in text
    assert "slower" in text
    assert "p99" not in text


def test_names_cannot_steer_the_terminal() -> None:
    nasty = {"path": "m/\x1b[31mm.int8.tflite"}
    found = compare(
        simulated(replace(ONE, more=nasty)),
        simulated(
            replace(OTHER, more=nasty),
            failures=(FailureRecord(path="\x1b", target="t", threads=1, error="\x07"),),
        ),
    )
    assert "\x1b" not in "".join(comparison_text.lines(found, ()))
    assert "\x07" not in "".join(comparison_text.lines(found, ()))


def test_comparing_does_not_change_results() -> None:
    before: BenchmarkResult = simulated(ONE)
    text = before.to_json()
    compare(before, simulated(OTHER))
    assert before.to_json() == text
