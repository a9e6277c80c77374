from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgekit.errors import DataError, SourceError, VerificationError
from edgekit.sessions import open_session
from edgekit.sessions.quantized import dequantize, quantize, stored
from edgekit.tensors import Quantization, TensorSpec

Build = Callable[..., Path]
WEIGHTS = np.array([[1.0, -1.0, 0.5], [0.5, 1.0, -1.0]], np.float32)
ROWS = np.array([[1.0, 2.0], [-0.5, 0.25], [0.0, 3.0], [2.0, -1.0], [0.1, 0.2]], np.float32)


@pytest.fixture(params=["tflite", "onnx"])
def tiny(request: Any) -> Build:
    build: Build = request.getfixturevalue(f"tiny_{request.param}")
    return build


def test_a_float_file_gives_what_its_weights_say(tiny: Build) -> None:
    with open_session(tiny()) as session:
        outputs = session.run({"image": ROWS[:1]})
    np.testing.assert_allclose(outputs["scores"], ROWS[:1] @ WEIGHTS, rtol=1e-6)


def test_specs_name_shape_and_dtype(tiny: Build) -> None:
    with open_session(tiny()) as session:
        assert session.inputs == (TensorSpec(name="image", shape=(1, 2), dtype="float32"),)
        assert session.outputs == (TensorSpec(name="scores", shape=(1, 3), dtype="float32"),)


def test_rows_beyond_a_fixed_batch_are_run_piece_by_piece(tiny: Build) -> None:
    with open_session(tiny(batch=2)) as session:
        outputs = session.run({"image": ROWS})
    np.testing.assert_allclose(outputs["scores"], ROWS @ WEIGHTS, rtol=1e-6)


def test_a_free_batch_takes_any_number_of_rows(tiny_tflite: Build, tiny_onnx: Build) -> None:
    for path in (tiny_tflite(batch=-1), tiny_onnx(batch="batch")):
        with open_session(path) as session:
            assert session.inputs[0].shape == (None, 2)
            for count in (5, 1, 3):
                outputs = session.run({"image": ROWS[:count]})
                np.testing.assert_allclose(outputs["scores"], ROWS[:count] @ WEIGHTS, rtol=1e-6)


def test_int8_files_take_and_give_real_numbers(tiny: Build) -> None:
    with open_session(tiny(io="int8")) as session:
        assert session.inputs[0].dtype == "int8"
        outputs = session.run_real({"image": ROWS})
    assert outputs["scores"].dtype == np.float32
    np.testing.assert_allclose(outputs["scores"], ROWS @ WEIGHTS, atol=0.1)


def test_int8_files_run_raw_on_their_own_dtype(tiny: Build) -> None:
    with open_session(tiny(io="int8")) as session:
        outputs = session.run({"image": np.array([[30, 50]], np.int8)})
    # 30 and 50 stand for 1.0 and 2.0; scores 2.0, 1.0, -1.5 are stored as 15, 5, -20.
    np.testing.assert_array_equal(outputs["scores"], np.array([[15, 5, -20]], np.int8))


def test_what_comes_back_is_a_copy(tiny: Build) -> None:
    with open_session(tiny()) as session:
        first = session.run({"image": ROWS[:1]})["scores"]
        before = first.copy()
        session.run({"image": ROWS[1:2]})
    np.testing.assert_array_equal(first, before)


def test_without_a_signature_the_tensor_names_are_used(tiny_tflite: Build) -> None:
    with open_session(tiny_tflite(signature=False)) as session:
        assert [spec.name for spec in session.inputs] == ["raw_image:0"]


def test_an_unknown_input_name_is_refused_with_the_known_ones(tiny: Build) -> None:
    with open_session(tiny()) as session, pytest.raises(DataError, match="takes \\['image'\\]"):
        session.run({"picture": ROWS[:1]})


def test_a_wrong_shape_is_refused_before_the_runtime_sees_it(tiny: Build) -> None:
    with open_session(tiny()) as session, pytest.raises(DataError, match="has shape \\(1, 7\\)"):
        session.run({"image": np.zeros((1, 7), np.float32)})


def test_a_wrong_dtype_is_refused_by_run(tiny: Build) -> None:
    with open_session(tiny()) as session, pytest.raises(DataError, match="is float64"):
        session.run({"image": np.zeros((1, 2))})


