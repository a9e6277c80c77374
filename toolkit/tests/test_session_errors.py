from pathlib import Path
from typing import Any

import numpy as np
import pytest

import edgekit
from edgekit.errors import DataError, VerificationError


@pytest.fixture
def onnx_file(tmp_path: Path) -> Any:
    """A function that writes a file of one node, with inputs and outputs as given."""
    onnx = pytest.importorskip("onnx", reason="onnx is not installed")
    pytest.importorskip("onnxruntime", reason="ONNX Runtime is not installed")

    def write(node: Any, inputs: list[Any], outputs: list[Any]) -> Path:
        graph = onnx.helper.make_graph([node], "one", inputs, outputs)
        opsets = [onnx.helper.make_opsetid("", 15), onnx.helper.make_opsetid("ai.onnx.ml", 3)]
        model = onnx.helper.make_model(graph, opset_imports=opsets, ir_version=8)
        path = tmp_path / "one.onnx"
        path.write_bytes(model.SerializeToString())
        return path

    return write


def test_an_output_that_is_no_tensor_is_refused(onnx_file: Any) -> None:
    from onnx import TensorProto, helper

    scores = helper.make_tensor_type_proto(TensorProto.FLOAT, [])
    named = helper.make_map_type_proto(TensorProto.INT64, scores)
    path = onnx_file(
        helper.make_node("ZipMap", ["x"], ["y"], domain="ai.onnx.ml", classlabels_int64s=[0, 1]),
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 2])],
        [helper.make_value_info("y", helper.make_sequence_type_proto(named))],
    )
    with pytest.raises(VerificationError, match=r"output 'y' is seq\(map.*without .* ZipMap"):
        edgekit.load(path)


def test_a_dtype_that_numpy_does_not_have_is_refused(onnx_file: Any) -> None:
    from onnx import TensorProto, helper

    path = onnx_file(
        helper.make_node("Identity", ["x"], ["y"]),
        [helper.make_tensor_value_info("x", TensorProto.BFLOAT16, [1, 2])],
        [helper.make_tensor_value_info("y", TensorProto.BFLOAT16, [1, 2])],
    )
    with pytest.raises(VerificationError, match="input 'x' is bfloat16"):
        edgekit.load(path)


def test_text_goes_in_and_comes_out(onnx_file: Any) -> None:
    from onnx import TensorProto, helper

    path = onnx_file(
        helper.make_node("Identity", ["x"], ["y"]),
        [helper.make_tensor_value_info("x", TensorProto.STRING, [1, 2])],
        [helper.make_tensor_value_info("y", TensorProto.STRING, [1, 2])],
    )
    with edgekit.load(path) as model:
        for words in (["a", "ü"], ["longer words", ""]):
            given = model(np.array([words]))
            assert given.tolist() == [words]
        with pytest.raises(DataError, match="is int64, the model takes text"):
            model(np.array([[1, 2]]))
