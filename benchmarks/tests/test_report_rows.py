import itertools
from dataclasses import replace
from typing import Any

import pytest

from edgekit_benchmarks.doubts import INVALID
from edgekit_benchmarks.ratio import paired
from edgekit_benchmarks.report_markdown import to_markdown
from edgekit_benchmarks.report_numbers import TIMES
from edgekit_benchmarks.report_rows import (
    against,
    machine,
    names,
    own_doubts,
    reasons,
    replication,
    shared_doubts,
    words,
)
from edgekit_benchmarks.report_text import lines
from edgekit_benchmarks.report_verdict import is_trusted, sentences
from edgekit_benchmarks.result import BenchmarkResult, RatioRecord, TargetRecord
from edgekit_benchmarks.simulated import Noise, Simulated, simulated

QUIET = Noise(between=0.002, tail=0)


def row(precision: str = "int8", median_ns: float = 1e6, **more: Any) -> Simulated:
    return Simulated(precision=precision, median_ns=median_ns, noise=QUIET, **more)


def with_ratios(result: BenchmarkResult) -> BenchmarkResult:
    """Every row over every earlier one of its target, as a benchmark gives them."""
    ratios = []
    for i, one in enumerate(result.rows):
        for j, other in enumerate(result.rows[:i]):
            if one.target == other.target:
                found = paired(one.samples_ns, other.samples_ns, valid=one.valid and other.valid)
                ratios.append(
                    RatioRecord(
                        row=i, to=j, value=found.value, low=found.low, high=found.high,
                        verdict=found.verdict,
                    )
                )  # fmt: skip
    return replace(result, ratios=tuple(ratios))


def marked(result: BenchmarkResult, number: int, *doubts: str) -> BenchmarkResult:
    """With a row that has these doubts, and is INVALID if one of them says so."""
    rows = list(result.rows)
    valid = not any(text.startswith(INVALID) for text in doubts)
    rows[number] = replace(rows[number], doubts=doubts, valid=valid)
    return with_ratios(replace(result, rows=tuple(rows)))


def on(result: BenchmarkResult, **more: Any) -> BenchmarkResult:
    """The same with other fields of its targets."""
    targets = {name: replace(target, **more) for name, target in result.targets.items()}
    return replace(result, targets=targets)


FAST = with_ratios(
    simulated(
        row("float32", 2.9e6, size_bytes=400_000), row("int8", 1e6, seed=1, size_bytes=100_000)
    )
)
SAME = with_ratios(simulated(row("float32"), row("float16", seed=1, size_bytes=60_000)))

# ---- names


def test_rows_are_called_after_their_files() -> None:
    assert names(FAST) == ("mnist.float32.tflite", "mnist.int8.tflite")


def test_short_names_leave_out_what_all_have() -> None:
    assert names(FAST, is_short=True) == ("float32", "int8")


def test_files_of_one_name_are_told_apart_by_their_folders() -> None:
    two = simulated(
        row(more={"path": "/old/mnist.tflite"}), row(more={"path": "/new/mnist.tflite"})
    )
    assert names(two) == ("old/mnist.tflite", "new/mnist.tflite")


def test_threads_and_targets_stand_in_names_only_where_they_differ() -> None:
    assert names(simulated(row(), row(threads=4, target="pi4"))) == (
        "mnist.int8.tflite, 1 thread on local",
        "mnist.int8.tflite, 4 threads on pi4",
    )


def test_no_two_names_are_alike() -> None:
    assert names(simulated(row(), row())) == ("mnist.int8.tflite (1)", "mnist.int8.tflite (2)")


def test_a_machine_is_called_by_its_model_and_an_unknown_one_by_its_name() -> None:
    board = TargetRecord(url="", facts={"model": "Raspberry Pi 4 Model B Rev 1.4"})
    assert machine("local", board) == "Raspberry Pi 4 Model B"
    assert machine("pi4", board) == "pi4 (Raspberry Pi 4 Model B)"
    nothing = TargetRecord(url="", facts={"model": "unknown"})
    assert machine("local", nothing) == "this machine"
    assert machine("shed", nothing) == "shed"


