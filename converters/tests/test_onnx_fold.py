"""Folding what follows a 1-D convolution into it, and hard sigmoids into one operator."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edgekit_converters.onnx_fold import fold_into_convolutions
from edgekit_converters.onnx_hard_sigmoid import join_hard_sigmoids

onnx = pytest.importorskip("onnx", reason="onnx is not installed")
runtime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")

RANDOM = np.random.default_rng(3)


def model(
    *after: tuple[str, str, str],
    outputs: tuple[str, ...] = ("y",),
    constant_shape: tuple[int, ...] = (6, 1),
    perm: list[int] | None = None,
) -> Any:
    """A convolution of (1, 4, 1, 9) and what follows its output ``c``."""
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    nodes = [helper.make_node("Conv", ["x", "w", "b"], ["c"], name="conv", kernel_shape=[1, 3])]
    for op, given, made in after:
        more = {"perm": perm} if op == "Transpose" else {}
        nodes.append(helper.make_node(op, given.split(), [made], name=f"{made}_op", **more))
    weights = {
        "w": RANDOM.standard_normal((6, 4, 1, 3)).astype(np.float32),
        "b": RANDOM.standard_normal(6).astype(np.float32),
        "k": RANDOM.standard_normal(constant_shape).astype(np.float32),
        "k2": RANDOM.standard_normal(constant_shape).astype(np.float32),
        "axes": np.array([2]),
    }
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("x", kind, [1, 4, 1, 9])],
        [helper.make_tensor_value_info(name, kind, None) for name in outputs],
        [onnx.numpy_helper.from_array(v, name) for name, v in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def run(given: Any) -> list[NDArray[Any]]:
    x = np.random.default_rng(5).standard_normal((1, 4, 1, 9)).astype(np.float32)
    results: list[NDArray[Any]] = runtime.InferenceSession(given.SerializeToString()).run(
        None, {"x": x}
    )
    return results


def folded(given: Any) -> list[str]:
    """Fold in place, check that results stay; the operators that are left."""
    before = run(given)
    fold_into_convolutions(given)
    for was, now in zip(before, run(given), strict=True):
        np.testing.assert_allclose(now, was, atol=1e-5)
    return [node.op_type for node in given.graph.node]


def test_a_batch_normalisation_behind_squeeze_disappears() -> None:
    given = model(("Squeeze", "c axes", "s"), ("Mul", "s k", "m"), ("Add", "k2 m", "y"))
    assert folded(given) == ["Conv", "Squeeze"]


def test_an_activation_goes_before_squeeze() -> None:
    given = model(("Squeeze", "c axes", "s"), ("Relu", "s", "y"))
    assert folded(given) == ["Conv", "Relu", "Squeeze"]


def test_both_together() -> None:
    given = model(
        ("Squeeze", "c axes", "s"), ("Mul", "s k", "m"), ("Add", "m k2", "a"), ("Relu", "a", "y")
    )
    assert folded(given) == ["Conv", "Relu", "Squeeze"]


def test_the_channel_axis_is_followed_through_transpose() -> None:
    given = model(
        ("Squeeze", "c axes", "s"),
        ("Transpose", "s", "t"),
        ("Mul", "t k", "y"),
        constant_shape=(1, 6),
        perm=[0, 2, 1],
    )
    assert folded(given) == ["Conv", "Squeeze", "Transpose"]


def test_a_constant_along_another_axis_stays() -> None:
    given = model(("Squeeze", "c axes", "s"), ("Mul", "s k", "y"), constant_shape=(1, 7))
    assert folded(given) == ["Conv", "Squeeze", "Mul"]


def test_a_value_that_others_read_stays() -> None:
    given = model(("Squeeze", "c axes", "s"), ("Mul", "s k", "y"), outputs=("y", "s"))
    assert folded(given) == ["Conv", "Squeeze", "Mul"]


def hard_sigmoid(*, three: float = 3, six: float = 6, sixth: float = 1 / 6) -> Any:
    given = model(("Add", "three c", "a"), ("Clip", "a zero six", "l"), ("Mul", "l sixth", "y"))
    for name, value in {"three": three, "zero": 0, "six": six, "sixth": sixth}.items():
        number = onnx.numpy_helper.from_array(np.array(value, np.float32), name)
        given.graph.initializer.append(number)
    return given


def test_a_hard_sigmoid_in_three_operators_becomes_one() -> None:
    given = hard_sigmoid()
    before = run(given)
    join_hard_sigmoids(given)
    assert [node.op_type for node in given.graph.node] == ["Conv", "HardSigmoid"]
    np.testing.assert_allclose(run(given)[0], before[0], atol=1e-6)


def test_a_clip_that_does_not_end_at_one_stays() -> None:
    given = hard_sigmoid(sixth=0.2)
    join_hard_sigmoids(given)
    assert [node.op_type for node in given.graph.node] == ["Conv", "Add", "Clip", "Mul"]
