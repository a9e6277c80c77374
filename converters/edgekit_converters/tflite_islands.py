"""Let operators that ai-edge-quantizer 0.10 does not know compute on integers.

It leaves them in float, between a DEQUANTIZE and a QUANTIZE. Where the runtime has an integer
kernel, those two go away:

    int8 ─ DEQUANTIZE ─ LEAKY_RELU ─ QUANTIZE ─ int8    becomes    int8 ─ LEAKY_RELU ─ int8
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from edgekit_converters.tflite_calibrate import Calibration
from edgekit_converters.tflite_graph import (
    as_bytes,
    constant,
    identifier,
    new_operator,
    new_tensor,
    operator_name,
    schema,
    text,
)

_Rule = Literal["same", "free", "log_softmax", "unit"]
_INT8: dict[str, _Rule] = {
    "ABS": "free",
    "BATCH_TO_SPACE_ND": "same",
    "DEPTH_TO_SPACE": "same",
    "ELU": "free",
    "EXPAND_DIMS": "same",
    "L2_NORMALIZATION": "unit",
    "LEAKY_RELU": "free",
    "LOG_SOFTMAX": "log_softmax",
    "PRELU": "free",
    "REDUCE_MAX": "same",
    "RELU6": "free",
    "REVERSE_V2": "same",
    "SPACE_TO_BATCH_ND": "same",
    "SQUEEZE": "same",
    "TILE": "same",
}
"""Operators with int8 kernels in LiteRT and in tflite-runtime 2.14; how their output is scaled."""
_INT16: dict[str, _Rule] = {"EXPAND_DIMS": "same", "LEAKY_RELU": "free", "SQUEEZE": "same"}
_VERSIONS = {"ABS": 2, "LEAKY_RELU": 2, "LOG_SOFTMAX": 2, "L2_NORMALIZATION": 2, "RELU6": 2}
_TINY = 1e-9  # the least range ai-edge-quantizer scales by


def join_islands(
    model: Any, ranges: Calibration, keep_float: frozenset[str], *, bits: Literal[8, 16]
) -> None:
    """Make the operators of the tables above, between integers, compute on integers; in place."""
    subgraph = model.subgraphs[0]
    rules = _INT8 if bits == 8 else _INT16
    makers = {int(i): operator for operator in subgraph.operators for i in operator.outputs}
    joined = []
    for operator in subgraph.operators:
        joined.append(operator)
        name = operator_name(model, operator)
        if name not in rules or identifier(subgraph, operator) in keep_float:
            continue
        stored = _stored(model, subgraph, makers.get(int(operator.inputs[0])), bits)
        result = int(operator.outputs[0])
        known = ranges.ranges.get(text(subgraph.tensors[result].name))
        if stored is None or known is None:
            continue
        if name == "PRELU" and not _store_slopes(model, subgraph, operator):
            continue
        quantization = subgraph.tensors[stored].quantization
        if rules[name] != "same":
            quantization = _scaled(rules[name], known, bits)
        integers = new_tensor(
            subgraph,
            subgraph.tensors[result],
            f"{text(subgraph.tensors[result].name)}_dequant",
            subgraph.tensors[stored].type,
            quantization,
        )
        first, second = subgraph.tensors[result], subgraph.tensors[integers]
        first.name, second.name = second.name, first.name
        operator.inputs = [stored, *[int(i) for i in operator.inputs[1:]]]
        operator.outputs = [integers]
        expansion = new_operator(model, "DEQUANTIZE", [integers], [result])
        joined.append(expansion)
        makers[integers], makers[result] = operator, expansion
        code = model.operatorCodes[operator.opcodeIndex]
        code.version = max(code.version, _VERSIONS.get(name, 1))
    subgraph.operators = joined
    _skip_floats(model, subgraph, makers)
    _drop_unread_floats(model, subgraph)


def _stored(model: Any, subgraph: Any, maker: Any, bits: int) -> int | None:
    """The integer tensor that a DEQUANTIZE expands; None for any other operator."""
    if maker is None or operator_name(model, maker) != "DEQUANTIZE":
        return None
    index = int(maker.inputs[0])
    types = schema().TensorType
    wanted = types.INT8 if bits == 8 else types.INT16
    return index if subgraph.tensors[index].type == wanted else None


def _scaled(rule: _Rule, known: tuple[float, float], bits: int) -> Any:
    smallest, largest = min(known[0], 0.0), max(known[1], 0.0)
    if rule == "log_softmax":
        return _quantization(16 / 256, 127)  # what the kernel demands
    if rule == "unit":
        return _quantization(1 / 128, 0)
    if bits == 16:
        return _quantization(max(-smallest, largest, _TINY) / 32767, 0)
    scale = max(largest - smallest, _TINY) / 255
    return _quantization(scale, int(np.rint(-128 - smallest / scale)))


def _quantization(scale: float, zero_point: int) -> Any:
    quantization = schema().QuantizationParametersT()
    quantization.scale = [float(np.float32(scale))]
    quantization.zeroPoint = [zero_point]
    return quantization


def _store_slopes(model: Any, subgraph: Any, operator: Any) -> bool:
    """Store the slopes of a PRELU as int8; False when they are not constant."""
    fb = schema()
    index = int(operator.inputs[1])
    tensor = subgraph.tensors[index]
    values = constant(model, tensor)
    if values is None:
        return False
    quantization = _scaled("free", (float(values.min()), float(values.max())), 8)
    stored = np.round(values / quantization.scale[0]) + quantization.zeroPoint[0]
    buffer = fb.BufferT()
    buffer.data = np.clip(stored, -128, 127).astype(np.int8).reshape(-1).view(np.uint8)
    model.buffers.append(buffer)
    slopes = new_tensor(
        subgraph, tensor, f"{text(tensor.name)}_int8", fb.TensorType.INT8, quantization
    )
    subgraph.tensors[slopes].buffer = len(model.buffers) - 1
    operator.inputs = [int(operator.inputs[0]), slopes]
    return True


def _skip_floats(model: Any, subgraph: Any, makers: dict[int, Any]) -> None:
    """Lead integers that were expanded and stored again straight to their readers."""
    same: dict[int, int] = {}
    remaining = []
    for operator in subgraph.operators:
        operator.inputs = [same.get(int(i), int(i)) for i in operator.inputs]
        if operator_name(model, operator) == "QUANTIZE":
            maker = makers.get(int(operator.inputs[0]))
            if maker is not None and operator_name(model, maker) == "DEQUANTIZE":
                stored, again = int(maker.inputs[0]), int(operator.outputs[0])
                one, other = subgraph.tensors[stored], subgraph.tensors[again]
                if one.type == other.type and len(as_bytes(model.buffers[one.buffer])) == 0:
                    if _equal(one.quantization, other.quantization):
                        same[again] = stored
                        continue
                    operator.inputs = [stored]
        remaining.append(operator)
    subgraph.operators = remaining


def _equal(one: Any, other: Any) -> bool:
    return bool(
        np.allclose(one.scale, other.scale, rtol=1e-6, atol=0)
        and list(one.zeroPoint) == list(other.zeroPoint)
    )


def _drop_unread_floats(model: Any, subgraph: Any) -> None:
    read = {int(i) for operator in subgraph.operators for i in operator.inputs}
    read |= {int(i) for i in subgraph.outputs}
    subgraph.operators = [
        operator
        for operator in subgraph.operators
        if operator_name(model, operator) != "DEQUANTIZE" or int(operator.outputs[0]) in read
    ]
