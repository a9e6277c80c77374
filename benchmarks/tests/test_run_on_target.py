"""``edgekit run --on``: what it shows is what it shows here."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from edgekit.cli import main

if TYPE_CHECKING:
    from tests.sshd import Device

Build = Callable[..., Path]


def run(*words: object) -> Result:
    return CliRunner().invoke(main, ["run", *map(str, words)])


def told(*words: object) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(run(*words, "--json").stdout)
    return found


@pytest.fixture
def data(tmp_path: Path) -> Path:
    np.save(tmp_path / "data.npy", np.random.default_rng(0).normal(size=(5, 2)).astype(np.float32))
    return tmp_path / "data.npy"


def test_results_are_those_of_here(tiny_tflite: Build, data: Path, device: Device) -> None:
    here = told(tiny_tflite(), data, "1,2")
    there = told(tiny_tflite(), data, "1,2", "--on", device.url)
    assert there.pop("target") == device.url
    assert here.pop("target") is None
    assert there == here
    assert device.wait_until_idle()


def test_the_same_input_may_come_twice(tiny_tflite: Build) -> None:
    first, second = told(tiny_tflite(), "1,2", "1,2", "--on", "local")["results"]
    assert first == second


def test_an_input_that_cannot_be_read_does_not_stop_the_others(tiny_tflite: Build) -> None:
    done = run(tiny_tflite(), "1,2", "nothing.npy", "1,2,3", "--on", "local", "--json")
    found = json.loads(done.stdout)
    assert [one["input"] for one in found["results"]] == ["1,2"]
    assert [one["input"] for one in found["failures"]] == ["nothing.npy", "1,2,3"]
    assert done.exit_code == 1


def test_outputs_are_saved_as_here(tiny_onnx: Build, data: Path, tmp_path: Path) -> None:
    run(tiny_onnx(), data, "--save", tmp_path / "here.npz")
    run(tiny_onnx(), data, "--save", tmp_path / "there.npz", "--on", "local")
    with np.load(tmp_path / "here.npz") as here, np.load(tmp_path / "there.npz") as there:
        assert np.array_equal(here["scores"], there["scores"])


def test_where_it_ran_and_with_what_is_told(tiny_onnx: Build) -> None:
    assert "Run by onnxruntime " in run(tiny_onnx(), "1,2", "--on", "local").stderr


@pytest.mark.parametrize("option", ["--signature", "--providers"])
def test_options_for_runtimes_of_this_process_are_refused(tiny_onnx: Build, option: str) -> None:
    done = run(tiny_onnx(), "1,2", "--on", "local", option, "x")
    assert done.exit_code == 2
    assert "leave out --on" in done.stderr


def test_a_target_that_nobody_knows_is_refused(tiny_onnx: Build) -> None:
    done = run(tiny_onnx(), "1,2", "--on", "pi9")
    assert done.exit_code == 2
    assert "pi9" in done.stderr
