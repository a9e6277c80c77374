"""Learned ranges are given to the tensors that hold the same numbers, whatever their name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgekit_converters import onnx_static, tflite_calibrate
from edgekit_converters.learned_ranges import Fingerprint, Learned, match

RANDOM = np.random.default_rng(0)
CONV = [RANDOM.normal(size=(1, 6, 6, 4)).astype(np.float32) for _ in range(2)]
OTHER = [RANDOM.normal(size=(1, 6, 6, 4)).astype(np.float32) for _ in range(2)]
LEARNED = Learned(
    ranges={"conv": (-1.0, 2.0), "lost": (0.0, 1.0)},
    fingerprints={"conv": Fingerprint.of(CONV)},
)


def test_the_same_numbers_in_another_order_are_the_same_tensor() -> None:
    channels_first = [np.moveaxis(one, -1, 1) for one in CONV]
    found = match(LEARNED, {"a": OTHER, "b": channels_first, "c": [one[..., :2] for one in CONV]})
    assert found.ranges == {"b": (-1.0, 2.0)}


def test_other_kernels_give_the_same_tensor_up_to_rounding() -> None:
    nearly = [one * np.float32(1 + 1e-5) for one in CONV]
    assert set(match(LEARNED, {"a": nearly}).ranges) == {"a"}
    assert not match(LEARNED, {"a": [one + np.float32(0.01) for one in CONV]}).ranges


def test_of_several_layers_the_nearest_gives_its_range() -> None:
    near = [one * np.float32(1 + 5e-5) for one in CONV]
    learned = Learned(
        ranges={"near": (0.0, 9.0), "conv": (-1.0, 2.0)},
        fingerprints={"near": Fingerprint.of(near), "conv": Fingerprint.of(CONV)},
    )
    assert match(learned, {"a": CONV}).ranges == {"a": (-1.0, 2.0)}


def test_a_tensor_of_one_number_says_nothing() -> None:
    zeros = [np.zeros((1, 6, 6, 4), np.float32)] * 2
    learned = Learned(ranges={"dead": (0.0, 1.0)}, fingerprints={"dead": Fingerprint.of(zeros)})
    assert match(learned, {"a": zeros}).unused == ("dead",)


def test_ranges_of_no_tensor_are_named() -> None:
    used, unused = match(LEARNED, {"a": CONV}).notes()
    assert used == "ranges of 1 tensor learned in training"
    assert unused == (
        "learned ranges of lost belong to no tensor of the float file, and are not used"
    )


def test_they_come_back_from_their_file(tmp_path: Path) -> None:
    LEARNED.save(tmp_path / "learned.npz")
    again = Learned.load(tmp_path / "learned.npz")
    assert again.ranges == LEARNED.ranges
    assert list(again.fingerprints) == ["conv"]
    assert match(again, {"a": CONV}).ranges == {"a": (-1.0, 2.0)}


@pytest.mark.parametrize("format_", ["tflite", "onnx"])
def test_calibration_takes_learned_ranges_for_what_it_would_have_measured(
    format_: str, float_tflite: Path, float_onnx: Path, rows: Path
) -> None:
    with np.load(rows) as stored:
        samples = {"row": stored["row"][:, np.newaxis]}
    source = float_tflite if format_ == "tflite" else float_onnx
    calibrate = (tflite_calibrate if format_ == "tflite" else onnx_static).calibrate
    learned = Learned(
        ranges={"input": (-7.0, 5.0)},
        fingerprints={"input": Fingerprint.of(list(samples["row"][:2]))},
    )
    before, after = calibrate(source, samples), calibrate(source, samples, learned=learned)
    changed = {name for name, seen in after.ranges.items() if seen != before.ranges[name]}
    assert {after.ranges[name] for name in changed} == {(-7.0, 5.0)}
    assert after.learned.used == ("input",)
    assert not before.learned.notes()
