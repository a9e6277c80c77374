"""Integer inputs and outputs for models quantized to integers, and reading their scales back."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np

from edgekit._lazy import need
from edgekit.tensors import Quantization
from edgekit_converters.onnx_float16 import prepend
from edgekit_converters.onnx_prepare import fresh, graphs, read, tensor_names


def integer_inputs_and_outputs(model: Any, kind: Literal["int8", "uint8"]) -> None:
    """Let each quantized float input and output of `model` be `kind`; names stay; in place.

    An input that was ``float -> QuantizeLinear`` becomes ``integer -> DequantizeLinear -> …``, an
    output ``DequantizeLinear -> float`` becomes ``QuantizeLinear -> integer``, both with the scale
    and zero point of the calibration (``int8`` zero point = ``uint8`` zero point - 128). Token ids
    and other inputs that are not float stay as they are, and so do floats nothing quantizes.
    """
    onnx = need("onnx", extra="convert")
    graph = model.graph
    constants = {tensor.name: tensor for tensor in graph.initializer}
    taken = tensor_names(model)
    elements = onnx.TensorProto.INT8 if kind == "int8" else onnx.TensorProto.UINT8
    front: list[Any] = []
    for value in graph.input:
        if value.name in constants or value.type.tensor_type.elem_type != onnx.TensorProto.FLOAT:
            continue
        found = _parameters(graph, value.name, "QuantizeLinear", constants)
        if found is None:
            continue
        scale, zero_point = _constants(graph, value.name, found, kind, taken)
        inner = fresh(value.name + "_float", taken)
        _rename_reads(graph, value.name, inner)
        front.append(
            onnx.helper.make_node(
                "DequantizeLinear", [value.name, scale, zero_point], [inner], name=inner
            )
        )
        value.type.tensor_type.elem_type = elements
    prepend(graph, front)
    for value in graph.output:
        if value.type.tensor_type.elem_type != onnx.TensorProto.FLOAT:
            continue
        found = _parameters(graph, value.name, "DequantizeLinear", constants)
        if found is None:
            continue
        scale, zero_point = _constants(graph, value.name, found, kind, taken)
        inner = fresh(value.name + "_float", taken)
        _rename_reads(graph, value.name, inner)
        for node in graph.node:
            for index, name in enumerate(node.output):
                if name == value.name:
                    node.output[index] = inner
        graph.node.append(
            onnx.helper.make_node(
                "QuantizeLinear",
                [inner, scale, zero_point],
                [value.name],
                name=value.name + "_stored",
            )
        )
        value.type.tensor_type.elem_type = elements


def io_quantization(path: Path) -> dict[str, Quantization]:
    """Scale and zero point of each integer input and output of an ONNX file, read from its graph.

    Raises:
        SourceError: not an ONNX model.
    """
    onnx = need("onnx", extra="convert")
    graph = read(path).graph
    integers = (onnx.TensorProto.INT8, onnx.TensorProto.UINT8)
    constants = {tensor.name: tensor for tensor in graph.initializer}
    result = {}
    for values, op_type in ((graph.input, "DequantizeLinear"), (graph.output, "QuantizeLinear")):
        for value in values:
            found = _parameters(graph, value.name, op_type, constants)
            if found is not None and value.type.tensor_type.elem_type in integers:
                result[value.name] = Quantization(scale=(found[0],), zero_point=(found[1],))
    return result


def _parameters(
    graph: Any, name: str, op_type: str, constants: dict[str, Any]
) -> tuple[float, int, int] | None:
    """Scale, zero point, and uint8 zero point of the `op_type` node that touches `name`."""
    onnx = need("onnx", extra="convert")
    inputs = {value.name for value in graph.input}
    for node in graph.node:
        touches = node.input[0] == name if name in inputs and node.input else name in node.output
        if node.op_type != op_type or not touches:
            continue
        if len(node.input) < 3 or not {node.input[1], node.input[2]} <= set(constants):
            return None
        scale = onnx.numpy_helper.to_array(constants[node.input[1]])
        zero_point = onnx.numpy_helper.to_array(constants[node.input[2]])
        if scale.size != 1 or zero_point.dtype not in (np.int8, np.uint8):
            return None
        offset = 128 if zero_point.dtype == np.int8 else 0
        return float(scale.item()), int(zero_point.item()), int(zero_point.item()) + offset
    return None


def _constants(
    graph: Any, name: str, found: tuple[float, int, int], kind: str, taken: set[str]
) -> tuple[str, str]:
    onnx = need("onnx", extra="convert")
    scale, zero_point = fresh(name + "_io_scale", taken), fresh(name + "_io_zero_point", taken)
    stored = np.int8(found[2] - 128) if kind == "int8" else np.uint8(found[2])
    graph.initializer.append(onnx.numpy_helper.from_array(np.array(found[0], np.float32), scale))
    graph.initializer.append(onnx.numpy_helper.from_array(np.array(stored), zero_point))
    return scale, zero_point


def _rename_reads(graph: Any, old: str, new: str) -> None:
    for inner in graphs(graph):
        for node in inner.node:
            for index, name in enumerate(node.input):
                if name == old:
                    node.input[index] = new