# ---- what rows are compared with


def test_a_row_is_compared_with_float32_of_the_same_threads() -> None:
    result = with_ratios(
        simulated(row("float32", 4e6), row("float32", 2e6, threads=2), row("int8", threads=2))
    )
    found = [against(result, i) for i in range(3)]
    assert [one and one.to for one in found] == [None, 0, 1]


def test_the_reference_may_come_later() -> None:
    result = with_ratios(simulated(row("int8", 1e6), row("float32", 2.9e6, seed=1)))
    found = against(result, 0)
    assert found is not None
    assert found.to == 1
    assert found.verdict == "faster"
    assert found.low <= found.value <= found.high < 0.4


@pytest.mark.parametrize("order", list(itertools.permutations(("int8", "float32", "float16"))))
def test_the_reference_is_float32_at_the_same_threads_in_any_order(order: tuple[str, ...]) -> None:
    rows = [row(p, 1e6, threads=threads) for p in order for threads in (1, 2)]
    result = with_ratios(simulated(*rows))
    for i, one in enumerate(result.rows):
        found = against(result, i)
        if one.precision != "float32":
            assert found is not None
            reference = result.rows[found.to]
            assert (reference.precision, reference.threads) == ("float32", one.threads)
        elif one.threads == 1:
            assert found is None
        else:
            assert found is not None
            assert (result.rows[found.to].path, result.rows[found.to].threads) == (one.path, 1)


def test_without_float32_the_first_row_of_the_same_threads_is_the_reference() -> None:
    rows = [row(p, 1e6, threads=threads) for p in ("int8", "float16") for threads in (1, 2)]
    result = with_ratios(simulated(*rows))
    assert [one and one.to for one in (against(result, i) for i in range(4))] == [None, 0, 0, 1]


def test_different_models_are_compared_at_the_same_threads() -> None:
    rows = [row(name=name, threads=threads) for name in "ab" for threads in (1, 2)]
    result = with_ratios(simulated(*rows))
    assert [one and one.to for one in (against(result, i) for i in range(4))] == [None, 0, 0, 1]


def test_another_format_is_compared_with_its_own_float32_and_that_with_the_first() -> None:
    rows = [row(p, format=kind) for kind in ("tflite", "onnx") for p in ("int8", "float32")]
    result = with_ratios(simulated(*rows))
    assert [one and one.to for one in (against(result, i) for i in range(4))] == [1, None, 3, 1]


def test_different_models_are_compared_with_the_first() -> None:
    result = with_ratios(simulated(row(name="a"), row(name="b", median_ns=2e6)))
    found = against(result, 1)
    assert found is not None
    assert words(result, found)[1] == "than a.int8.tflite"


def test_variants_of_several_models_are_compared_within_each() -> None:
    result = with_ratios(
        simulated(
            *(row(p, 3e6 if p == "float32" else 1e6, name=n) for n in "ab"
              for p in ("float32", "int8"))
        )
    )  # fmt: skip
    found = [against(result, i) for i in range(4)]
    assert [one and one.to for one in found] == [None, 0, None, 2]


def test_targets_are_not_compared_with_each_other() -> None:
    result = with_ratios(simulated(row("float32"), row("int8", target="pi4")))
    assert against(result, 1) is None


def test_an_emulated_row_is_not_compared() -> None:
    assert against(on(FAST, emulated=True), 1) is None


def test_faster_is_told_as_how_many_times_with_its_interval() -> None:
    found = against(FAST, 1)
    assert found is not None
    verdict, rest = words(FAST, found)
    assert verdict.startswith(f"2.89{TIMES} [2.8")
    assert verdict.endswith("] faster")
    assert rest == f"than float32 and 4.0{TIMES} smaller"


def test_no_difference_is_never_called_faster() -> None:
    found = against(SAME, 1)
    assert found is not None
    verdict, rest = words(SAME, found)
    assert verdict == "no difference shown"
    assert "1.00" in rest
    assert f"though 1.85{TIMES} smaller" in rest


