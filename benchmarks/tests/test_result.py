import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgekit.errors import OutputError, UsageError
from edgekit_benchmarks.comparison import compare
from edgekit_benchmarks.result import (
    BenchmarkResult,
    FailureRecord,
    InputRecord,
    RatioRecord,
    Row,
    StartRecord,
    TargetRecord,
)
from edgekit_benchmarks.simulated import Simulated, simulated

RESULT = simulated(
    Simulated(more={"operators": ({"name": "CONV_2D", "ns": 5.5},), "accuracy": {"value": 0.9}}),
    Simulated(seed=1, threads=2, more={"doubts": ("odd",), "valid": False}),
    ratios=(RatioRecord(row=1, to=0, value=1.1, low=1.0, high=1.2, verdict="slower"),),
    failures=(FailureRecord(path="a.onnx", target="local", threads=None, error="a: b; c"),),
    settings={"processes": 9},
)


def changed(change: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
    """The document, with a change made to it."""
    document: dict[str, Any] = json.loads(RESULT.to_json())
    change(document)
    return document


def row_with(*runs: tuple[float, ...], **more: Any) -> Row:
    return Row(
        path="m.int8.tflite",
        name="m",
        sha256="",
        size_bytes=1,
        format="tflite",
        precision="int8",
        target="local",
        threads=1,
        runtime="r",
        input=InputRecord(source="zeros", random=True),
        samples_ns=runs,
        **more,
    )


def test_what_is_written_is_read_again_and_written_the_same(tmp_path: Path) -> None:
    RESULT.write(tmp_path / "new" / "a.json")
    again = BenchmarkResult.read(tmp_path / "new" / "a.json")
    assert again == RESULT
    assert again.to_json() == (tmp_path / "new" / "a.json").read_text()


@settings(max_examples=30, deadline=None)
@given(
    st.lists(
        st.lists(st.integers(1, 10**12) | st.floats(1e-3, 1e12), min_size=1).map(tuple), min_size=1
    )
)
def test_raw_samples_survive_to_the_last_digit(runs: list[tuple[float, ...]]) -> None:
    result = simulated(Simulated(more={"samples_ns": tuple(runs)}))
    again = BenchmarkResult.from_dict(json.loads(result.to_json()))
    assert again.rows[0].samples_ns == tuple(runs)


def test_lists_of_numbers_stand_in_one_line() -> None:
    lines = RESULT.to_json().splitlines()
    assert sum("samples_ns" in line for line in lines) == 2
    assert max(map(len, lines)) < 1000
    assert len(lines) < 400


def test_a_result_of_a_later_version_with_more_keys_is_read() -> None:
    def add(document: dict[str, Any]) -> None:
        document["weather"] = {"sky": "blue"}
        document["rows"][0]["joules"] = [1, 2]
        document["rows"][0]["starts"][0]["disk_bytes"] = 5
        document["targets"]["local"]["altitude_m"] = 300

    assert BenchmarkResult.from_dict(changed(add)) == RESULT


def test_a_result_of_an_earlier_version_with_fewer_keys_is_read() -> None:
    def remove(document: dict[str, Any]) -> None:
        for name in ("settings", "ratios", "failures", "finished", "command"):
            del document[name]
        for name in ("stamps_ns", "starts", "reference_ns", "outliers", "p99_ns", "gzip_bytes"):
            del document["rows"][0][name]
        del document["targets"]["local"]["clock"]

    assert BenchmarkResult.from_dict(changed(remove)).rows[1] == RESULT.rows[1]


def test_a_newer_schema_is_refused_in_one_line() -> None:
    document = changed(lambda document: document.update(schema_version=2))
    with pytest.raises(UsageError, match=r"^b\.json: schema_version 2 is newer .*; use a newer"):
        BenchmarkResult.from_dict(document, file="b.json")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda d: d["rows"][1].pop("path"), "rows[1].path is not a text"),
        (lambda d: d["rows"][0].update(threads=-1), "rows[0].threads is not a whole number"),
        (lambda d: d["rows"][0].update(threads=True), "rows[0].threads is not a whole number"),
        (lambda d: d["rows"][0].update(valid="yes"), "rows[0].valid is not true or false"),
        (lambda d: d["rows"][0].update(samples_ns=[]), "rows[0].samples_ns is not lists of pos"),
        (lambda d: d["rows"][0].update(samples_ns=[[]]), "rows[0].samples_ns is not lists of pos"),
        (lambda d: d["rows"][0].update(samples_ns=[[0]]), "rows[0].samples_ns is not lists of po"),
        (lambda d: d["rows"][0].update(samples_ns=[["1"]]), "rows[0].samples_ns is not a list of"),
        (lambda d: d["rows"][0].update(samples_ns=[[1e999]]), "rows[0].samples_ns is not a list"),
        (lambda d: d["rows"][0].update(p50_ns=5), "rows[0].p50_ns is not what samples_ns give"),
        (lambda d: d["rows"][0]["starts"].append(3), "rows[0].starts[5] is not an object"),
        (lambda d: d["targets"].clear(), "targets.local is not there"),
        (lambda d: d.update(targets=[]), "targets is not an object"),
        (lambda d: d["targets"]["local"].pop("url"), "targets.local.url is not a text"),
        (lambda d: d["ratios"][0].update(low="x"), "ratios[0].low is not a number"),
        (lambda d: d["ratios"][0].update(row=2), "ratios is not of rows that are there"),
        (lambda d: d["rows"][0]["starts"][0].update(load_ns=1e-300), "load_ns is not a number"),
        (lambda d: d.update(schema_version="1"), "schema_version is not a whole number"),
        (lambda d: d.update(kind="x"), "is not a result of edgekit bench"),
    ],
)
def test_a_damaged_result_names_the_place(change: Callable[[Any], object], said: str) -> None:
    with pytest.raises(UsageError) as caught:
        BenchmarkResult.from_dict(changed(change), file="b.json")
    assert said in str(caught.value)
    assert str(caught.value).startswith("b.json: ")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=4,
)


