"""Store the weights of a float32 TFLite graph as float16; the runtime expands them on loading."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit_converters.tflite_graph import (
    constant,
    identifier,
    new_operator,
    new_tensor,
    schema,
    text,
)

_LEAST_ELEMENTS = 16
_LARGEST = 65504.0  # beyond it float16 is infinity
_SMALLEST_NORMAL = 6.2e-5  # below it float16 loses digits


def halve(model: Any, keep_float: frozenset[str]) -> dict[str, str]:
    """Replace float32 constants by float16 ones and a DEQUANTIZE, in place.

    Constants of operators in `keep_float`, of fewer than 16 elements, and those that float16
    cannot hold stay as they are.

    Returns:
        Why a large constant stayed, by tensor name.
    """
    kept: dict[str, str] = {}
    buffers: dict[int, int] = {}
    for subgraph in model.subgraphs:
        expansions = []
        for index in _weights(subgraph, keep_float):
            tensor = subgraph.tensors[index]
            values = constant(model, tensor)
            if values is None or values.size < _LEAST_ELEMENTS:
                continue
            reason = _unfit(values)
            if reason:
                kept[text(tensor.name)] = reason
            else:
                expansions.append(_expand(model, subgraph, index, values, buffers))
        subgraph.operators = expansions + list(subgraph.operators)
    return kept


def _weights(subgraph: Any, keep_float: frozenset[str]) -> list[int]:
    wanted: set[int] = set()
    refused = {int(index) for index in subgraph.outputs}
    for operator in subgraph.operators:
        kept = identifier(subgraph, operator) in keep_float
        (refused if kept else wanted).update(int(index) for index in operator.inputs)
    return sorted(wanted - refused - {-1})


def _unfit(values: NDArray[np.float32]) -> str:
    if not np.isfinite(values).all():
        return "holds values that are not finite"
    largest = float(np.abs(values).max(initial=0))
    if largest > _LARGEST:
        return f"reaches {largest:.3g}, beyond float16"
    if 0 < largest < _SMALLEST_NORMAL:
        return f"reaches only {largest:.3g}, where float16 loses digits"
    return ""


def _expand(
    model: Any, subgraph: Any, index: int, values: NDArray[np.float32], buffers: dict[int, int]
) -> Any:
    fb = schema()
    tensor = subgraph.tensors[index]
    if tensor.buffer not in buffers:
        buffer = fb.BufferT()
        buffer.data = values.astype(np.float16).reshape(-1).view(np.uint8)
        buffers[tensor.buffer] = len(model.buffers)
        model.buffers.append(buffer)
    half = new_tensor(subgraph, tensor, f"{text(tensor.name)}_float16", fb.TensorType.FLOAT16)
    subgraph.tensors[half].buffer = buffers[tensor.buffer]
    tensor.buffer = 0
    return new_operator(model, "DEQUANTIZE", [half], [index])
