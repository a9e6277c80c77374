"""Repairs of ONNX files as the exporter leaves them, and the manifest inside."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edgekit.errors import ConversionError
from edgekit_converters.onnx_rewrite import embed_manifest, repair, unsupported_ops

onnx = pytest.importorskip("onnx", reason="onnx is not installed")
runtime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")


def model(
    nodes: list[tuple[str, str, str]],
    inputs: list[str],
    outputs: list[str],
    weights: dict[str, NDArray[np.float32]] | None = None,
    **bodies: Any,
) -> Any:
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    graph = helper.make_graph(
        [
            helper.make_node(op, given.split(), made.split(), **bodies.get(op, {}))
            for op, given, made in nodes
        ],
        "tiny",
        [helper.make_tensor_value_info(name, kind, [1, 4]) for name in inputs],
        [helper.make_tensor_value_info(name, kind, [1, 4]) for name in outputs],
        [onnx.numpy_helper.from_array(v, name) for name, v in (weights or {}).items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def run(given: Any, **feeds: NDArray[Any]) -> list[NDArray[Any]]:
    session = runtime.InferenceSession(given.SerializeToString())
    results: list[NDArray[Any]] = session.run(None, feeds)
    return results


X = np.array([[-2.0, -0.5, 0.0, 3.0]], np.float32)


def names(values: Any) -> list[str]:
    return [value.name for value in values]


def test_erfc_becomes_one_minus_erf() -> None:
    found = repair(model([("Erfc", "x", "y")], ["x"], ["y"]), inputs={"x": "x"}, outputs={})
    assert unsupported_ops(found) == ()
    wanted = [[1.9953223, 1.5204999, 1.0, 2.2090497e-05]]  # C math.erfc
    np.testing.assert_allclose(run(found, x=X)[0], wanted, atol=2e-7)


def test_an_exact_gelu_is_said_as_onnx_runtime_knows_it() -> None:
    half, root = np.array(0.5, np.float32), np.array(np.sqrt(0.5), np.float32)
    given = model(
        [
            ("Mul", "half x", "h"),
            ("Neg", "x", "n"),
            ("Mul", "n root", "s"),
            ("Erfc", "s", "e"),
            ("Mul", "h e", "y"),
        ],
        ["x"],
        ["y"],
        {"half": half, "root": root},
    )
    found = repair(given, inputs={"x": "x"}, outputs={})
    assert [node.op_type for node in found.graph.node] == ["Mul", "Div", "Erf", "Add", "Mul"]
    wanted = [[-0.04550026, -0.15426877, 0.0, 2.99595031]]  # x times the normal distribution
    np.testing.assert_allclose(run(found, x=X)[0], wanted, atol=3e-7)


def test_the_given_model_is_not_changed() -> None:
    given = model([("Erfc", "x", "y")], ["x"], ["y"])
    before = given.SerializeToString()
    repair(given, inputs={"x": "image"}, outputs={"y": "scores"})
    assert given.SerializeToString() == before


def test_unknown_operators_are_counted() -> None:
    given = model([("Erfc", "x", "a"), ("Erfc", "a", "b"), ("Relu", "b", "y")], ["x"], ["y"])
    assert unsupported_ops(given) == ("Erfc (2)",)


def test_captured_constants_are_no_inputs() -> None:
    given = model([("Relu", "x", "y")], ["x", "normalization/Sub/y:0"], ["y"])
    everything = {"x": "x", "normalization/Sub/y:0": "normalization/Sub/y"}
    assert names(repair(given, inputs=everything, outputs={}).graph.input) == ["x"]
    assert names(repair(given, inputs={"x": "x"}, outputs={}).graph.input) == ["x"]


def test_inputs_that_are_weights_are_no_inputs() -> None:
    given = model([("Add", "x w", "y")], ["x", "w"], ["y"], {"w": X})
    assert names(repair(given, inputs={"x": "x"}, outputs={}).graph.input) == ["x"]


def test_an_input_that_nothing_reads_stays() -> None:
    given = model([("Relu", "x", "y")], ["x", "unused"], ["y"])
    found = repair(given, inputs={"x": "a", "unused": "b"}, outputs={})
    assert names(found.graph.input) == ["a", "b"]


def test_a_constant_without_its_value_is_refused() -> None:
    given = model([("Add", "x layer/const:0", "y")], ["x", "layer/const:0"], ["y"])
    with pytest.raises(ConversionError, match=r"layer/const:0.*--to tflite"):
        repair(given, inputs={"x": "x"}, outputs={})


def test_inputs_and_outputs_get_their_names() -> None:
    given = model([("Relu", "keras_tensor", "Identity:0")], ["keras_tensor"], ["Identity:0"])
    found = repair(given, inputs={"keras_tensor": "image"}, outputs={"Identity:0": "scores"})
    assert names(found.graph.input) == ["image"]
    assert names(found.graph.output) == ["scores"]
    np.testing.assert_array_equal(run(found, image=X)[0], np.maximum(X, 0))


def test_names_can_be_swapped() -> None:
    given = model([("Sub", "a b", "y")], ["a", "b"], ["y"])
    found = repair(given, inputs={"a": "b", "b": "a"}, outputs={})
    np.testing.assert_array_equal(run(found, b=X, a=X * 3)[0], X - X * 3)


def test_an_inner_value_with_the_wanted_name_steps_aside() -> None:
    given = model([("Relu", "x", "scores"), ("Neg", "scores", "y")], ["x"], ["y"])
    found = repair(given, inputs={"x": "x"}, outputs={"y": "scores"})
    np.testing.assert_array_equal(run(found, x=X)[0], -np.maximum(X, 0))


def test_an_output_called_like_an_input_gets_a_suffix() -> None:
    given = model([("Relu", "a", "b")], ["a"], ["b"])
    found = repair(given, inputs={"a": "x"}, outputs={"b": "x"})
    assert names(found.graph.output) == ["x_output"]


def test_an_input_handed_through_has_both_names() -> None:
    given = model([("Relu", "x", "y")], ["x"], ["y", "x"])
    found = repair(given, inputs={"x": "image"}, outputs={"y": "a", "x": "b"})
    assert names(found.graph.output) == ["a", "b"]
    np.testing.assert_array_equal(run(found, image=X)[1], X)


def test_names_change_inside_conditions_too() -> None:
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT

    def branch(op: str) -> Any:
        made = [helper.make_tensor_value_info(f"{op}_y", kind, [1, 4])]
        return helper.make_graph([helper.make_node(op, ["x"], [f"{op}_y"])], op, [], made)

    given = model(
        [
            ("ReduceSum", "x", "total"),
            ("Greater", "total zero", "positive"),
            ("If", "positive", "y"),
        ],
        ["x"],
        ["y"],
        {"zero": np.array(0, np.float32)},
        ReduceSum={"keepdims": 0},
        If={"then_branch": branch("Abs"), "else_branch": branch("Neg")},
    )
    found = repair(given, inputs={"x": "image"}, outputs={"y": "scores"})
    np.testing.assert_array_equal(run(found, image=X)[0], np.abs(X))
    np.testing.assert_array_equal(run(found, image=-np.abs(X))[0], np.abs(X))


def test_the_manifest_replaces_an_older_one_and_bytes_repeat(tmp_path: Path) -> None:
    given = model([("Relu", "x", "y")], ["x"], ["y"])
    given.metadata_props.add(key="zoo", value="1")
    onnx.save(given, str(tmp_path / "a.onnx"))
    embed_manifest(tmp_path / "a.onnx", tmp_path / "b.onnx", b'{"old": true}')
    embed_manifest(tmp_path / "b.onnx", tmp_path / "c.onnx", '{"name": "größe"}'.encode())
    embed_manifest(tmp_path / "b.onnx", tmp_path / "d.onnx", '{"name": "größe"}'.encode())
    found = {p.key: p.value for p in onnx.load(str(tmp_path / "c.onnx")).metadata_props}
    assert found == {"edgekit.manifest": '{"name": "größe"}', "zoo": "1"}
    assert (tmp_path / "c.onnx").read_bytes() == (tmp_path / "d.onnx").read_bytes()
