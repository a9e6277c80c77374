"""``edgekit verify``: what agrees, what does not, and what is said about it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

import edgekit
from edgekit.cli import main
from edgekit.errors import UsageError
from edgekit.tensors import Quantization, TensorSpec
from edgekit_benchmarks.output_agreement import OutputAgreement, compare_outputs

if TYPE_CHECKING:
    from tests.sshd import Device

Build = Callable[..., Path]
FLOAT = TensorSpec(name="scores", shape=(1, 3), dtype="float32")
INT8 = TensorSpec(
    name="scores",
    shape=(1, 3),
    dtype="int8",
    quantization=Quantization(scale=(0.5,), zero_point=(0,)),
)


def compared(spec: TensorSpec, here: Any, there: Any, **options: Any) -> OutputAgreement:
    dtype = np.dtype(spec.dtype)
    given: dict[str, Any] = {"inputs": "random", "precision": "float32", "stored_tolerance": None}
    return compare_outputs(
        spec, [np.array(here, dtype)], [np.array(there, dtype)], **given | options
    )


# ---- one output


def test_equal_outputs_have_all_bits_alike() -> None:
    found = compared(FLOAT, [[1, 2, 3]], [[1, 2, 3]])
    assert (found.equal, found.values, found.max_abs_error) == (3, 3, 0)
    assert found.agrees


def test_quantized_outputs_are_compared_in_steps_and_real_numbers() -> None:
    found = compared(INT8, [[1, 2, 3]], [[1, 2, 5]], precision="int8")
    assert (found.equal, found.max_steps, found.max_abs_error) == (2, 2, 1.0)
    assert found.agrees  # three steps are tolerated


def test_more_than_three_steps_are_too_many() -> None:
    assert not compared(INT8, [[1, 2, 3]], [[1, 2, 7]], precision="int8").agrees


def test_another_class_is_seen() -> None:
    assert compared(FLOAT, [[1, 2, 3]], [[1, 3, 2]]).argmax_agreement == 0


def test_nan_on_both_sides_is_alike() -> None:
    nan = float("nan")
    assert compared(FLOAT, [[1, nan, 3]], [[1, nan, 3]]).equal == 3


def test_nan_on_one_side_never_agrees() -> None:
    found = compared(FLOAT, [[1, 2, 3]], [[1, float("nan"), 3]])
    assert not found.agrees
    assert found.to_dict()["max_abs_error"] is None


def test_another_shape_never_agrees() -> None:
    assert not compared(FLOAT, [[1, 2, 3]], [[1, 2]]).agrees


def test_golden_inputs_are_judged_by_the_tolerance_in_the_file() -> None:
    assert compared(FLOAT, [[1, 2, 3]], [[1, 2, 3.5]], inputs="golden", stored_tolerance=1.0).agrees
    wide = {"inputs": "golden", "stored_tolerance": 1e-9}
    assert not compared(FLOAT, [[1, 2, 3]], [[1, 2, 3.00001]], **wide).agrees


def test_other_inputs_may_reach_farther_than_golden_ones() -> None:
    assert compared(FLOAT, [[1, 2, 3000]], [[1, 2, 3000.1]], stored_tolerance=1e-9).agrees


# ---- the command


def verify(*words: object) -> Result:
    return CliRunner().invoke(main, ["verify", *map(str, words)])


def told(*words: object) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(verify(*words, "--json").stdout)
    return found


def test_a_file_agrees_with_itself_on_a_device(tiny_tflite: Build, device: Device) -> None:
    done = verify(tiny_tflite(), "--on", device.url, "--samples", 5)
    assert done.exit_code == 0, done.output
    row = next(line for line in done.stdout.splitlines() if line.startswith("tiny"))
    assert " ".join(row.split()[4:9]) == "scores here all 100.0% agrees"
    assert "random: 5 made-up samples" in done.stderr
    assert device.wait_until_idle()


def test_a_runtime_that_computes_otherwise_is_seen(
    tiny_tflite: Build, start_device: Callable[..., Any], tmp_path: Path
) -> None:
    """The device has a runtime of its own: LiteRT's, but the scores come out a tenth larger."""
    fake = tmp_path / "site" / "ai_edge_litert"
    fake.mkdir(parents=True)
    (fake / "__init__.py").write_text("")
    (fake / "interpreter.py").write_text(WRONG)
    device = start_device(variables={"PYTHONPATH": str(fake.parent)})
    done = verify(tiny_tflite(), "--on", device.url)
    assert done.exit_code == 1
    assert "DIFFERS (tolerance" in done.stdout


WRONG = """
import sys
from pathlib import Path
own = str(Path(__file__).parents[1])
sys.path = [one for one in sys.path if one != own]
for name in ("ai_edge_litert.interpreter", "ai_edge_litert"):
    sys.modules.pop(name, None)
import ai_edge_litert.interpreter as real

right = real.Interpreter.get_tensor
real.Interpreter.get_tensor = lambda self, index: right(self, index) * 1.1
"""


def test_data_may_be_given(tiny_onnx: Build, tmp_path: Path) -> None:
    rows = np.random.default_rng(0).normal(size=(9, 2)).astype(np.float32)
    np.save(tmp_path / "rows.npy", rows)
    found = told(
        tiny_onnx(),
        "--on",
        "local",
        "--on",
        "ssh://127.0.0.1:1",
        "--data",
        tmp_path / "rows.npy",
        "--samples",
        4,
    )
    here, there = found["files"][0]["targets"]
    assert here["error"] is None
    assert "127.0.0.1" in there["error"]


def test_the_parts_of_the_report_are_those_that_docs_tell(tiny_onnx: Build, device: Device) -> None:
    found = told(tiny_onnx(), "--on", device.url, "--samples", 3)
    assert set(found) == {"schema_version", "agrees", "files", "notes"}
    (file,) = found["files"]
    assert set(file) == {"path", "precision", "agrees", "targets", "error"}
    output = file["targets"][1]["outputs"][0]
    assert output["samples"] == 3
    assert output["equal"] == output["values"] > 0
    assert output["against"] == "here"


def test_without_golden_cases_and_targets_there_is_nothing_to_compare_with(
    tiny_tflite: Build,
) -> None:
    done = verify(tiny_tflite())
    assert done.exit_code == 2
    assert "give --on TARGET" in done.stderr


def test_a_file_that_cannot_be_used_does_not_stop_the_others(
    tiny_tflite: Build, tmp_path: Path, device: Device
) -> None:
    (tmp_path / "bad.tflite").write_bytes(b"\x1c\0\0\0TFL3" + b"\xff" * 99)
    done = verify(tmp_path / "bad.tflite", tiny_tflite(), "--on", device.url)
    assert done.exit_code == 1
    assert "agrees" in done.stdout
    assert "Error: " in done.stderr


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"data": "x.npz"}, "--on TARGET"),
        ({"on": "local", "preprocess": "none"}, "give --data"),
        ({"on": "pi9"}, "pi9"),
        ({"on": "local", "samples": -1}, "nothing to run"),
    ],
)
def test_requests_that_make_no_sense_are_refused(
    tiny_tflite: Build, options: dict[str, Any], said: str
) -> None:
    with pytest.raises(UsageError, match=said):
        edgekit.verify(tiny_tflite(), **options)
