"""Integer inputs and outputs for models quantized to integers, and reading their scales back."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np

from edgekit._lazy import need
from edgekit.tensors import Quantization
from edgekit_converters.onnx_calibrate import Range
from edgekit_converters.onnx_edit import fresh, graphs, set_nodes, tensor_names
from edgekit_converters.onnx_files import read
from edgekit_converters.onnx_pairs import scale_and_zero_point


def integer_inputs_and_outputs(
    model: Any, kind: Literal["int8", "uint8"], ranges: Mapping[str, Range]
) -> None:
    """Let each float input and output of `model` be `kind`; names stay; in place.

    An input is dequantized first, an output quantized last, both with the scale and zero point
    that cover the range seen in calibration (the ``int8`` zero point is the ``uint8`` one - 128).
    Token ids and other inputs that are not float stay as they are.

    Args:
        model: an ``onnx.ModelProto``.
        kind: the NumPy name of the integer type.
        ranges: smallest and largest value of each tensor.
    """
    onnx = need("onnx", extra="convert")
    graph = model.graph
    constants = {tensor.name for tensor in graph.initializer}
    taken = tensor_names(model)
    before: list[Any] = []
    after: list[Any] = []
    values = [(value, True) for value in graph.input] + [(value, False) for value in graph.output]
    for value, is_input in values:
        elements = value.type.tensor_type
        if value.name in constants or elements.elem_type != onnx.TensorProto.FLOAT:
            continue
        if value.name not in ranges:
            continue
        inner = fresh("f", taken)
        scale = fresh("s", taken)
        zero_point = fresh("z", taken)
        step, zero = scale_and_zero_point(ranges[value.name], np.dtype(kind))
        graph.initializer.append(onnx.numpy_helper.from_array(np.array(step), scale))
        graph.initializer.append(onnx.numpy_helper.from_array(np.array(zero, kind), zero_point))
        _rename(graph, value.name, inner)
        given = [value.name if is_input else inner, scale, zero_point]
        made = [inner if is_input else value.name]
        op_type = "DequantizeLinear" if is_input else "QuantizeLinear"
        node = onnx.helper.make_node(op_type, given, made)
        (before if is_input else after).append(node)
        elements.elem_type = onnx.helper.np_dtype_to_tensor_dtype(np.dtype(kind))
    set_nodes(graph, [*before, *graph.node, *after])


def io_quantization(path: Path) -> dict[str, Quantization]:
    """Scale and zero point of each integer input and output of an ONNX file, read from its graph.

    Raises:
        SourceError: not an ONNX model.
    """
    onnx = need("onnx", extra="convert")
    graph = read(path).graph
    constants = {tensor.name: tensor for tensor in graph.initializer}
    inputs = {value.name: value for value in graph.input}
    outputs = {value.name: value for value in graph.output}
    integers = (onnx.TensorProto.INT8, onnx.TensorProto.UINT8)
    result = {}
    for node in graph.node:
        if node.op_type == "DequantizeLinear":
            value = inputs.get(node.input[0])
        elif node.op_type == "QuantizeLinear":
            value = outputs.get(node.output[0])
        else:
            continue
        if value is None or value.type.tensor_type.elem_type not in integers:
            continue
        if len(node.input) > 2 and {node.input[1], node.input[2]} <= set(constants):
            scale, zero_point = (
                onnx.numpy_helper.to_array(constants[name]).reshape(-1) for name in node.input[1:3]
            )
            if scale.size == 1:
                result[value.name] = Quantization(
                    scale=(float(scale[0]),), zero_point=(int(zero_point[0]),)
                )
    return result


def _rename(graph: Any, old: str, new: str) -> None:
    for inner in graphs(graph):
        for node in inner.node:
            for names in (node.input, node.output):
                for index, name in enumerate(names):
                    if name == old:
                        names[index] = new