@settings(max_examples=30, deadline=None)
@given(st.data())
def test_whatever_stands_at_any_place_is_read_or_refused(data: st.DataObject) -> None:
    document: Any = json.loads(RESULT.to_json())
    place = document
    while True:
        keys = list(place) if isinstance(place, dict) else list(range(len(place)))
        key = data.draw(st.sampled_from(keys))
        inner = place[key]
        if not isinstance(inner, dict | list) or not inner or data.draw(st.booleans()):
            break
        place = inner
    place[key] = data.draw(JSON)
    try:
        result = BenchmarkResult.from_dict(document)
        found = compare(RESULT, result, allow_other_machine=True)
    except UsageError:
        return
    assert found.rows
    result.to_dict()


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{",
        b"[1]",
        b"null",
        b'{"a": NaN}',
        b'{"a": -1e999}',
        b"\xff\xfe",
        b"[" * 100_000,
        b'"\\ud800"',
    ],
)
def test_a_file_that_is_something_else_is_refused_in_one_line(tmp_path: Path, text: bytes) -> None:
    (tmp_path / "a.json").write_bytes(text)
    with pytest.raises(UsageError, match=r"a\.json: .*; give ") as caught:
        BenchmarkResult.read(tmp_path / "a.json")
    assert "\n" not in str(caught.value)


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "no.json", tmp_path):
        with pytest.raises(UsageError, match="; give a result that edgekit bench wrote"):
            BenchmarkResult.read(path)


def test_numbers_that_are_none_never_come_into_the_file(tmp_path: Path) -> None:
    result = simulated(Simulated(more={"preprocess_ns": float("nan")}))
    with pytest.raises(ValueError, match="Out of range"):
        result.write(tmp_path / "a.json")
    assert list(tmp_path.iterdir()) == []


