import json
from pathlib import Path
from typing import Any

import pytest

from edgekit import seal
from edgekit.artifact import Verification
from edgekit.recipe import Format, Precision
from edgekit.request import ConvertRequest
from edgekit.tensors import Quantization, TensorSpec
from edgekit_converters import manifest
from edgekit_converters.origin import Origin

IMAGE = TensorSpec(name="image", shape=(1, 8, 8, 3), dtype="float32")
CODED = TensorSpec(
    name="scores",
    shape=(1, 5),
    dtype="int8",
    quantization=Quantization(scale=(0.00390625,), zero_point=(-128,)),
)


def origin(**changes: Any) -> Origin:
    settings: dict[str, Any] = {
        "name": "mnist.keras",
        "sha256": "ab" * 32,
        "framework": "keras",
        "framework_version": "3.15.1",
        "workspace": Path("/home/somebody/secret"),
        "source": {"path": "/home/somebody/secret/mnist.keras"},
        "float_file": None,
        "inputs": [IMAGE.to_dict()],
        "outputs": [CODED.to_dict()],
        "states": [["state_0", "state_0_next"]],
        "recurrent": False,
        "samples": 64,
        "unseen": 16,
        "random": False,
        "warnings": [],
        "preprocess": {"image": {"steps": []}},
    }
    return Origin(**(settings | changes))


def built(
    format_: Format = "tflite", precision: Precision = "int8", **changes: Any
) -> dict[str, Any]:
    return dict(json.loads(text(format_, precision, **changes)))


def text(format_: Format = "tflite", precision: Precision = "int8", **changes: Any) -> str:
    return manifest.build(
        ConvertRequest(
            source="/home/somebody/secret/mnist.keras",
            formats=(format_,),
            precisions=(precision,),
            calibrate="/home/somebody/train.npz",
            labels=("null", "eins"),
        ),
        origin(**changes),
        format_=format_,
        precision=precision,
        described={"inputs": [IMAGE.to_dict()], "outputs": [CODED.to_dict()], "flex": []},
        notes=("one note",),
        verification=Verification(
            status="passed",
            reason="",
            runtime="ai-edge-litert 2.3.0",
            samples=64,
            unseen=16,
            random=False,
            max_abs_error=0.012345678,
            relative_error=0.0456789,
            cosine=0.99912345678,
            argmax_agreement=1.0,
        ),
    )


def test_the_manifest_names_the_source_without_its_folder() -> None:
    assert built()["source"] == {
        "name": "mnist.keras",
        "sha256": "ab" * 32,
        "framework": "keras",
        "framework_version": "3.15.1",
    }
    assert "somebody" not in text()


def test_keys_are_sorted_and_there_is_no_white_space() -> None:
    document = json.loads(text())
    assert text() == json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def test_the_same_conversion_gives_the_same_manifest() -> None:
    assert text() == text()


def test_quantization_of_inputs_and_outputs_is_kept() -> None:
    (output,) = built()["outputs"]
    assert TensorSpec.from_dict(output) == CODED


def test_the_recipe_says_on_how_many_samples_ranges_rest() -> None:
    assert built()["recipe"]["calibration"] == {"samples": 64, "random": False}


def test_random_calibration_is_marked() -> None:
    assert built(random=True)["recipe"]["calibration"] == {"samples": 64, "random": True}


@pytest.mark.parametrize("precision", ["float32", "float16", "dynamic", "int4"])
def test_without_calibration_none_is_claimed(precision: Precision) -> None:
    assert built(precision=precision)["recipe"]["calibration"] is None


def test_labels_notes_and_states_are_kept() -> None:
    document = built()
    assert document["labels"] == ["null", "eins"]
    assert document["recipe"]["notes"] == ["one note"]
    assert document["states"] == [{"input": "state_0", "output": "state_0_next"}]


def test_how_the_source_was_pruned_is_kept() -> None:
    story = {"method": "structured", "target": "macs 50%", "source": {"name": "big.keras"}}
    assert built(pruned=story)["pruned"] == story
    assert "pruned" not in built()


def test_errors_are_rounded_to_digits_that_repeat() -> None:
    assert built()["verification"]["max_abs_error"] == 0.0123
    assert built()["verification"]["cosine"] == 0.999123


def test_a_model_from_keras_names_the_versions_that_made_it() -> None:
    assert {"tensorflow", "keras", "ai-edge-quantizer"} <= set(built()["versions"])


def test_a_float_file_was_not_made_with_tensorflow() -> None:
    versions = built("onnx", "dynamic", float_file=Path("mnist.onnx"))["versions"]
    assert "onnxruntime" in versions
    assert "tensorflow" not in versions


def test_there_is_a_place_for_the_seal_but_not_in_a_folder() -> None:
    assert built("tflite")["seal"] == built("onnx")["seal"] == seal.PLACEHOLDER
    assert f'"seal":"{seal.PLACEHOLDER}"' in text()
    assert "seal" not in built("savedmodel", "float32")


def test_the_runtime_of_a_format_is_named_with_its_version() -> None:
    pytest.importorskip("onnxruntime", reason="ONNX Runtime is not installed")
    name, _, version = manifest.runtime_of("onnx").partition(" ")
    assert name == "onnxruntime"
    assert version[0].isdigit()
