"""Operator times of real models, measured here: what is heavy comes out heavy, and the sum fits."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekit.errors import MissingDependencyError, SourceError, UsageError
from edgekit_benchmarks.link import LocalLink
from edgekit_benchmarks.open_link import open_link as connect
from edgekit_benchmarks.operators import OperatorProfile, OperatorTime, profile_operators
from edgekit_benchmarks.operators_table import operators_table
from edgekit_benchmarks.row import InputRecord, Row
from edgekit_benchmarks.target import Target

Build = Callable[..., Path]
HEAVY = 1024
LIGHT = 128
SIZES = (LIGHT, LIGHT, HEAVY, HEAVY, LIGHT, LIGHT)
"""Of the layers of a chain: the third of its five operators multiplies most."""
HEAVY_AT = 2


def share_by_multiply_adds(sizes: Sequence[int], at: int) -> float:
    products = [a * b for a, b in pairwise(sizes)]
    return products[at] / sum(products)


def profile_of(**changes: Any) -> OperatorProfile:
    operators = (
        OperatorTime(index=0, name="a", operator="ADD", ns=250, interval_ns=(240, 260)),
        OperatorTime(index=1, name="b", operator="CONV_2D", ns=750, multiply_adds=1500),
    )
    told: dict[str, Any] = {
        "runtime": "r 1",
        "method": "made up",
        "operators": operators,
        "whole_ns": 1000,
        "rounds": 54,
    }
    return OperatorProfile(**{**told, **changes})


# ---- what is made of the times


@pytest.mark.parametrize(("whole_ns", "is_trusted"), [(870, True), (869, False), (1180, False)])
def test_a_sum_too_far_from_the_whole_is_not_trusted(whole_ns: float, is_trusted: bool) -> None:
    profile = profile_of(whole_ns=whole_ns)
    assert profile.is_trusted is is_trusted
    assert ("do not trust" in profile.check) is not is_trusted
    assert ("do not trust" in operators_table(profile)) is not is_trusted


def test_the_check_says_how_much_of_the_whole_the_sum_is() -> None:
    assert profile_of(whole_ns=935).check == "sum 1.07 of the whole (made up)"


def test_shares_add_up() -> None:
    profile = profile_of(whole_ns=2000)
    assert [profile.share(one) for one in profile.operators] == [0.25, 0.75]
    assert profile.between_ns == 1000


def test_a_time_below_nothing_is_shown_as_nothing_and_counted_as_it_is() -> None:
    less = OperatorTime(index=2, name="c", operator="RESHAPE", ns=-10, interval_ns=(-20, 5))
    profile = profile_of(operators=(*profile_of().operators, less))
    told = profile.to_dicts()[2]
    assert (told["ns"], told["interval_ns"], told["share"]) == (0, [0, 5], 0)
    assert profile.check_to_dict()["sum_ns"] == 990


def test_the_table_begins_with_the_dearest_and_has_its_speed() -> None:
    lines = operators_table(profile_of()).splitlines()
    assert lines[1].split() == ["1", "CONV_2D", "b", "750", "75.0", "%", "2"]
    assert lines[2].split()[:2] == ["0", "ADD"]
    assert lines[-4].split() == ["sum", "1,000"]


def test_the_table_sums_up_what_it_does_not_show() -> None:
    many = [OperatorTime(index=i, name=f"n{i}", operator="ADD", ns=10) for i in range(20)]
    lines = operators_table(profile_of(operators=tuple(many), whole_ns=200)).splitlines()
    assert len(lines) == 1 + 15 + 1 + 3 + 1
    assert lines[16].split()[:3] == ["5", "others", "50.0"]


def test_a_row_keeps_the_operators_and_the_check() -> None:
    profile = profile_of()
    row = Row(
        path="a.tflite",
        name="a",
        sha256="",
        size_bytes=1,
        format="tflite",
        precision="int8",
        target="local",
        threads=1,
        runtime="r 1",
        input=InputRecord(source="zeros"),
        samples_ns=((1.0,),),
        operators=profile.to_dicts(),
        operators_check=profile.check_to_dict(),
    )
    told = json.loads(json.dumps(row.to_dict()))
    assert told["operators"][1]["multiply_adds"] == 1500
    assert told["operators_check"]["ratio"] == 1


# ---- measured


@pytest.mark.slow
@pytest.mark.parametrize("threads", [1, 2])
def test_the_heavy_operator_of_a_tflite_file_comes_out_on_top(
    dense_chain: Build, threads: int
) -> None:
    path = dense_chain("tflite", SIZES)
    with LocalLink() as link:
        profile = profile_operators(link, path, threads=threads)
    heaviest = max(profile.operators, key=lambda one: one.ns)
    assert (heaviest.index, heaviest.operator) == (HEAVY_AT, "FULLY_CONNECTED")
    assert heaviest.multiply_adds == HEAVY * HEAVY
    assert profile.share(heaviest) == pytest.approx(
        share_by_multiply_adds(SIZES, HEAVY_AT), abs=0.2
    )
    assert profile.difference == 0
    if threads == 1:
        assert profile.is_trusted, profile.check


@pytest.mark.slow
def test_the_heavy_operator_of_an_onnx_file_comes_out_on_top(dense_chain: Build) -> None:
    path = dense_chain("onnx", SIZES)
    with LocalLink() as link:
        profile = profile_operators(link, path)
    heaviest = max(profile.operators, key=lambda one: one.ns)
    assert heaviest.index == HEAVY_AT
    assert heaviest.multiply_adds == HEAVY * HEAVY
    assert profile.share(heaviest) == pytest.approx(
        share_by_multiply_adds(SIZES, HEAVY_AT), abs=0.2
    )
    assert profile.is_trusted, profile.check


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["tflite", "onnx"])
def test_two_equal_operators_take_the_same(dense_chain: Build, kind: str) -> None:
    path = dense_chain(kind, (HEAVY, HEAVY, HEAVY))
    with LocalLink() as link:
        profile = profile_operators(link, path)
    assert [profile.share(one) for one in profile.operators] == pytest.approx([0.5, 0.5], abs=0.15)


@pytest.mark.slow
def test_a_model_of_one_operator_is_all_that_operator(
    tiny_tflite: Build, tiny_onnx: Build, tmp_path: Path
) -> None:
    inputs = tmp_path / "inputs.npz"
    np.savez(inputs, image=np.ones((3, 1, 2), np.float32))
    with LocalLink() as link:
        for path in (tiny_tflite(), tiny_onnx()):
            profile = profile_operators(link, path, inputs=inputs)
            assert len(profile.operators) == 1
            assert profile.share(profile.operators[0]) == 1


@pytest.mark.slow
def test_a_free_batch_takes_what_it_is_given(dense_chain: Build, tmp_path: Path) -> None:
    path = dense_chain("tflite", (LIGHT, LIGHT, LIGHT), batch=-1)
    inputs = tmp_path / "inputs.npz"
    np.savez(inputs, image=np.ones((1, 64, LIGHT), np.float32))
    with LocalLink() as link:
        of_one = profile_operators(link, path)
        of_many = profile_operators(link, path, inputs=inputs)
    assert of_many.difference == 0
    assert of_many.whole_ns > 4 * of_one.whole_ns
    assert of_many.is_trusted, of_many.check


@pytest.mark.slow
def test_operators_are_timed_over_ssh_with_several_threads_in_turn(
    device: Any, dense_chain: Build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "here"))
    inputs = tmp_path / "inputs.npz"
    np.savez(inputs, image=np.ones((2, LIGHT), np.float32))
    files = [dense_chain(kind, (LIGHT, HEAVY, HEAVY)) for kind in ("tflite", "onnx")]
    with connect(Target(name="pi", url=device.url)) as link:
        for threads in (1, 2):
            for file in files:
                profile = profile_operators(link, file, threads=threads, inputs=inputs)
                assert profile.share(profile.operators[1]) > 0.6
        left = [path.name for path in Path(link.hello["folder"]).iterdir() if "pieces" in path.name]
    assert left == []
    assert list((tmp_path / "here").iterdir()) == []


@pytest.mark.slow
def test_the_demo_model_is_explained(tmp_path: Path) -> None:
    pytest.importorskip("tensorflow", reason="TensorFlow is not installed")
    import edgekit
    from edgekit import demo

    folder = Path(demo.__file__).with_name("demo_files")
    artifacts = edgekit.convert(
        folder / "fashion.keras",
        tmp_path,
        to=["tflite", "onnx"],
        quantize=["float32", "int8"],
        calibrate=f"{folder / 'fashion.npz'}:calibrate",
        preprocess="scale=1/255",
    )
    assert len(artifacts) == 4
    with LocalLink() as link:
        for artifact in artifacts:
            profile = profile_operators(link, Path(artifact.path))
            heaviest = max(profile.operators, key=lambda one: one.ns)
            assert "Conv" in heaviest.operator or "CONV" in heaviest.operator
            assert heaviest.multiply_adds
            assert 0.7 < profile.ratio < 1.4, profile.check


# ---- what goes wrong


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "damaged.tflite"
    path.write_bytes(b"\x1c\0\0\0TFL3" + bytes(64))
    with LocalLink() as link, pytest.raises(SourceError, match=r"damaged\.tflite: "):
        profile_operators(link, path)


def test_a_keras_model_is_told_to_be_converted(tmp_path: Path) -> None:
    path = tmp_path / "model.keras"
    path.write_bytes(b"PK\x03\x04" + bytes(64))
    with LocalLink() as link, pytest.raises(UsageError, match="convert it"):
        profile_operators(link, path)


def test_nothing_is_left_in_the_folder_for_temporary_files(
    dense_chain: Build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    path = dense_chain("tflite", (4, 4))
    with LocalLink() as link, pytest.raises(MissingDependencyError):
        profile_operators(link, path, runtime="tflite-runtime")
    assert list((tmp_path / "temporary").iterdir()) == []
