"""4-bit weights for matrix products; everything else stored as int8, computing in float."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit._lazy import need
from edgekit.errors import ConversionError
from edgekit_converters.onnx_candidates import weights_of
from edgekit_converters.onnx_prepare import (
    add_operator_set,
    drop_unused_weights,
    fresh,
    set_nodes,
    tensor_names,
)

BLOCK_SIZE = 32
"""How many weights share a scale; small blocks cost half a bit more each, and lose much less."""
_SMALLEST = 1024
"""Smaller matrices gain less than the names of the added tensors cost."""


def store_as_int4(model: Any, *, keep_float: frozenset[str] = frozenset()) -> int:
    """Turn MatMul and Gemm by constant matrices into products with 4-bit weights; in place.

    Uses ``com.microsoft.MatMulNBits``, which ONNX Runtime has kernels for: ``y = x W`` with
    ``W = scale * (stored - 8)``, one scale for each block of 32 weights along the input axis.

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
    constants = {tensor.name: tensor for tensor in graph.initializer}
    taken = tensor_names(model)
    untouched = weights_of(model, keep_float)
    nodes: list[Any] = []
    changed = 0
    for node in graph.node:
        matrix = None if node.name in keep_float else _matrix(node, constants)
        if matrix is None or node.input[1] in untouched:
            nodes.append(node)
            continue
        rows, columns = matrix.shape
        packed, scales = _pack(matrix)
        packed_name = fresh(node.input[1] + "_int4", taken)
        scale_name = fresh(node.input[1] + "_int4_scale", taken)
        graph.initializer.append(onnx.numpy_helper.from_array(packed, packed_name))
        graph.initializer.append(onnx.numpy_helper.from_array(scales, scale_name))
        biased = node.op_type == "Gemm" and len(node.input) > 2
        product = fresh(node.output[0] + "_product", taken) if biased else node.output[0]
        nodes.append(
            onnx.helper.make_node(
                "MatMulNBits",
                [node.input[0], packed_name, scale_name],
                [product],
                name=node.name,
                domain="com.microsoft",
                K=rows,
                N=columns,
                bits=4,
                block_size=BLOCK_SIZE,
            )
        )
        if biased:
            nodes.append(
                onnx.helper.make_node(
                    "Add", [product, node.input[2]], [node.output[0]], name=node.name + "_bias"
                )
            )
        changed += 1
    if not changed:
        message = (
            "int4: this model has no matrix product with constant weights, "
            "the only thing ONNX stores in 4 bits; use dynamic (8-bit weights)"
        )
        raise ConversionError(message)
    set_nodes(graph, nodes)
    add_operator_set(model, "com.microsoft", 1)
    drop_unused_weights(model)
    return changed


def _matrix(node: Any, constants: dict[str, Any]) -> NDArray[np.float32] | None:
    """The (inputs, outputs) float matrix that `node` multiplies with, where there is one."""
    onnx = need("onnx", extra="convert")
    if node.op_type not in ("MatMul", "Gemm") or node.input[1] not in constants:
        return None
    tensor = constants[node.input[1]]
    if tensor.data_type != onnx.TensorProto.FLOAT or len(tensor.dims) != 2:
        return None
    values: NDArray[np.float32] = onnx.numpy_helper.to_array(tensor)
    if node.op_type == "Gemm":
        settings = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
        plain = settings.get("alpha", 1.0) == 1.0 and settings.get("beta", 1.0) == 1.0
        if not plain or settings.get("transA", 0):
            return None
        if settings.get("transB", 0):
            values = values.T
    return values if values.size >= _SMALLEST and np.isfinite(values).all() else None


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
    divisors = np.where(scales == 0, np.float32(1), scales)
    stored = np.clip(np.rint(grouped / divisors) + 8, 0, 15).astype(np.uint8)
    packed = stored[..., 0::2] | (stored[..., 1::2] << 4)
    return packed, scales[..., 0].astype(np.float32)
