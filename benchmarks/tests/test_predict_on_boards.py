"""Predictions on emulated boards: 64 bits with LiteRT and ONNX Runtime, 32 with tflite-runtime."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import edgekit
from edgekit.errors import MissingDependencyError
from edgekit_benchmarks.emulated import board_launcher
from edgekit_benchmarks.on_target import predict_on

Build = Callable[..., Path]
ROWS = np.arange(20, dtype=np.float32).reshape(10, 2) / 7
pytestmark = pytest.mark.slow


@pytest.fixture(params=["pi4", "pi2"])
def board(request: pytest.FixtureRequest) -> str:
    """The URL of a board that is built."""
    try:
        board_launcher(request.param)
    except MissingDependencyError as error:
        pytest.skip(str(error))
    return f"emulated://{request.param}"


def test_outputs_are_those_of_here(board: str, tiny_tflite: Build) -> None:
    path = tiny_tflite()
    calls = [{"image": row[np.newaxis]} for row in ROWS]
    there, here = predict_on(board, path, calls), predict_on("local", path, calls)
    assert there.emulated
    assert "tflite-runtime" in there.runtime or "pi4" in board
    for one, other in zip(there.outputs, here.outputs, strict=True):
        assert np.allclose(one["scores"], other["scores"], rtol=1e-6)


def test_evaluate_marks_the_row(board: str, tiny_tflite: Build, tmp_path: Path) -> None:
    np.savez(tmp_path / "data.npz", x=ROWS, y=ROWS.argmax(1))
    options: dict[str, Any] = {"data": tmp_path / "data.npz", "on": ["local", board]}
    here, there = edgekit.evaluate([tiny_tflite()], **options).files
    assert (there.target, there.emulated, here.emulated) == (board, True, False)
    assert there.accuracy == here.accuracy


def test_verify_agrees(board: str, tiny_tflite: Build) -> None:
    report = edgekit.verify(tiny_tflite(), on=board, samples=4)
    assert report.agrees
    assert report.files[0].targets[1].emulated
