"""Layer normalisations in many operators become one."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edgekit_converters.onnx_layer_norm import join_layer_normalizations

onnx = pytest.importorskip("onnx", reason="onnx is not installed")
runtime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")

SIZE = 6
EXPORTED = """
    {mean} x m
    Neg m n
    Sub x m d
    Mul d d sq
    {mean} sq v
    Add v eps ve
    Sqrt ve s
    Reciprocal s r
    Mul r gain inv
    Mul x inv a
    Mul n inv b
    Add b offset c
    Add a c y
"""
"""As tf2onnx writes keras.layers.LayerNormalization."""


def model(text: str, *, outputs: tuple[str, ...] = ("y",), opset: int = 17, **sizes: int) -> Any:
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    random = np.random.default_rng(2)
    weights = {
        "eps": np.array(1e-3),
        "gain": random.standard_normal((1, 1, SIZE)),
        "offset": random.standard_normal(SIZE),
    }
    nodes = []
    for line in text.split("\n"):
        op, *names = line.split() or [""]
        if op:
            more = {"axes": [-1]} if op == "ReduceMean" else {}
            nodes.append(helper.make_node(op, names[:-1], names[-1:], name=names[-1], **more))
    shape = ["N", sizes.get("rows", 4), SIZE]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("x", kind, shape)],
        [helper.make_tensor_value_info(name, kind, None) for name in outputs],
        [onnx.numpy_helper.from_array(v.astype(np.float32), n) for n, v in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def run(given: Any) -> list[NDArray[Any]]:
    session = runtime.InferenceSession(given.SerializeToString())
    shape = [2, *session.get_inputs()[0].shape[1:]]
    x = np.random.default_rng(8).standard_normal(shape).astype(np.float32)
    results: list[NDArray[Any]] = session.run(None, {"x": x})
    return results


def joined(given: Any) -> list[str]:
    """Join in place, check that results stay; the operators that are left."""
    before = run(given)
    join_layer_normalizations(given)
    for was, now in zip(before, run(given), strict=True):
        np.testing.assert_allclose(now, was, atol=3e-6)
    return [node.op_type for node in given.graph.node]


@pytest.mark.parametrize("mean", ["GlobalAveragePool", "ReduceMean"])
def test_a_layer_normalisation_becomes_one_operator(mean: str) -> None:
    given = model(EXPORTED.format(mean=mean))
    assert joined(given) == ["LayerNormalization"]
    (norm,) = given.graph.node
    assert onnx.helper.get_attribute_value(norm.attribute[1]) == pytest.approx(1e-3)


def test_one_row_is_enough() -> None:
    assert joined(model(EXPORTED.format(mean="ReduceMean"), rows=1)) == ["LayerNormalization"]


def test_what_follows_stays() -> None:
    text = EXPORTED.format(mean="ReduceMean") + "\nAdd x y z\nMul z gain w"
    assert joined(model(text, outputs=("w",))) == ["LayerNormalization", "Add", "Mul"]


def test_a_mean_that_is_read_elsewhere_keeps_everything() -> None:
    given = model(EXPORTED.format(mean="ReduceMean"), outputs=("y", "m"))
    assert "LayerNormalization" not in joined(given)


def test_a_root_mean_square_normalisation_is_something_else() -> None:
    text = "Mul x x sq\nReduceMean sq v\nAdd v eps ve\nSqrt ve s\nDiv x s y"
    assert "LayerNormalization" not in joined(model(text))


def test_an_opset_without_the_operator_is_left_alone() -> None:
    given = model(EXPORTED.format(mean="ReduceMean"), opset=13)
    assert "LayerNormalization" not in joined(given)
