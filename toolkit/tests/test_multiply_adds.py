from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekit import multiply_adds, onnx_file, tflite_file
from edgekit.graph import Attribute, Graph, Operator, Tensor
from edgekit.onnx_shapes import infer

Build = Callable[..., Path]
Shape = tuple[int | None, ...]


def graph(format_: Any, operators: list[Operator], shapes: dict[str, Shape | None]) -> Graph:
    tensors = {}
    for key, shape in shapes.items():
        constant = memoryview(b"") if key.startswith("w") else None
        tensors[key] = Tensor(name=key, shape=shape, dtype="float32", constant=constant)
    return Graph(
        format=format_,
        inputs=(),
        outputs=(),
        operators=tuple(operators),
        tensors=tensors,
        metadata={},
        versions={},
    )


def operator(name: str, inputs: str, outputs: str = "y", **attributes: Attribute) -> Operator:
    return Operator(
        name=name,
        version=1,
        inputs=tuple(inputs.split()),
        outputs=tuple(outputs.split()),
        attributes=attributes,
    )


@pytest.mark.parametrize(
    ("name", "inputs", "shapes", "expected"),
    [
        # outputs times the size of one filter
        ("CONV_2D", "x w", {"x": (1, 8, 8, 3), "w": (4, 3, 3, 3), "y": (1, 6, 6, 4)}, 144 * 27),
        (
            "DEPTHWISE_CONV_2D",
            "x w",
            {"x": (1, 8, 8, 3), "w": (1, 3, 3, 3), "y": (1, 6, 6, 3)},
            972,
        ),
        # inputs times what each is spread over
        (
            "TRANSPOSE_CONV",
            "s w x",
            {"s": (4,), "x": (1, 4, 4, 2), "w": (5, 3, 3, 2), "y": (1, 8, 8, 5)},
            32 * 45,
        ),
        (
            "CONV_3D",
            "x w",
            {"x": (1, 4, 4, 4, 2), "w": (2, 2, 2, 2, 3), "y": (1, 3, 3, 3, 3)},
            81 * 16,
        ),
        ("FULLY_CONNECTED", "x w", {"x": (1, 10), "w": (5, 10), "y": (1, 5)}, 50),
        ("BATCH_MATMUL", "x z", {"x": (2, 3, 4), "z": (2, 4, 5), "y": (2, 3, 5)}, 120),
        (
            "UNIDIRECTIONAL_SEQUENCE_LSTM",
            "x wa wb wc",
            {"x": (1, 7, 3), "wa": (4, 3), "wb": (4, 4), "wc": (4,), "y": (1, 7, 4)},
            7 * (12 + 16),
        ),
    ],
)
def test_tflite_operators_by_hand(
    name: str, inputs: str, shapes: dict[str, Shape | None], expected: int
) -> None:
    found = multiply_adds.count(graph("tflite", [operator(name, inputs)], shapes))
    assert (found.total, found.per_step, found.uncounted) == (expected, 0, {})


def test_a_free_batch_counts_as_one(tiny_tflite: Build, tiny_onnx: Build) -> None:
    for found in (
        multiply_adds.count(tflite_file.read(tiny_tflite(batch=-1))),
        multiply_adds.count(onnx_file.read(tiny_onnx(batch="n"))),
    ):
        assert found.total == 6
        assert found.kinds == {"float32 x float32": 1}


def test_a_batch_that_a_reshape_folds_away_is_followed() -> None:
    shapes: dict[str, Shape | None] = {
        "x": (None, 12, 32),
        "target": (2,),
        "flat": (None, None),
        "w": (64, 32),
        "y": (None, 64),
    }
    made = graph(
        "tflite",
        [operator("RESHAPE", "x target", "flat"), operator("FULLY_CONNECTED", "flat w")],
        shapes,
    )
    target = Tensor(
        name="target",
        shape=(2,),
        dtype="int32",
        constant=memoryview(np.array([-1, 32], np.int32).tobytes()),
    )
    assert isinstance(made.tensors, dict)
    made.tensors["target"] = target
    assert multiply_adds.count(made).total == 12 * 32 * 64


def test_what_a_loop_runs_is_counted_apart() -> None:
    loop = Operator(
        name="WHILE", version=1, inputs=(), outputs=(), calls=(1, 2), is_loop=True, subgraph=0
    )
    inside = Operator(
        name="FULLY_CONNECTED", version=1, inputs=("x", "w"), outputs=("y",), subgraph=2
    )
    unused = Operator(
        name="FULLY_CONNECTED", version=1, inputs=("x", "w"), outputs=("y",), subgraph=3
    )
    shapes: dict[str, Shape | None] = {"x": (1, 10), "w": (5, 10), "y": (1, 5)}
    found = multiply_adds.count(graph("tflite", [loop, inside, unused], shapes))
    assert (found.total, found.per_step) == (0, 50)


