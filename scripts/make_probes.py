"""Make the two tiny models with which `edgekit doctor` tries the runtimes: they add two vectors.

Run: .venv/bin/python scripts/make_probes.py
"""

from pathlib import Path

import flatbuffers
import onnx
from ai_edge_litert import schema_py_generated as schema

FOLDER = Path(__file__).parent.parent / "toolkit" / "edgekit" / "probe_files"
INPUTS = ("a", "b")
OUTPUT = "sum"
SHAPE = (4,)


def add_tflite() -> bytes:
    """One ADD operator, written with the oldest version number that every runtime knows."""
    tensors = []
    for name in (*INPUTS, OUTPUT):
        tensor = schema.TensorT()
        tensor.name, tensor.shape, tensor.type = name, list(SHAPE), schema.TensorType.FLOAT32
        tensors.append(tensor)

    add = schema.OperatorT()
    add.inputs, add.outputs = [0, 1], [2]
    add.builtinOptionsType, add.builtinOptions = (
        schema.BuiltinOptions.AddOptions,
        schema.AddOptionsT(),
    )

    graph = schema.SubGraphT()
    graph.tensors, graph.operators, graph.inputs, graph.outputs = tensors, [add], [0, 1], [2]

    code = schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.ADD

    model = schema.ModelT()
    model.version = 3
    model.operatorCodes, model.subgraphs, model.buffers = [code], [graph], [schema.BufferT()]

    builder = flatbuffers.Builder(512)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def add_onnx() -> bytes:
    """One Add node, of an operator set that runtimes of 2020 know."""
    tensors = [
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, SHAPE)
        for name in (*INPUTS, OUTPUT)
    ]
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("Add", INPUTS, [OUTPUT])], "add", tensors[:2], tensors[2:]
    )
    opset = onnx.helper.make_opsetid("", 13)
    model = onnx.helper.make_model(graph, opset_imports=[opset], ir_version=7)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString(deterministic=True))


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for name, content in {"add.tflite": add_tflite(), "add.onnx": add_onnx()}.items():
        (FOLDER / name).write_bytes(content)
        print(f"{name}: {len(content)} bytes")
