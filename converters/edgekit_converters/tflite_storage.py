"""Store as int8 what ai-edge-quantizer 0.10 leaves in float32: embeddings, 3-D convolutions."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit_converters.tflite_graph import (
    constant,
    identifier,
    new_operator,
    new_tensor,
    operator_name,
    schema,
    text,
)
from edgekit_converters.tflite_recipe import SPREAD_LIMIT, spread_error

_LEAST_ELEMENTS = 1024
_PLACES = {"GATHER": (0, 0), "EMBEDDING_LOOKUP": (1, 0), "CONV_3D": (1, 4)}
"""Which input of an operator is stored, and along which axis it may have a scale each."""


def storable(model: Any, *, but: frozenset[str] = frozenset()) -> frozenset[str]:
    """Identifiers of operators that `store` knows, with weights large enough; not those in `but`.

    `but` may hold names of operators as well, such as ``GATHER``.
    """
    found = (
        (identifier(subgraph, operator), operator_name(model, operator))
        for subgraph in model.subgraphs
        for operator in subgraph.operators
        if _weights(model, subgraph, operator) is not None
    )
    return frozenset(one for one, name in found if not {one, name} & but)


def store(model: Any, wanted: frozenset[str]) -> None:
    """Store the weights of the operators `wanted` as int8, in place.

    Tables for which one scale is precise enough are looked up as integers, and the rows found are
    expanded. All else has one scale a row or channel, and is expanded on loading.
    """
    for subgraph in model.subgraphs:
        done: dict[tuple[int, str], int] = {}
        changed = []
        for operator in list(subgraph.operators):
            name = operator_name(model, operator)
            values = _weights(model, subgraph, operator)
            if values is None or identifier(subgraph, operator) not in wanted:
                changed.append(operator)
            elif name == "GATHER" and spread_error(values) <= SPREAD_LIMIT:
                changed += _look_up_integers(model, subgraph, operator, values, done)
            else:
                changed += _expand(model, subgraph, operator, values, done)
        subgraph.operators = changed


def _weights(model: Any, subgraph: Any, operator: Any) -> NDArray[np.float32] | None:
    name = operator_name(model, operator)
    if name not in _PLACES:
        return None
    values = constant(model, subgraph.tensors[operator.inputs[_PLACES[name][0]]])
    if values is None or values.size < _LEAST_ELEMENTS or not np.isfinite(values).all():
        return None
    return values if name == "CONV_3D" or values.ndim == 2 else None


def _look_up_integers(
    model: Any,
    subgraph: Any,
    operator: Any,
    values: NDArray[np.float32],
    done: dict[tuple[int, str], int],
) -> list[Any]:
    key = (int(operator.inputs[0]), "whole")
    result = int(operator.outputs[0])
    if key not in done:
        scale = np.abs(values).max(keepdims=True) / np.float32(127)
        done[key] = _stored(model, subgraph, key[0], values, scale, axis=0)
    table = done[key]
    rows = new_tensor(
        subgraph,
        subgraph.tensors[result],
        f"{text(subgraph.tensors[result].name)}_int8",
        schema().TensorType.INT8,
        subgraph.tensors[table].quantization,
    )
    operator.inputs = [table, *operator.inputs[1:]]
    operator.outputs = [rows]
    return [operator, new_operator(model, "DEQUANTIZE", [rows], [result])]


def _expand(
    model: Any,
    subgraph: Any,
    operator: Any,
    values: NDArray[np.float32],
    done: dict[tuple[int, str], int],
) -> list[Any]:
    """Put a DEQUANTIZE in front of `operator`, once for all that read the same weights."""
    place, axis = _PLACES[operator_name(model, operator)]
    key = (int(operator.inputs[place]), "expanded")
    fresh = []
    if key not in done:
        others = tuple(i for i in range(values.ndim) if i != axis)
        scale = np.abs(values).max(axis=others, keepdims=True) / np.float32(127)
        scale = np.maximum(scale, np.float32(1e-12))
        stored = _stored(model, subgraph, key[0], values, scale, axis=axis)
        like = subgraph.tensors[key[0]]
        name = f"{text(like.name)}_expanded"
        done[key] = new_tensor(subgraph, like, name, schema().TensorType.FLOAT32)
        fresh = [new_operator(model, "DEQUANTIZE", [stored], [done[key]])]
    inputs = [int(i) for i in operator.inputs]
    inputs[place] = done[key]
    operator.inputs = inputs
    return [*fresh, operator]


def _stored(
    model: Any,
    subgraph: Any,
    like: int,
    values: NDArray[np.float32],
    scale: NDArray[np.float32],
    *,
    axis: int,
) -> int:
    fb = schema()
    quantization = fb.QuantizationParametersT()
    quantization.scale = [float(one) for one in scale.reshape(-1)]
    quantization.zeroPoint = [0] * scale.size
    quantization.quantizedDimension = axis
    buffer = fb.BufferT()
    stored = np.clip(np.round(values / scale), -127, 127).astype(np.int8)
    buffer.data = stored.reshape(-1).view(np.uint8)
    model.buffers.append(buffer)
    tensor = subgraph.tensors[like]
    index = new_tensor(
        subgraph, tensor, f"{text(tensor.name)}_int8", fb.TensorType.INT8, quantization
    )
    subgraph.tensors[index].buffer = len(model.buffers) - 1
    return index
