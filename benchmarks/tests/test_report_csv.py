import csv
import io
from dataclasses import replace
from typing import Any

import pytest

from edgekit_benchmarks.report_csv import samples_to_csv, to_csv
from edgekit_benchmarks.result import BenchmarkResult
from edgekit_benchmarks.simulated import Noise, Simulated, simulated

ONE = Simulated(noise=Noise(tail=0), samples=20)


def read(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def result(**more: Any) -> BenchmarkResult:
    return simulated(replace(ONE, more=more))


def test_a_row_is_a_line_with_units_in_the_names_of_numbers() -> None:
    (line,) = read(to_csv(result()))
    row = result().rows[0]
    assert line["path"] == "models/mnist.int8.tflite"
    assert float(line["p50_ns"]) == row.p50_ns
    assert float(line["p50_low_ns"]) <= row.p50_ns <= float(line["p50_high_ns"])
    assert float(line["load_ns"]) == row.of_starts("load_ns")
    assert int(line["size_bytes"]) == row.size_bytes


def test_a_percentile_that_the_samples_do_not_support_is_empty() -> None:
    (line,) = read(to_csv(result()))
    assert line["p90_ns"]
    assert line["p99_ns"] == ""


def test_emulated_targets_have_neither_times_nor_memory() -> None:
    made = result()
    targets = {name: replace(one, emulated=True) for name, one in made.targets.items()}
    emulated = replace(made, targets=targets)
    (line,) = read(to_csv(emulated))
    assert line["emulated"] == "true"
    assert [name for name in line if name.endswith(("_ns", "_per_s")) and line[name]] == []
    assert line["peak_memory_bytes"] == ""
    assert read(samples_to_csv(emulated)) == []


def test_doubts_of_target_and_row_stand_in_one_cell() -> None:
    made = result(doubts=("hot", "wide"))
    targets = {name: replace(one, doubts=("hot",)) for name, one in made.targets.items()}
    (line,) = read(to_csv(replace(made, targets=targets)))
    assert line["doubts"] == "hot | wide"


@pytest.mark.parametrize("path", ["=1+1.tflite", "-a.tflite", "@b.tflite", "+c.tflite"])
def test_no_cell_is_a_formula(path: str) -> None:
    (line,) = read(to_csv(result(path=path)))
    assert line["path"] == f"'{path}"


def test_names_with_commas_quotes_and_lines_stay_one_cell() -> None:
    (line,) = read(to_csv(result(path='a,"b"\n\ud800c.tflite')))
    assert line["path"] == 'a,"b"  c.tflite'
    to_csv(result(path="\ud800")).encode()


def test_no_rows_give_a_header() -> None:
    assert to_csv(simulated()) == "path\n"


def test_each_sample_is_a_line() -> None:
    made = result()
    lines = read(samples_to_csv(made))
    assert len(lines) == made.rows[0].sample_count
    assert [float(line["sample_ns"]) for line in lines[:20]] == list(made.rows[0].samples_ns[0])
    assert [lines[20][name] for name in ("row", "process", "index")] == ["0", "1", "0"]
    assert lines[0]["t_ns"] == ""


def test_samples_have_their_time_where_chunks_are_known() -> None:
    made = result(
        samples_ns=((10, 20, 30.5),), stamps_ns=((1000, 5000),), chunks=((2, 1),), repeats=2
    )
    lines = read(samples_to_csv(made))
    assert [line["t_ns"] for line in lines] == ["1000", "1020", "5000"]
    assert lines[2]["sample_ns"] == "30.5"
