"""Plans: which rows there are, which share a process, and in which order."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edgekit.errors import UsageError
from edgekit_benchmarks.bench_request import BenchRequest
from edgekit_benchmarks.input_rows import RANDOM, Feed
from edgekit_benchmarks.model_file import ModelFile
from edgekit_benchmarks.plan import Plan, groups_of, in_turn, limit_s, make_plan, steady_spec


def model(name: str, kind: Any = "tflite", size_bytes: int = 1000) -> ModelFile:
    return ModelFile(
        path=Path(f"{name}.{kind}"),
        kind=kind,
        name=name,
        precision="float32",
        sha256=f"sha-{name}-{kind}",
        size_bytes=size_bytes,
        gzip_bytes=None,
    )


def plan(*files: ModelFile, target: str = "local", **asked: Any) -> Plan:
    request = BenchRequest(files=tuple(file.path for file in files), **asked)
    feeds = {file.sha256: Feed(record=RANDOM) for file in files}
    return make_plan(request, target, files, feeds)


def labels(made: Plan) -> list[str]:
    return [row.label for row in made.rows]


def test_every_file_gets_every_number_of_threads() -> None:
    made = plan(model("a"), model("b"), threads=(1, 4))
    assert labels(made) == [
        "a.tflite, 1 thread",
        "a.tflite, 4 threads",
        "b.tflite, 1 thread",
        "b.tflite, 4 threads",
    ]


def test_a_number_of_threads_given_twice_counts_once() -> None:
    assert len(plan(model("a"), threads=(2, 2, 1)).rows) == 2


def test_keras_files_are_measured_here_only() -> None:
    files = model("a"), model("a", "keras")
    assert len(plan(*files).rows) == 2
    assert labels(plan(*files, target="pi4")) == ["a.tflite, 1 thread"]


def test_rows_share_a_process_while_they_fit_into_a_quarter_of_the_memory() -> None:
    made = plan(model("a"), model("b"), model("c"))
    needed: dict[str, int | None] = {row.key: 100 for row in made.rows}
    groups = groups_of(made.rows, needed, available_bytes=4 * 250)
    assert [[row.file.name for row in group] for group in groups] == [["a", "b"], ["c"]]


def test_a_row_that_is_too_big_for_a_quarter_still_gets_a_process() -> None:
    made = plan(model("a", size_bytes=10_000), model("b"))
    groups = groups_of(made.rows, {}, available_bytes=400)
    assert [len(group) for group in groups] == [1, 1]


def test_keras_rows_have_processes_of_their_own_for_each_number_of_threads() -> None:
    made = plan(model("a"), model("a", "onnx"), model("a", "keras"), threads=(1, 2))
    groups = groups_of(made.rows, {}, None)
    assert [[row.label for row in group] for group in groups] == [
        ["a.tflite, 1 thread", "a.tflite, 2 threads", "a.onnx, 1 thread", "a.onnx, 2 threads"],
        ["a.keras, 1 thread"],
        ["a.keras, 2 threads"],
    ]


def test_every_row_goes_first_as_often_as_the_others() -> None:
    rows = plan(model("a"), model("b"), model("c")).rows
    firsts = [in_turn(rows, number)[0].file.name for number in range(6)]
    assert sorted(firsts) == ["a", "a", "b", "b", "c", "c"]


def test_the_time_is_for_all_processes_together() -> None:
    made = plan(model("a"), seconds=9.0, processes=9)
    spec = steady_spec(made.rows, {"sha-a-tflite": "/a"}, repeats={}, budget_s=made.budget_s)
    assert spec["budget_s"] == 1.0


def test_the_same_measurements_have_the_same_fingerprint() -> None:
    assert plan(model("a")).fingerprint("w") == plan(model("a")).fingerprint("w")


@pytest.mark.parametrize(
    "other",
    [
        plan(model("b")),
        plan(model("a"), threads=(2,)),
        plan(model("a"), target="pi4"),
        plan(model("a"), seconds=1.0),
        plan(model("a"), sustained=True),
        replace(plan(model("a")), tries=5),
    ],
)
def test_other_measurements_have_another_fingerprint(other: Plan) -> None:
    assert other.fingerprint("w") != plan(model("a")).fingerprint("w")


def test_slow_models_get_more_time_before_they_are_said_to_hang() -> None:
    rows = plan(model("a")).rows
    assert limit_s(rows, {"0x1": 30.0}, 1.0) > limit_s(rows, {"0x1": 0.01}, 1.0) > 60


@pytest.mark.parametrize(
    "asked", [{"threads": (0,)}, {"threads": ()}, {"processes": 0}, {"seconds": 0}, {"on": ()}]
)
def test_what_makes_no_sense_is_refused(asked: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=";"):
        plan(model("a"), **asked)


def test_preprocessing_without_data_is_refused() -> None:
    with pytest.raises(UsageError, match="--input"):
        plan(model("a"), preprocess=("scale=1/255",))
