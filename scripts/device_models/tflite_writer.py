"""Write a small `.tflite` file operator by operator, without TensorFlow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

from edgekit.tensors import Quantization

TYPES = {
    "float32": 0,
    "float16": 1,
    "int32": 2,
    "uint8": 3,
    "int64": 4,
    "bool": 6,
    "int16": 7,
    "int8": 9,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Tensor:
    """One tensor; with `data` a weight. A size of -1 is a free dimension."""

    name: str
    shape: tuple[int, ...]
    dtype: str = "float32"
    quantization: Quantization | None = None
    data: NDArray[Any] | None = None
    is_variable: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Operator:
    """One operator, by its number in the schema, or by its `custom` name."""

    builtin: int
    inputs: Sequence[int]
    outputs: Sequence[int]
    options_type: int = 0
    options: Any = None
    version: int = 1
    custom: str = ""


def write(
    path: Path,
    tensors: Sequence[Tensor],
    operators: Sequence[Operator],
    inputs: Mapping[str, int],
    outputs: Mapping[str, int],
    *,
    has_signature: bool = True,
) -> None:
    """Write a file of one graph; `inputs` and `outputs` are the signature's names for tensors."""
    model, graph = schema.ModelT(), schema.SubGraphT()
    buffers = [schema.BufferT()]
    graph.tensors = [_tensor(tensor, buffers) for tensor in tensors]
    graph.inputs = np.array(list(inputs.values()), np.int32)
    graph.outputs = np.array(list(outputs.values()), np.int32)
    graph.operators, codes = [], []
    for number, operator in enumerate(operators):
        codes.append(_code(operator))
        graph.operators.append(_operator(operator, number))
    model.version, model.operatorCodes, model.subgraphs = 3, codes, [graph]
    model.buffers = buffers
    model.signatureDefs = [_signature(inputs, outputs)] if has_signature else []
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    path.write_bytes(bytes(builder.Output()))


def _tensor(tensor: Tensor, buffers: list[Any]) -> Any:
    made = schema.TensorT()
    made.name = tensor.name.encode()
    made.shape = np.array([abs(size) for size in tensor.shape], np.int32)
    if min(tensor.shape, default=1) < 0:
        made.shapeSignature = np.array(tensor.shape, np.int32)
    made.type = TYPES[tensor.dtype]
    made.isVariable = tensor.is_variable
    made.buffer = 0
    if tensor.data is not None:
        made.buffer = len(buffers)
        buffers.append(schema.BufferT())
        buffers[-1].data = np.frombuffer(tensor.data.astype(tensor.dtype).tobytes(), np.uint8)
    if tensor.quantization is not None:
        made.quantization = schema.QuantizationParametersT()
        made.quantization.scale = np.array(tensor.quantization.scale, np.float32)
        made.quantization.zeroPoint = np.array(tensor.quantization.zero_point, np.int64)
        made.quantization.quantizedDimension = tensor.quantization.axis or 0
    return made


def _code(operator: Operator) -> Any:
    code = schema.OperatorCodeT()
    code.builtinCode = operator.builtin
    code.deprecatedBuiltinCode = min(operator.builtin, 127)
    code.customCode = operator.custom.encode() or None
    code.version = operator.version
    return code


def _operator(operator: Operator, number: int) -> Any:
    made = schema.OperatorT()
    made.opcodeIndex = number
    made.inputs = np.array(operator.inputs, np.int32)
    made.outputs = np.array(operator.outputs, np.int32)
    made.builtinOptionsType, made.builtinOptions = operator.options_type, operator.options
    return made


def _signature(inputs: Mapping[str, int], outputs: Mapping[str, int]) -> Any:
    signature = schema.SignatureDefT()
    signature.signatureKey = b"serving_default"
    signature.subgraphIndex = 0
    for attribute, named in (("inputs", inputs), ("outputs", outputs)):
        entries = []
        for name, index in named.items():
            entry = schema.TensorMapT()
            entry.name, entry.tensorIndex = name.encode(), index
            entries.append(entry)
        setattr(signature, attribute, entries)
    return signature
