"""Tiny model files, built in milliseconds and without TensorFlow."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekit import seal
from edgekit.manifest import MANIFEST_KEY
from edgekit.tensors import Quantization, TensorSpec

WEIGHTS = np.array([[1.0, -1.0, 0.5], [0.5, 1.0, -1.0]], np.float32)
"""Two inputs, three scores; ``scores = image @ WEIGHTS``."""
INPUT_SCALE, WEIGHT_SCALE, OUTPUT_SCALE = 0.05, 1 / 127, 0.1
INPUT_ZERO, OUTPUT_ZERO = 10, -5


def _tensor(schema: Any, name: str, shape: tuple[int, ...], kind: str, buffer: int = 0) -> Any:
    tensor = schema.TensorT()
    tensor.name = name.encode()
    tensor.shape = np.array([abs(size) for size in shape], np.int32)
    if min(shape, default=1) < 0:
        tensor.shapeSignature = np.array(shape, np.int32)
    tensor.type = {"float32": 0, "int32": 2, "int8": 9}[kind]
    tensor.buffer = buffer
    return tensor


def _quantized(schema: Any, tensor: Any, scale: float, zero_point: int) -> Any:
    tensor.quantization = schema.QuantizationParametersT()
    tensor.quantization.scale = np.array([scale], np.float32)
    tensor.quantization.zeroPoint = np.array([zero_point], np.int64)
    return tensor


def _signature(schema: Any) -> Any:
    signature = schema.SignatureDefT()
    signature.signatureKey = b"serving_default"
    signature.subgraphIndex = 0
    for attribute, name, index in (("inputs", "image", 0), ("outputs", "scores", 2)):
        entry = schema.TensorMapT()
        entry.name, entry.tensorIndex = name.encode(), index
        setattr(signature, attribute, [entry])
    return signature


def dense_tflite(
    path: Path,
    *,
    batch: int = 1,
    io: str = "float32",
    signature: bool = True,
    custom: str = "",
    version: int = 1,
    weights: Any = WEIGHTS,
) -> Path:
    """Write ``scores = image @ weights``; `custom` and `version` replace its operator."""
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    model, graph = schema.ModelT(), schema.SubGraphT()
    stored, kind = weights.T.copy(), io
    if io == "int8":
        stored = np.rint(stored / WEIGHT_SCALE).astype(np.int8)
    buffers = [schema.BufferT(), schema.BufferT()]
    buffers[1].data = np.frombuffer(stored.tobytes(), np.uint8)
    graph.tensors = [
        _tensor(schema, "raw_image:0", (batch, len(weights)), kind),
        _tensor(schema, "weights", stored.shape, kind, 1),
        _tensor(schema, "raw_scores:0", (batch, weights.shape[1]), kind),
    ]
    if io == "int8":
        _quantized(schema, graph.tensors[0], INPUT_SCALE, INPUT_ZERO)
        _quantized(schema, graph.tensors[1], WEIGHT_SCALE, 0)
        _quantized(schema, graph.tensors[2], OUTPUT_SCALE, OUTPUT_ZERO)
    operator, code = schema.OperatorT(), schema.OperatorCodeT()
    fully_connected, custom_code = 9, 32
    code.builtinCode = custom_code if custom else fully_connected
    code.deprecatedBuiltinCode = code.builtinCode
    code.customCode = custom.encode() or None
    code.version = max(version, 4 if io == "int8" else 1)
    if not custom:
        operator.builtinOptionsType = schema.BuiltinOptions.FullyConnectedOptions
        operator.builtinOptions = schema.FullyConnectedOptionsT()
    operator.inputs = np.array([0, 1] if custom else [0, 1, -1], np.int32)
    operator.outputs = np.array([2], np.int32)
    graph.inputs, graph.outputs = np.array([0], np.int32), np.array([2], np.int32)
    graph.operators = [operator]
    model.version, model.operatorCodes, model.subgraphs = 3, [code], [graph]
    model.buffers = buffers
    model.signatureDefs = [_signature(schema)] if signature else []
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    path.write_bytes(bytes(builder.Output()))
    return path


def dense_onnx(
    path: Path, *, batch: int | str = 1, io: str = "float32", operator: str = "MatMul"
) -> Path:
    """Write ``scores = image @ WEIGHTS``; int8 files say their scales in the manifest."""
    import onnx
    from onnx import helper, numpy_helper

    element = onnx.TensorProto.INT8 if io == "int8" else onnx.TensorProto.FLOAT
    values: dict[str, Any] = {"weights": WEIGHTS}
    nodes = [helper.make_node(operator, ["image", "weights"], ["scores"])]
    if io == "int8":
        values |= {
            "in_scale": np.float32(INPUT_SCALE),
            "in_zero": np.int8(INPUT_ZERO),
            "out_scale": np.float32(OUTPUT_SCALE),
            "out_zero": np.int8(OUTPUT_ZERO),
        }
        nodes = [
            helper.make_node("DequantizeLinear", ["image", "in_scale", "in_zero"], ["x"]),
            helper.make_node("MatMul", ["x", "weights"], ["y"]),
            helper.make_node("QuantizeLinear", ["y", "out_scale", "out_zero"], ["scores"]),
        ]
    graph = helper.make_graph(
        nodes,
        "dense",
        [helper.make_tensor_value_info("image", element, [batch, 2])],
        [helper.make_tensor_value_info("scores", element, [batch, 3])],
        [numpy_helper.from_array(np.asarray(v), name) for name, v in values.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 15)], ir_version=8)
    if io == "int8":
        free = None if isinstance(batch, str) else batch
        described = [
            TensorSpec(name=name, shape=(free, n), dtype="int8", quantization=quantization)
            for name, n, quantization in (
                ("image", 2, Quantization(scale=(INPUT_SCALE,), zero_point=(INPUT_ZERO,))),
                ("scores", 3, Quantization(scale=(OUTPUT_SCALE,), zero_point=(OUTPUT_ZERO,))),
            )
        ]
        manifest = {
            "inputs": [described[0].to_dict()],
            "outputs": [described[1].to_dict()],
        }
        helper.set_model_props(model, {"edgekit.manifest": json.dumps(manifest)})
    path.write_bytes(model.SerializeToString())
    return path


Build = Callable[..., Path]


@pytest.fixture
def tiny_tflite(tmp_path: Path) -> Build:
    """A function that writes a tiny .tflite file and returns its path."""
    pytest.importorskip("ai_edge_litert", reason="LiteRT is not installed")
    return lambda name="tiny.tflite", **options: dense_tflite(tmp_path / name, **options)


@pytest.fixture
def tiny_onnx(tmp_path: Path) -> Build:
    """A function that writes a tiny .onnx file and returns its path."""
    pytest.importorskip("onnx", reason="onnx is not installed")
    pytest.importorskip("onnxruntime", reason="ONNX Runtime is not installed")
    return lambda name="tiny.onnx", **options: dense_onnx(tmp_path / name, **options)


def sealed_file(path: Path) -> Path:
    """Give a file that has no manifest one with a seal, as `edgekit convert` does."""
    manifest = f'{{"labels":["a"],"seal":"{seal.PLACEHOLDER}","states":[]}}'
    if path.suffix == ".onnx":
        import onnx

        proto = onnx.load(path)
        onnx.helper.set_model_props(proto, {MANIFEST_KEY: manifest})
        path.write_bytes(proto.SerializeToString())
    else:
        import flatbuffers
        from ai_edge_litert import schema_py_generated as schema

        model = schema.ModelT.InitFromPackedBuf(path.read_bytes())
        entry, buffer = schema.MetadataT(), schema.BufferT()
        entry.name, entry.buffer = MANIFEST_KEY.encode(), len(model.buffers)
        buffer.data = np.frombuffer(manifest.encode(), np.uint8)
        model.buffers.append(buffer)
        model.metadata = [entry]
        builder = flatbuffers.Builder(1 << 12)
        builder.Finish(model.Pack(builder), b"TFL3")
        path.write_bytes(bytes(builder.Output()))
    seal.seal(path)
    return path


@pytest.fixture
def sealed() -> Callable[[Path], Path]:
    """A function that gives a .tflite or .onnx file a manifest with a seal."""
    return sealed_file