def test_an_existing_file_is_replaced_only_by_force(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text("mine")
    with pytest.raises(OutputError, match="exists already; add --force"):
        RESULT.write(path)
    assert path.read_text() == "mine"
    RESULT.write(path, force=True)
    assert BenchmarkResult.read(path) == RESULT
    assert [one.name for one in tmp_path.iterdir()] == ["a.json"]


def test_a_place_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be written"):
        RESULT.write(tmp_path / "file" / "a.json")


def test_a_row_without_samples_is_refused() -> None:
    for runs in ((), ((),), ((1.0,), ())):
        with pytest.raises(ValueError, match="measure at least one"):
            row_with(*runs)


def test_percentiles_that_the_count_does_not_support_are_null() -> None:
    few, some, many = (row_with(tuple(range(1, 1 + count))) for count in (63, 64, 662))
    assert [row.to_dict()["p90_ns"] for row in (few, some, many)] == [None, 58, 596]
    assert [row.to_dict()["p99_ns"] for row in (few, some, many)] == [None, None, 656]
    assert few.to_dict()["p50_ns"] == 32


def test_throughput_is_of_the_mean() -> None:
    assert row_with((1e6, 3e6)).throughput_per_s == 500


def test_a_row_tells_the_medians_of_its_starts() -> None:
    starts = tuple(StartRecord(load_ns=one, peak_memory_bytes=one) for one in (5, 1, 3, 4))
    told = row_with((1.0,), starts=starts).to_dict()
    assert (told["load_ns"], told["peak_memory_bytes"], told["import_ns"]) == (3.5, 3, None)


def test_one_untrusted_row_makes_the_result_invalid() -> None:
    assert not RESULT.valid
    assert simulated(Simulated()).valid


def test_the_keys_of_the_issue_stand_in_each_row() -> None:
    row = RESULT.to_dict()["rows"][0]
    wanted = "path target threads p50_ns p90_ns samples_ns load_ns first_inference_ns "
    wanted += "peak_memory_bytes model_memory_bytes doubts"
    assert set(wanted.split()) <= set(row)


def example() -> BenchmarkResult:
    """What docs/json.md shows."""
    row = Row(
        path="mnist.int8.tflite",
        name="mnist",
        sha256="9f86d081",
        size_bytes=110920,
        gzip_bytes=85310,
        format="tflite",
        precision="int8",
        target="pi4",
        threads=1,
        runtime="ai-edge-litert 2.3.0",
        input=InputRecord(source="test.npz", sha256="2c26b46b"),
        samples_ns=((1204310, 1201220, 1203870), (1198440, 1197030, 1205160)),
        stamps_ns=((81003455120,), (83310277411,)),
        chunks=((3,), (3,)),
        warm_up_ns=((1633020, 1210450), (1580710, 1207330)),
        cpu_ns=(1203112, 1200187),
        preempted=(0, 1),
        major_faults=(0, 0),
        reference_ns=((301250,), (300940,)),
        starts=(
            StartRecord(
                import_ns=412000000,
                load_ns=2310000,
                first_inference_ns=3120000,
                after_import_bytes=48201728,
                after_load_bytes=50130944,
                peak_memory_bytes=51380224,
                model_memory_bytes=3178496,
            ),
        ),
        memory_read_from="VmHWM",
        accuracy={
            "metric": "accuracy",
            "value": 0.9105,
            "low": 0.8972,
            "high": 0.9222,
            "count": 1821,
            "samples": 2000,
            "data": "test.npz",
        },
        doubts=("INVALID: a median of 6 samples; at least 11 are needed",),
        valid=False,
    )
    return BenchmarkResult(
        started="2026-01-02T03:04:05+00:00",
        finished="2026-01-02T03:04:25+00:00",
        command=("edgekit", "bench", "mnist.int8.tflite", "--on", "pi4", "-o", "a.json"),
        settings={"processes": 2, "seconds": 5.0, "warm_up_s": 0.25},
        targets={
            "pi4": TargetRecord(
                url="ssh://pi@pi4.local",
                facts={
                    "model": "Raspberry Pi 4 Model B Rev 1.4",
                    "cpu": "ARM Cortex-A72",
                    "governor": "ondemand",
                    "frequency_khz": {"min": 600000, "max": 1500000, "current": 1500000},
                },
                worker_sha256="98630ff9",
                timer_ns=37,
                empty_call_ns=148,
                watch=(
                    {
                        "t_ns": 81000120334,
                        "phase": "steady",
                        "temperature_c": 51.6,
                        "frequency_khz": 1500000,
                        "throttled": 0,
                        "load_1m": 0.41,
                        "steal_ticks": 0,
                        "busy_ticks": 18230,
                        "own_ticks": 96,
                        "swap_in": 0,
                        "swap_out": 0,
                        "resident_bytes": 51380224,
                    },
                ),
            )
        },
        rows=(row,),
        ratios=(RatioRecord(row=0, to=0, value=1.0, low=1.0, high=1.0, verdict="invalid"),),
        failures=(
            FailureRecord(
                path="mnist.onnx",
                target="pi4",
                threads=1,
                error="mnist.onnx: no runtime for it there; run: edgekit targets setup pi4",
            ),
        ),
        edgekit="0.1.0",
    )


def test_the_documented_file_is_what_is_written() -> None:
    document = (Path(__file__).parents[2] / "docs" / "json.md").read_text()
    block = re.search(r"(?:^    .*\n)+", document.split("# The result file of")[1], re.MULTILINE)
    assert block is not None
    assert "".join(line[4:] + "\n" for line in block[0].splitlines()) == example().to_json()


def test_every_key_of_the_file_is_explained() -> None:
    document = (Path(__file__).parents[2] / "docs" / "json.md").read_text()
    told = document.split("# The result file of")[1].split("# The JSON of `edgekit compare")[0]
    result = RESULT.to_dict()
    keys = {*result, *result["targets"]["local"], *result["rows"][0], *result["ratios"][0]}
    plain = "kind edgekit command started finished path sha256 runtime value low high"
    plain += " p50_interval_ns p90_interval_ns p99_interval_ns"
    assert {key for key in keys - set(plain.split()) if f"`{key}`" not in told} == set()