@pytest.mark.parametrize("count", [1, 3, 5])
def test_too_few_processes_are_no_difference_that_was_not_shown(count: int) -> None:
    result = with_ratios(
        simulated(row("float32", 3e6, processes=count), row("int8", processes=count))
    )
    found = against(result, 1)
    assert found is not None
    verdict, rest = words(result, found)
    assert verdict == "too few processes to tell"
    assert rest.startswith("it from float32, 3.00")
    (told,) = sentences(result)
    assert told.startswith("mnist.int8.tflite: too few processes to tell")
    said = "\n".join(lines(result)) + to_markdown(result)
    assert "no difference" not in said
    assert "95 %" not in said


def test_a_verdict_of_another_version_is_told_as_it_is() -> None:
    ratio = replace(SAME.ratios[0], verdict="about as fast")
    (told,) = sentences(replace(SAME, ratios=(ratio,)))
    assert "about as fast" in told


# ---- sentences


def test_the_verdict_names_files_ratio_size_and_machine() -> None:
    (told,) = sentences(FAST)
    assert told.startswith(f"mnist.int8.tflite is 2.89{TIMES} [2.8")
    assert told.endswith(f"faster than float32 and 4.0{TIMES} smaller on Raspberry Pi 4 Model B.")


def test_a_single_row_is_told_with_its_median() -> None:
    (told,) = sentences(simulated(row()))
    assert told.startswith("mnist.int8.tflite takes 999 µs [99")
    assert told.endswith("an inference with 1 thread on Raspberry Pi 4 Model B.")


def test_an_invalid_result_says_only_that() -> None:
    result = marked(FAST, 1, f"{INVALID}throttled")
    result = marked(result, 0, f"{INVALID}throttled")
    assert sentences(result) == (
        "INVALID: what was measured on Raspberry Pi 4 Model B must not be used.",
    )


def test_an_invalid_row_is_in_no_sentence_but_counted() -> None:
    told = " ".join(sentences(marked(FAST, 1, f"{INVALID}throttled")))
    assert "faster" not in told
    assert "1 of 2 rows" in told


def test_an_emulated_target_has_no_times_in_words() -> None:
    assert sentences(on(FAST, emulated=True)) == (
        "Raspberry Pi 4 Model B is emulated: not a timing.",
    )


def test_an_emulator_alone_makes_nothing_invalid() -> None:
    emulated = on(FAST, emulated=True, valid=False, doubts=(f"{INVALID}this is an emulator",))
    assert is_trusted(emulated)
    assert reasons(emulated) == ()


def test_nothing_measured_is_said() -> None:
    assert sentences(simulated()) == ("Nothing was measured.",)


# ---- doubts


def test_what_all_rows_share_is_not_said_of_each() -> None:
    result = marked(marked(FAST, 0, "hot", "wide"), 1, "hot")
    assert shared_doubts(result) == ("hot",)
    assert own_doubts(result, result.rows[0]) == ("wide",)


def test_a_reason_is_told_once_with_all_that_it_is_about() -> None:
    result = on(FAST, valid=False, doubts=(f"{INVALID}throttled",))
    for i in range(2):
        result = marked(result, i, f"{INVALID}throttled", f"{INVALID}too few")
    assert reasons(result) == (
        "local: throttled",
        "mnist.float32.tflite, mnist.int8.tflite: too few",
    )


def test_replication_is_told_and_damaged_records_are_passed_over() -> None:
    tries = {
        "path": "a/b.tflite", "target": "local", "threads": 1, "p50_ns": [1e6, 1.2e6],
        "off": 0.09, "passed": False,
    }  # fmt: skip
    result = replace(FAST, settings={"tries": [tries, 3, {}]})
    ((passed, told),) = replication(result)
    assert not passed
    assert told.startswith("NOT REPLICATED: b.tflite")
    assert told.endswith("1.00 ms, 1.20 ms, up to 9.0 % from their median")
