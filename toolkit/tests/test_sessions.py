from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekit.errors import DataError, SourceError, VerificationError
from edgekit.sessions import open_session
from edgekit.tensors import TensorSpec

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
