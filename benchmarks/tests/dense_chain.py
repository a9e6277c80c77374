"""Models of dense layers one after another, of chosen sizes; written without a framework."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

FULLY_CONNECTED = 9


def dense_chain(path: Path, sizes: Sequence[int], batch: int = 1) -> Path:
    """Write ``scores = image @ weights_0 @ weights_1 …``, as the ending of `path` says.

    Args:
        path: a `.tflite` or `.onnx` file.
        sizes: of the input, and of what each layer makes.
        batch: -1 leaves it free.
    """
    random = np.random.default_rng(0)
    weights = [
        (random.standard_normal(shape) / shape[0] ** 0.5).astype(np.float32)
        for shape in pairwise(sizes)
    ]
    path.write_bytes((_tflite if path.suffix == ".tflite" else _onnx)(weights, batch))
    return path


def _tflite(weights: Sequence[Any], batch: int) -> bytes:
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    def tensor(name: str, shape: tuple[int, ...], buffer: int = 0) -> Any:
        made = schema.TensorT()
        made.name, made.buffer = name.encode(), buffer
        made.shape = np.array([abs(size) for size in shape], np.int32)
        if -1 in shape:
            made.shapeSignature = np.array(shape, np.int32)
        return made

    graph = schema.SubGraphT()
    buffers = [schema.BufferT()]
    graph.tensors = [tensor("image", (batch, weights[0].shape[0]))]
    graph.operators = []
    for number, array in enumerate(weights):
        buffers.append(schema.BufferT())
        buffers[-1].data = np.frombuffer(array.T.tobytes(), np.uint8)
        at = len(graph.tensors)
        graph.tensors += [
            tensor(f"weights_{number}", array.T.shape, number + 1),
            tensor(f"dense_{number}", (batch, array.shape[1])),
        ]
        operator = schema.OperatorT()
        operator.inputs = np.array([at - 1 if number else 0, at, -1], np.int32)
        operator.outputs = np.array([at + 1], np.int32)
        operator.builtinOptionsType = schema.BuiltinOptions.FullyConnectedOptions
        operator.builtinOptions = schema.FullyConnectedOptionsT()
        graph.operators.append(operator)
    graph.inputs = np.array([0], np.int32)
    graph.outputs = np.array([len(graph.tensors) - 1], np.int32)
    code = schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = FULLY_CONNECTED
    model = schema.ModelT()
    model.version, model.operatorCodes, model.subgraphs = 3, [code], [graph]
    model.buffers = buffers
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def _onnx(weights: Sequence[Any], batch: int) -> bytes:
    import onnx
    from onnx import helper, numpy_helper

    names = ["image", *(f"dense_{number}" for number in range(len(weights)))]
    nodes = [
        helper.make_node("MatMul", [names[i], f"weights_{i}"], [names[i + 1]], name=f"layer_{i}")
        for i in range(len(weights))
    ]
    free = "batch" if batch < 0 else batch
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        "chain",
        [value("image", onnx.TensorProto.FLOAT, [free, weights[0].shape[0]])],
        [value(names[-1], onnx.TensorProto.FLOAT, [free, weights[-1].shape[1]])],
        [numpy_helper.from_array(array, f"weights_{i}") for i, array in enumerate(weights)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(model.SerializeToString())
