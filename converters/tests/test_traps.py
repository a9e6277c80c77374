"""The ways in which the tools underneath go wrong silently, each kept out by a test."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edgekit import keras_file, onnx_file, tflite_file
from edgekit.artifact import Artifact, Conversion
from edgekit.errors import DataError, SourceError
from edgekit.sessions import open_session

pytestmark = pytest.mark.slow

Make = Callable[..., Conversion]


def only(conversion: Conversion) -> Artifact:
    assert conversion.failures == ()
    (artifact,) = conversion.artifacts
    return artifact


def passed(conversion: Conversion) -> list[str]:
    return [f"{a.format} {a.precision}" for a in conversion.artifacts if is_passed(a)]


def is_passed(artifact: Artifact) -> bool:
    return artifact.verification.status == "passed"


def operators(artifact: Artifact) -> set[str]:
    read = tflite_file.read if artifact.format == "tflite" else onnx_file.read
    return {op.name for op in read(artifact.path).operators}


def inputs(artifact: Artifact) -> list[str]:
    return [spec.name for spec in artifact.inputs]


# ---- ONNX -------------------------------------------------------------------------------------


def test_exact_gelu_becomes_onnx_without_an_operator_that_does_not_exist(make: Make) -> None:
    made = only(make("attention.keras", to=("onnx",)))
    assert is_passed(made)
    assert "Erf" in operators(made)
    assert "Erfc" not in operators(made)


def test_constants_of_a_normalization_layer_are_no_inputs_of_the_onnx_file(make: Make) -> None:
    made = only(make("normalization.keras", to=("onnx",)))
    assert is_passed(made)
    assert inputs(made) == ["image"]


def test_a_sequential_model_becomes_onnx(make: Make) -> None:
    assert is_passed(only(make("cnn.keras", to=("onnx",))))


@pytest.mark.parametrize("name", ["cnn.keras", "mlp.keras", "attention.keras"])
def test_int8_onnx_has_no_operators_of_the_qoperator_form(make: Make, name: str) -> None:
    made = only(make(name, to=("onnx",), quantize=("int8",)))
    assert is_passed(made)
    assert "DequantizeLinear" in operators(made)
    forbidden = {"QGemm", "ConvInteger", "MatMulInteger"}
    assert not {op for op in operators(made) if op.startswith("QLinear") or op in forbidden}


# ---- Keras to TFLite --------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["cnn.keras", "attention.keras", "gru.keras", "several.keras"])
def test_the_float_file_holds_the_weights(make: Make, name: str, zoo: Path) -> None:
    made = only(make(name))
    assert is_passed(made)
    assert made.verification.relative_error is not None
    assert made.verification.relative_error < 1e-5
    parameters = keras_file.read(zoo / name, count_parameters=True).parameters
    assert parameters is not None
    assert made.size_bytes > 0.95 * 4 * parameters


def test_samples_of_several_inputs_reach_the_input_they_are_for(make: Make) -> None:
    made = only(make("several.keras", quantize=("int8",)))
    assert is_passed(made)
    assert sorted(inputs(made)) == ["age", "kind", "zoom"]


def test_operators_that_need_the_flex_delegate_are_refused(make: Make, zoo: Path) -> None:
    refused = make("flex.keras", custom_objects=zoo / "layers.py")
    assert refused.artifacts == ()
    (failure,) = refused.failures
    assert "no builtin operator for MatrixDeterminant" in failure.error
    assert "--allow-flex" in failure.error


def test_allowed_flex_operators_mark_the_file_unverified(make: Make, zoo: Path) -> None:
    made = only(make("flex.keras", custom_objects=zoo / "layers.py", allow_flex=True))
    assert made.verification.status == "unverified"
    assert "FlexMatrixDeterminant" in made.verification.reason
    assert made.notes == ("Flex delegate needed: FlexMatrixDeterminant",)
    document = json.loads(tflite_file.read(made.path).metadata["edgekit.manifest"])
    assert document["flex_ops"] == ["FlexMatrixDeterminant"]
    assert document["verification"]["status"] == "unverified"


def test_files_with_flex_operators_are_not_quantized_unchecked(make: Make, zoo: Path) -> None:
    refused = make(
        "flex.keras",
        quantize=("float16", "dynamic", "int8"),
        custom_objects=zoo / "layers.py",
        allow_flex=True,
    )
    assert refused.artifacts == ()
    assert all("holds FlexMatrixDeterminant" in one.error for one in refused.failures)


def test_allow_flex_adds_no_flex_operator_to_a_model_that_needs_none(make: Make) -> None:
    made = only(make("lstm.keras", allow_flex=True))
    assert is_passed(made)
    assert not {op for op in operators(made) if op.startswith("Flex")}


# ---- recurrent models -------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["lstm.keras", "gru.keras", "stateful.keras", "lstm2.h5"])
def test_recurrent_models_run_on_builtin_operators(make: Make, name: str) -> None:
    made = only(make(name))
    assert is_passed(made)
    assert "WHILE" in operators(made)
    assert not {op for op in operators(made) if op.startswith("Flex")}


def test_a_recurrent_model_with_a_free_batch_is_unrolled_for_tflite(make: Make) -> None:
    made = make("lstm.keras", to=("tflite", "onnx"), batch=0)
    assert passed(made) == ["tflite float32", "onnx float32"]
    tflite = made.artifacts[0]
    assert tflite.inputs[0].shape[0] is None
    assert "recurrent layers unrolled over the time steps" in tflite.notes
    assert "WHILE" not in operators(tflite)


@pytest.mark.parametrize("name", ["lstm.keras", "gru.keras", "stateful.keras", "lstm2.h5"])
def test_int8_of_a_recurrent_model_is_made_by_unrolling(make: Make, name: str) -> None:
    made = only(make(name, quantize=("int8",)))
    assert is_passed(made)
    assert "recurrent layers unrolled over the time steps" in made.notes
    assert "WHILE" not in operators(made)


def test_float_files_made_after_unrolling_still_have_their_loop(make: Make) -> None:
    make("lstm.keras", quantize=("int8",))
    made = only(make("lstm.keras", quantize=("float16",)))
    assert "WHILE" in operators(made)


def test_a_long_sequence_is_not_unrolled(make: Make) -> None:
    made = make("long.keras", quantize=("float32", "int8"))
    assert passed(made) == ["tflite float32"]
    assert "400 time steps are too many to unroll" in made.failures[0].error


@pytest.mark.parametrize("name", ["lstm2.h5", "lstm2.keras"])
def test_the_fused_lstm_of_keras_2_is_exact(make: Make, name: str) -> None:
    made = only(make(name))
    assert made.verification.relative_error is not None
    assert made.verification.relative_error < 1e-5
    assert "UNIDIRECTIONAL_SEQUENCE_LSTM" not in operators(made)


def test_the_state_of_a_stateful_model_goes_in_and_comes_out(make: Make, zoo: Path) -> None:
    made = only(make("stateful.keras"))
    assert sorted(inputs(made)) == ["series", "state_0", "state_1"]
    outputs = {spec.name for spec in made.outputs}
    assert outputs == {"scores", "state_0_next", "state_1_next"}
    document = json.loads(tflite_file.read(made.path).metadata["edgekit.manifest"])
    assert document["states"] == [
        {"input": "state_0", "output": "state_0_next"},
        {"input": "state_1", "output": "state_1_next"},
    ]


# ---- integers ---------------------------------------------------------------------------------


@pytest.mark.parametrize("format_", ["tflite", "onnx"])
@pytest.mark.parametrize("io", ["float32", "int8", "uint8"])
def test_an_int8_file_takes_and_gives_what_was_asked_for(make: Make, format_: str, io: str) -> None:
    made = only(make("cnn.keras", to=(format_,), quantize=("int8",), io=io))
    assert is_passed(made)
    assert [spec.dtype for spec in (*made.inputs, *made.outputs)] == [io, io]
    assert all((spec.quantization is not None) == (io != "float32") for spec in made.inputs)
    read = tflite_file.read if format_ == "tflite" else onnx_file.read
    graph = read(made.path)
    assert [spec.dtype for spec in (*graph.inputs, *graph.outputs)] == [io, io]


def test_integer_files_work_with_real_numbers_in_the_runtime(make: Make, zoo: Path) -> None:
    made = only(make("cnn.keras", quantize=("int8",), io="uint8"))
    plain = only(make("cnn.keras"))
    with np.load(zoo / "cnn.npz") as data:
        image = data["image"][:1]
    given = []
    for path in (made.path, plain.path):
        with open_session(path) as session:
            given.append(session.run_real({"image": image})[session.outputs[0].name])
    assert np.abs(given[0] - given[1]).max() < 0.05


@pytest.mark.parametrize("format_", ["tflite", "onnx"])
def test_a_rare_large_sample_widens_the_calibrated_range(
    make: Make, format_: str, zoo: Path, tmp_path: Path
) -> None:
    with np.load(zoo / "mlp.npz") as data:
        rows = data["row"].clip(-2, 2)
    chosen = np.random.default_rng(0).permutation(len(rows))  # the first are calibrated on
    rows[chosen[0], 0] = 40.0  # one value of one sample: a moving average forgets it
    np.savez(tmp_path / "rare.npz", row=rows)
    made = only(
        make(
            "mlp.keras",
            to=(format_,),
            quantize=("int8",),
            io="int8",
            data=str(tmp_path / "rare.npz"),
            tolerances=("relative_error=5:9",),
        )
    )
    quantization = made.inputs[0].quantization
    assert quantization is not None
    largest = quantization.scale[0] * (127 - quantization.zero_point[0])
    assert 39 < largest < 46


@pytest.mark.parametrize("precision", ["int8", "int16x8"])
def test_operators_without_an_integer_kernel_stay_in_float(make: Make, precision: str) -> None:
    made = only(make("attention.keras", quantize=(precision,)))
    assert is_passed(made)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_calibration_data_with_nan_or_infinity_never_reach_a_quantizer(
    make: Make, zoo: Path, tmp_path: Path, value: float
) -> None:
    with np.load(zoo / "mlp.npz") as data:
        rows = data["row"]
    rows[3, 2] = value
    np.savez(tmp_path / "bad.npz", row=rows)
    with pytest.raises(DataError, match=r"input 'row' has 1 (NaN|infinite) values, in 1 of 24"):
        make("mlp.keras", quantize=("int8",), data=str(tmp_path / "bad.npz"))


# ---- quantization-aware training --------------------------------------------------------------


def test_a_model_of_quantization_aware_training_becomes_int8_with_its_own_ranges(
    make: Make,
) -> None:
    made = only(make("aware2.h5", quantize=("int8",)))
    assert is_passed(made)
    assert made.verification.relative_error is not None
    assert made.verification.relative_error < 0.05
    assert "CONV_2D" in operators(made)


def test_a_model_of_quantization_aware_training_that_keras_cannot_load_is_refused(
    make: Make,
) -> None:
    with pytest.raises(SourceError, match="quantization-aware training.*save it as .h5"):
        make("aware.keras")