def test_unknown_shapes_are_named_not_guessed() -> None:
    shapes: dict[str, Shape | None] = {"x": None, "w": (4, 3, 3, 3), "y": None}
    found = multiply_adds.count(graph("onnx", [operator("Conv", "x w")], shapes))
    assert (found.total, found.uncounted) == (0, {"Conv": 1})


def test_quantized_onnx_operators_are_told_by_what_is_stored(tiny_onnx: Build) -> None:
    found = multiply_adds.count(onnx_file.read(tiny_onnx(io="int8")))
    assert found.total == 6
    assert found.kinds == {"int8 x float32": 1}


# ---- shapes within ONNX graphs, against what ONNX Runtime computes ----------------------------


def run_shapes(path: Path) -> tuple[dict[str, tuple[int, ...]], dict[str, Any]]:
    """Shapes of all intermediate tensors as ONNX Runtime has them, and as they were inferred."""
    import onnx
    import onnxruntime

    model = onnx.load(path)
    known = {value.name for value in model.graph.output}
    names = [name for node in model.graph.node for name in node.output if name]
    model.graph.output.extend(onnx.ValueInfoProto(name=it) for it in names if it not in known)
    session = onnxruntime.InferenceSession(model.SerializeToString())
    feeds = {
        value.name: np.ones([n if isinstance(n, int) else 1 for n in value.shape], np.float32)
        for value in session.get_inputs()
    }
    outputs = [value.name for value in session.get_outputs()]
    made = dict(zip(outputs, session.run(outputs, feeds), strict=True))
    return {name: array.shape for name, array in made.items()}, infer(onnx_file.read(path))


def node(name: str, inputs: str, outputs: str, **attributes: Any) -> Any:
    from onnx import helper

    return helper.make_node(name, inputs.split(","), outputs.split(","), **attributes)


def test_shapes_are_those_onnx_runtime_computes(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx", reason="onnx is not installed")
    pytest.importorskip("onnxruntime", reason="ONNX Runtime is not installed")
    helper = onnx.helper
    random = np.random.default_rng(1)
    weights: dict[str, Any] = {
        "w1": random.random((8, 3, 3, 3), np.float32),
        "w2": random.random((8, 4, 2, 2), np.float32),
        "w3": random.random((4, 6), np.float32),
        "w4": random.random((1, 20, 6), np.float32),
        "w5": random.random((1, 20, 5), np.float32),
        "zero": np.array([0]),
        "one": np.array([1]),
        "two": np.array([2]),
        "first": np.array(0),
        "minus": np.array([-1]),
        "pads": np.array([0, 0, 1, 2, 0, 0, 3, 4]),
        "twice": np.array([1, 2]),
    }
    nodes = [
        node("Conv", "x,w1", "c1", strides=[2, 2], auto_pad="SAME_UPPER"),
        node("Relu", "c1", "r1"),
        node("MaxPool", "r1", "p1", kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1),
        node("AveragePool", "r1", "p2", kernel_shape=[2, 2], pads=[1, 0, 0, 1]),
        node("Pad", "p1,pads", "d1"),
        node("ConvTranspose", "r1,w2", "t1", strides=[2, 2], output_padding=[1, 0]),
        node("Transpose", "t1", "t2", perm=[0, 2, 3, 1]),
        node("MatMul", "t2,w3", "m1"),
        node("Shape", "m1", "s1"),
        node("Gather", "s1,first", "g1"),
        node("Unsqueeze", "g1,zero", "u1"),
        node("Concat", "u1,minus", "k1", axis=0),
        node("Reshape", "m1,k1", "f1"),
        node("Slice", "m1,one,two,one", "l1"),
        node("Squeeze", "l1,one", "q1"),
        node("Transpose", "q1", "q2", perm=[1, 0, 2]),
        node("Split", "q1", "h1,h2", axis=2, num_outputs=2),
        node("Add", "h1,h2", "a1"),
        node("ReduceMean", "a1,one", "e1", keepdims=0),
        node("Gemm", "e1,e1", "j1", transB=1),
        node("Flatten", "m1", "n1", axis=2),
        node("GlobalAveragePool", "c1", "o1"),
        node("Tile", "e1,twice", "v1"),
        node("LSTM", "q2,w4,w5", "y1,y2,y3", hidden_size=5),
        node("ArgMax", "e1", "z1", axis=1, keepdims=0),
        node("DepthToSpace", "c1", "b1", blocksize=2),
        node("Greater", "h1,h2", "i1"),
        node("Where", "i1,h1,h2", "i2"),
    ]
    made = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", 1, ["batch", 3, 17, 12])],
        [helper.make_tensor_value_info("j1", 1, None)],
        [onnx.numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    (tmp_path / "m.onnx").write_bytes(model.SerializeToString())
    real, inferred = run_shapes(tmp_path / "m.onnx")
    assert len(real) > 28
    assert {name: inferred[name] for name in real} == real
