"""Weights stored as 8-bit integers that become floats again when the runtime loads the file."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit._lazy import need
from edgekit_converters.onnx_edit import fresh, graphs, set_nodes, settings, tensor_names

_OVERHEAD_BYTES = 160
"""About what the two added operators and their names cost in the file."""
_LARGEST_SHARE = 0.45
"""Integers and scales together may take at most this share of the float bytes."""
_OUTPUT_AXES = {
    "Conv": (0,),
    "ConvTranspose": (1,),
    "Gemm": (1,),
    "LSTM": (0, 1),
    "GRU": (0, 1),
    "RNN": (0, 1),
}
_RECURRENT = ("LSTM", "GRU", "RNN")
_RECURRENT_BIAS = 3


def store_as_int8(model: Any, *, keep: frozenset[str] = frozenset()) -> None:
    """Store every float32 weight of `model` that gains by it as int8; in place.

    ``real = scale * stored``, with one scale for each output channel, or for each slice
    along the axis that loses least where outputs are not known.

    Args:
        model: an ``onnx.ModelProto``.
        keep: names of initializers that stay as they are.
    """
    onnx = need("onnx", extra="convert")
    taken = tensor_names(model)
    kept = keep | frozenset(_biases(model))
    channels = _channels(model)
    for graph in graphs(model.graph):
        added: list[Any] = []
        scales: list[Any] = []
        for tensor in list(graph.initializer):
            if tensor.data_type != onnx.TensorProto.FLOAT or tensor.name in kept:
                continue
            found = quantize_weight(onnx.numpy_helper.to_array(tensor), channels.get(tensor.name))
            if found is None:
                continue
            stored, scale = found
            name = fresh("w", taken)
            factor = fresh("s", taken)
            float_name = fresh("f", taken)
            added += [
                onnx.helper.make_node("Cast", [name], [float_name], to=onnx.TensorProto.FLOAT),
                onnx.helper.make_node("Mul", [float_name, factor], [tensor.name]),
            ]
            scales.append(onnx.numpy_helper.from_array(scale, factor))
            tensor.CopyFrom(onnx.numpy_helper.from_array(stored, name))
        graph.initializer.extend(scales)
        set_nodes(graph, [*added, *graph.node])


def quantize_weight(
    values: NDArray[Any], kept: tuple[int, ...] | None = None
) -> tuple[NDArray[np.int8], NDArray[np.float32]] | None:
    """Symmetric int8 of `values`, and scales that broadcast against it; None where nothing is won.

    Args:
        values: float32, any shape. Vectors are left alone: they are biases, and small.
        kept: axes along which scales differ; without it, the one axis that loses least.
    """
    if sum(size > 1 for size in values.shape) < 2 or not np.isfinite(values).all():
        return None
    candidates: list[tuple[float, int, NDArray[np.int8], NDArray[np.float32]]] = []
    for axes in [kept] if kept is not None else [(axis,) for axis in range(values.ndim)]:
        others = tuple(axis for axis in range(values.ndim) if axis not in axes)
        scale = np.abs(values).max(axis=others, keepdims=True) / np.float32(127)
        if values.size + 4 * scale.size > _LARGEST_SHARE * values.nbytes:
            continue
        if 3 * values.size - 4 * scale.size <= _OVERHEAD_BYTES:
            continue
        scale = np.where(scale > np.finfo(np.float32).tiny, scale, 1).astype(np.float32)
        stored = np.clip(np.rint(values / scale), -127, 127).astype(np.int8)
        error = float(np.square(values - stored * scale, dtype=np.float64).sum())
        candidates.append((error, len(candidates), stored, scale))
    if not candidates:
        return None
    _, _, stored, scale = min(candidates, key=lambda found: found[:2])
    return stored, scale


def _channels(model: Any) -> dict[str, tuple[int, ...]]:
    """The axes of each weight that index outputs: one scale for each output loses least."""
    found: dict[str, tuple[int, ...]] = {}
    for node in chain.from_iterable(graph.node for graph in graphs(model.graph)):
        if node.domain or len(node.input) < 2:
            continue
        if node.op_type == "Gather":
            found.setdefault(node.input[0], (0,))
        elif node.op_type in _OUTPUT_AXES:
            axes = _OUTPUT_AXES[node.op_type]
            if node.op_type == "Gemm" and settings(node).get("transB", 0):
                axes = (0,)
            for name in node.input[1:_RECURRENT_BIAS]:
                found.setdefault(name, axes)
    return found


def _biases(model: Any) -> Iterator[str]:
    """Vectors that recurrent operators take as matrices, one row for each direction."""
    for node in chain.from_iterable(graph.node for graph in graphs(model.graph)):
        if node.op_type in _RECURRENT:
            yield from node.input[_RECURRENT_BIAS:]
