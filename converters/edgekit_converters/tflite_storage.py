"""Store the tables of embedding layers as int8; a lookup then reads a quarter of the bytes."""

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
_LOOKUPS = ("GATHER", "EMBEDDING_LOOKUP")


def tables(model: Any) -> frozenset[str]:
    """Identifiers of the lookups whose float table is worth storing as int8."""
    return frozenset(
        identifier(subgraph, operator)
        for subgraph in model.subgraphs
        for operator in subgraph.operators or []
        if _table(model, subgraph, operator) is not None
    )


def shrink_tables(model: Any, wanted: frozenset[str]) -> None:
    """Store the tables of the lookups `wanted` as int8, in place.

    With one scale where that is precise enough: the rows are looked up as integers and expanded
    afterwards. With one scale a row where it is not, and the table is expanded on loading.
    """
    for subgraph in model.subgraphs:
        done: dict[int, int] = {}
        changed = []
        for operator in list(subgraph.operators or []):
            values = _table(model, subgraph, operator)
            if values is None or identifier(subgraph, operator) not in wanted:
                changed.append(operator)
            elif (
                operator_name(model, operator) == "GATHER" and spread_error(values) <= SPREAD_LIMIT
            ):
                changed += _look_up_integers(model, subgraph, operator, values, done)
            else:
                changed += _expand_rows(model, subgraph, operator, values, done)
        subgraph.operators = changed


def _table(model: Any, subgraph: Any, operator: Any) -> NDArray[np.float32] | None:
    name = operator_name(model, operator)
    if name not in _LOOKUPS:
        return None
    values = constant(model, subgraph.tensors[operator.inputs[_table_place(name)]])
    fits = values is not None and values.ndim == 2 and values.size >= _LEAST_ELEMENTS
    return values if fits and values is not None and np.isfinite(values).all() else None


def _table_place(name: str) -> int:
    return 1 if name == "EMBEDDING_LOOKUP" else 0


def _look_up_integers(
    model: Any,
    subgraph: Any,
    operator: Any,
    values: NDArray[np.float32],
    done: dict[int, int],
) -> list[Any]:
    float_table, float_rows = int(operator.inputs[0]), int(operator.outputs[0])
    scale = np.abs(values).max(keepdims=True) / np.float32(127)
    if float_table not in done:
        done[float_table] = _store(model, subgraph, float_table, values, scale, axis=0)
    table = done[float_table]
    rows = new_tensor(
        subgraph,
        subgraph.tensors[float_rows],
        f"{text(subgraph.tensors[float_rows].name)}_int8",
        schema().TensorType.INT8,
        subgraph.tensors[table].quantization,
    )
    operator.inputs = [table, *operator.inputs[1:]]
    operator.outputs = [rows]
    return [operator, new_operator(model, "DEQUANTIZE", [rows], [float_rows])]


def _expand_rows(
    model: Any,
    subgraph: Any,
    operator: Any,
    values: NDArray[np.float32],
    done: dict[int, int],
) -> list[Any]:
    float_table = int(operator.inputs[_table_place(operator_name(model, operator))])
    if -float_table - 1 in done:
        return [operator]
    scale = np.maximum(np.abs(values).max(axis=1, keepdims=True) / np.float32(127), 1e-12)
    table = _store(model, subgraph, float_table, values, scale.astype(np.float32), axis=0)
    done[-float_table - 1] = table
    subgraph.tensors[float_table].buffer = 0
    return [new_operator(model, "DEQUANTIZE", [table], [float_table]), operator]


def _store(
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
