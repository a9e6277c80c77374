"""4-bit weights for matrix products; everything else stored as int8, computing in float."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit._lazy import need
from edgekit.errors import ConversionError
from edgekit_converters.onnx_candidates import weights_of
from edgekit_converters.onnx_dynamic import WORTH_INTEGERS
from edgekit_converters.onnx_edit import (
    add_operator_set,
    drop_unused_weights,
    fresh,
    set_nodes,
    tensor_names,
)
from edgekit_converters.onnx_matrix import products

BLOCK_SIZE = 32
"""How many weights share a scale; small blocks cost half a bit more each, and lose much less."""
SMALLEST = 1024
"""Smaller matrices gain less than the names of the added tensors cost."""


def store_as_int4(model: Any, *, keep_float: frozenset[str] = frozenset()) -> int:
    """Turn MatMul and Gemm by constant matrices into products with 4-bit weights; in place.

    Uses ``com.microsoft.MatMulNBits``, which ONNX Runtime has kernels for: ``y = x W`` with
    ``W = scale * (stored - 8)``, one scale for each block of 32 weights along the input axis.
    Large matrices are multiplied in integers (``accuracy_level`` 4), which is about twice as fast.

    Args:
        model: an ``onnx.ModelProto``.
        keep_float: names of operators that stay as they are.

    Returns:
        How many operators were changed.

    Raises:
        ConversionError: the model has no matrix product with constant weights.
    """
    onnx = need("onnx", extra="convert")
    graph = model.graph
    taken = tensor_names(model)
    untouched = weights_of(model, keep_float)
    wanted = {
        found.node.name: found
        for found in products(model)
        if found.matrix.size >= SMALLEST and found.node.input[1] not in untouched
    }
    nodes: list[Any] = []
    packed: dict[tuple[str, bool], tuple[str, str]] = {}
    for node in graph.node:
        found = wanted.get(node.name)
        if found is None:
            nodes.append(node)
            continue
        rows, columns = found.matrix.shape
        key = (node.input[1], found.transposed)
        if key not in packed:  # unrolled recurrent layers use one matrix many times
            packed[key] = (fresh("w", taken), fresh("s", taken))
            for name, values in zip(packed[key], _pack(found.matrix), strict=True):
                graph.initializer.append(onnx.numpy_helper.from_array(values, name))
        product = fresh("p", taken) if found.bias else node.output[0]
        nodes.append(
            onnx.helper.make_node(
                "MatMulNBits",
                [node.input[0], *packed[key]],
                [product],
                name=node.name,
                domain="com.microsoft",
                K=rows,
                N=columns,
                bits=4,
                block_size=BLOCK_SIZE,
                accuracy_level=4 if found.matrix.size >= WORTH_INTEGERS else 0,
            )
        )
        if found.bias:
            nodes.append(onnx.helper.make_node("Add", [product, found.bias], [node.output[0]]))
    if not wanted and not untouched:
        message = (
            f"int4: this model has no matrix product with {SMALLEST} or more constant weights, "
            "the only thing ONNX stores in 4 bits; use dynamic (8-bit weights)"
        )
        raise ConversionError(message)
    set_nodes(graph, nodes)
    add_operator_set(model, "com.microsoft", 1)
    drop_unused_weights(model)
    return len(wanted)


def _pack(matrix: NDArray[np.float32]) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Blocks of 4-bit weights, two in a byte, low half first, and one scale a block.

    Returns:
        stored: uint8 of shape (outputs, blocks, BLOCK_SIZE / 2).
        scales: float32 of shape (outputs, blocks).
    """
    rows, columns = matrix.shape
    blocks = -(-rows // BLOCK_SIZE)
    padded = np.zeros((columns, blocks * BLOCK_SIZE), np.float32)
    padded[:, :rows] = matrix.T
    grouped = padded.reshape(columns, blocks, BLOCK_SIZE)
    # The value that is largest in magnitude becomes -8: all sixteen steps are used.
    index = np.abs(grouped).argmax(axis=2, keepdims=True)
    scales = np.take_along_axis(grouped, index, axis=2) / np.float32(-8)
    scales = _best(grouped, np.where(scales == 0, np.float32(1), scales))
    stored = np.clip(np.rint(grouped / scales) + 8, 0, 15).astype(np.uint8)
    return stored[..., 0::2] | (stored[..., 1::2] << 4), scales[..., 0].astype(np.float32)


def _best(grouped: NDArray[Any], scales: NDArray[Any]) -> NDArray[Any]:
    """Of a few scales near `scales`, for each block the one that loses least."""
    best: NDArray[Any] = scales
    least: NDArray[Any] = np.full(scales.shape, np.inf)
    for factor in (1.0, 0.95, 0.9, 0.85, 0.8, 1.05):
        tried = (scales * np.float32(factor)).astype(np.float32)
        back = np.clip(np.rint(grouped / tried), -8, 7) * tried
        error = np.square(grouped - back).sum(axis=2, keepdims=True)
        best = np.where(error < least, tried, best).astype(np.float32)
        least = np.minimum(error, least)
    return best
