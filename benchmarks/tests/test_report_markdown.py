from dataclasses import replace
from typing import Any

from edgekit_benchmarks.doubts import INVALID
from edgekit_benchmarks.report_markdown import to_markdown
from edgekit_benchmarks.result import BenchmarkResult, FailureRecord
from edgekit_benchmarks.simulated import Noise, Simulated, simulated

NASTY = "a|b`c*_<img src=x>@octocat\n# d.tflite"


def result(*rows: dict[str, Any]) -> BenchmarkResult:
    """Rows with further fields."""
    return simulated(*(Simulated(noise=Noise(tail=0), more=more) for more in rows))


def table(text: str) -> list[str]:
    """The lines of the first table, without its head."""
    lines = text.partition("<details>")[0].splitlines()
    return [line for line in lines if line.startswith("|")][2:]


def test_a_row_has_size_median_and_memory() -> None:
    (line,) = table(to_markdown(result({})))
    assert line.startswith("| mnist.int8.tflite | 111 kB | 1 | ")
    assert " ms [" in line
    assert line.endswith(" MB |")


def test_all_lines_of_the_table_have_as_many_cells() -> None:
    text = to_markdown(
        result({}, {"path": NASTY, "accuracy": {"value": 0.9, "low": 0.88, "high": 0.91}})
    )
    lines = [line for line in text.split("<details>")[0].splitlines() if line.startswith("|")]
    cells = {line.replace("\\|", "").count("|") for line in lines}
    assert len(cells) == 1


def test_names_are_no_markup_and_mention_nobody() -> None:
    text = to_markdown(result({"path": NASTY}))
    assert "<img" not in text
    assert "@octocat" not in text
    assert "\n# d" not in text


def test_an_invalid_row_says_so_and_why() -> None:
    text = to_markdown(result({}, {"doubts": (f"{INVALID}too few samples",), "valid": False}))
    assert "**INVALID**" in table(text)[1]
    assert "- **INVALID** mnist.int8.tflite (2): too few samples" in text


def test_doubts_stand_below_the_table() -> None:
    text = to_markdown(result({"doubts": ("hot",)}, {"doubts": ("hot", "wide")}))
    assert "- all: hot\n" in text
    assert "- mnist.int8.tflite (2): wide\n" in text


def test_emulated_targets_show_no_time() -> None:
    made = result({}, {})
    targets = {
        name: replace(one, emulated=True, doubts=(f"{INVALID}this is an emulator",), valid=False)
        for name, one in made.targets.items()
    }
    text = to_markdown(replace(made, targets=targets))
    assert all("emulated: not a timing" in line for line in table(text))
    assert not any(f" {unit} " in line for line in table(text) for unit in ("µs", "ms", "s"))
    assert "- local: this is an emulator" in text
    assert "**INVALID**" not in text


def test_failures_are_told() -> None:
    failed = FailureRecord(path="b.onnx", target="pi4", threads=2, error="b.onnx: no; convert it")
    text = to_markdown(replace(result({}), failures=(failed,)))
    assert "- not measured: b.onnx, 2 threads on pi4: b.onnx: no; convert it" in text


def test_the_environment_is_folded_away() -> None:
    folded = to_markdown(result({})).split("<details>")[1]
    assert "| governor | performance |" in folded
    assert "| turbo | unknown |" in folded
    assert folded.endswith("</details>\n")


def test_the_command_is_without_the_folder_of_the_program() -> None:
    made = replace(result({}), command=("/home/me/.venv/bin/edgekit", "bench", "a b.tflite"))
    assert "| command | edgekit bench 'a b.tflite' |" in to_markdown(made)
