"""8-bit weights, float activations.

Large matrices are multiplied as integers, with activations quantized at run time
(``DynamicQuantizeLinear`` and ``MatMulInteger``): faster than float, and the weights stay small in
memory. All other weights are stored as int8 and become floats when the file is loaded, which costs
neither time nor the precision of activations. Measurements: docs/quantization-onnx.md.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit._lazy import need
from edgekit_converters.onnx_candidates import weights_of
from edgekit_converters.onnx_edit import drop_unused_weights, fresh, set_nodes, tensor_names
from edgekit_converters.onnx_matrix import Product, products
from edgekit_converters.onnx_stored import store_as_int8

WORTH_INTEGERS = 2**16
"""From so many weights on, a matrix product is faster with integers (256 x 256: by 0 to 2x)."""


def quantize_weights(model: Any, *, keep_float: frozenset[str] = frozenset()) -> None:
    """Give `model` 8-bit weights; in place.

    Args:
        model: a prepared ``onnx.ModelProto``.
        keep_float: names of operators that keep their float weights.
    """
    untouched = weights_of(model, keep_float)
    multiply_integers(model, keep=untouched)
    store_as_int8(model, keep=untouched)


def multiply_integers(model: Any, *, keep: frozenset[str] = frozenset()) -> None:
    """Multiply by large constant matrices in integers; in place.

    ``y = (scale_x * scale_w) * ((x_stored - zero_point) @ w_stored)``, one `scale_w` for each
    output, `scale_x` and `zero_point` from the smallest and largest of each input as it comes.

    Args:
        model: a prepared ``onnx.ModelProto``.
        keep: names of initializers that stay as they are.
    """
    taken = tensor_names(model)
    wanted = {
        found.node.name: found
        for found in products(model)
        if found.matrix.size >= WORTH_INTEGERS and found.node.input[1] not in keep
    }
    nodes: list[Any] = []
    stored: dict[tuple[str, bool], tuple[str, str]] = {}
    for node in model.graph.node:
        found = wanted.get(node.name)
        if found is None:
            nodes.append(node)
            continue
        key = (node.input[1], found.transposed)
        if key not in stored:  # unrolled recurrent layers use one matrix many times
            stored[key] = _store(model.graph, found.matrix, taken)
        nodes += _integer_product(found, *stored[key], taken)
    set_nodes(model.graph, nodes)
    drop_unused_weights(model)


def _store(graph: Any, matrix: NDArray[np.float32], taken: set[str]) -> tuple[str, str]:
    """Add int8 of `matrix` and the scale of each of its columns to `graph`; their names."""
    onnx = need("onnx", extra="convert")
    scale = np.abs(matrix).max(axis=0) / np.float32(127)
    scale = np.where(scale > np.finfo(np.float32).tiny, scale, 1).astype(np.float32)
    stored = np.clip(np.rint(matrix / scale), -127, 127).astype(np.int8)
    names = (fresh("w", taken), fresh("s", taken))
    for name, values in zip(names, (np.ascontiguousarray(stored), scale), strict=True):
        graph.initializer.append(onnx.numpy_helper.from_array(values, name))
    return names


def _integer_product(product: Product, weight: str, factor: str, taken: set[str]) -> list[Any]:
    onnx = need("onnx", extra="convert")
    node, result = product.node, product.node.output[0]
    x, x_scale, x_zero, total, floats, both = (fresh("t", taken) for _ in range(6))
    scaled = fresh("t", taken) if product.bias else result
    make = onnx.helper.make_node
    nodes = [
        make("DynamicQuantizeLinear", [node.input[0]], [x, x_scale, x_zero]),
        make("MatMulInteger", [x, weight, x_zero], [total], name=node.name),
        make("Cast", [total], [floats], to=onnx.TensorProto.FLOAT),
        make("Mul", [x_scale, factor], [both]),
        make("Mul", [floats, both], [scaled]),
    ]
    if product.bias:
        nodes.append(make("Add", [scaled, product.bias], [result]))
    return nodes