def test_nan_for_an_integer_input_is_refused(tiny: Build) -> None:
    with open_session(tiny(io="int8")) as session, pytest.raises(DataError, match="NaN"):
        session.run_real({"image": np.full((1, 2), np.nan, np.float32)})


def test_a_flex_operator_is_named(tiny_tflite: Build) -> None:
    with pytest.raises(VerificationError, match="FlexErfinv"):
        open_session(tiny_tflite(custom="FlexErfinv"))


def test_an_unknown_custom_operator_is_named(tiny_tflite: Build) -> None:
    with pytest.raises(VerificationError, match="MyLayer is unknown"):
        open_session(tiny_tflite(custom="MyLayer"))


def test_an_operator_that_is_too_new_is_named(tiny_tflite: Build) -> None:
    with pytest.raises(VerificationError, match="FULLY_CONNECTED version 99"):
        open_session(tiny_tflite(version=99))


def test_an_operator_that_onnx_has_not_is_named(tiny_onnx: Build) -> None:
    with pytest.raises(VerificationError, match="Erfc"):
        open_session(tiny_onnx(operator="Erfc"))


def test_other_models_are_not_opened(tmp_path: Path) -> None:
    path = tmp_path / "model.tflite"
    path.write_text("not a model")
    with pytest.raises(SourceError, match="text file"):
        open_session(path)


def test_a_damaged_manifest_is_an_error(tiny_onnx: Build) -> None:
    import onnx
    from onnx import helper

    path = tiny_onnx()
    model = onnx.load(path)
    helper.set_model_props(model, {"edgekit.manifest": "{"})
    path.write_bytes(model.SerializeToString())
    with pytest.raises(SourceError, match="manifest is damaged"):
        open_session(path)


INT8 = TensorSpec(
    name="x",
    shape=(None,),
    dtype="int8",
    quantization=Quantization(scale=(0.05,), zero_point=(10,)),
)


def test_quantizing_saturates_and_never_wraps() -> None:
    values = np.array([7.0, -7.0, np.inf, -np.inf], np.float32)
    assert quantize(values, INT8).tolist() == [127, -128, 127, -128]


def test_quantizing_rounds_half_to_even() -> None:
    spec = TensorSpec(
        name="x", shape=(4,), dtype="int8", quantization=Quantization(scale=(1.0,), zero_point=(0,))
    )
    assert quantize(np.array([0.5, 1.5, 2.5, -0.5]), spec).tolist() == [0, 2, 2, 0]


def test_per_channel_scales_follow_their_axis() -> None:
    spec = TensorSpec(
        name="x",
        shape=(1, 2),
        dtype="int8",
        quantization=Quantization(scale=(1.0, 0.5), zero_point=(0, 1), axis=1),
    )
    assert quantize(np.array([[3.0, 3.0]]), spec).tolist() == [[3, 7]]
    assert dequantize(np.array([[3, 7]], np.int8), spec).tolist() == [[3.0, 3.0]]


@given(st.lists(st.integers(-128, 127), min_size=1), st.floats(1e-4, 1e3), st.integers(-128, 127))
@settings(deadline=None)
def test_every_stored_number_survives_the_round_trip(
    numbers: list[int], scale: float, zero_point: int
) -> None:
    spec = TensorSpec(
        name="x",
        shape=(None,),
        dtype="int8",
        quantization=Quantization(scale=(scale,), zero_point=(zero_point,)),
    )
    array = np.array(numbers, np.int8)
    np.testing.assert_array_equal(quantize(dequantize(array, spec), spec), array)


def test_whole_numbers_go_into_an_integer_input() -> None:
    spec = TensorSpec(name="ids", shape=(None,), dtype="int32")
    assert stored(np.array([1.0, 7.0]), spec).dtype == np.int32


@pytest.mark.parametrize("bad", [0.5, np.nan, np.inf, 3e9])
def test_numbers_that_an_integer_input_cannot_hold_are_refused(bad: float) -> None:
    spec = TensorSpec(name="ids", shape=(None,), dtype="int32")
    with pytest.raises(DataError, match="ids"):
        stored(np.array([bad]), spec)


def test_text_for_a_number_is_refused() -> None:
    with pytest.raises(DataError, match="the model takes int8"):
        stored(np.array(["seven"]), INT8)
