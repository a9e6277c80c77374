"""Products by constant matrices, as the operators MatMul and Gemm say them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit._lazy import need
from edgekit_converters.onnx_edit import settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Product:
    """``output = input @ matrix + bias``."""

    node: Any
    """The ``onnx.NodeProto``; its first input is the input."""
    matrix: NDArray[np.float32]
    """Shape (inputs, outputs)."""
    transposed: bool
    """Whether the matrix is stored the other way round, as Gemm may."""
    bias: str
    """Name of what is added; empty without."""


def products(model: Any) -> Iterator[Product]:
    """Every MatMul and plain Gemm of the main graph with a constant float32 matrix."""
    onnx = need("onnx", extra="convert")
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    for node in model.graph.node:
        if node.domain or node.op_type not in ("MatMul", "Gemm") or node.input[1] not in constants:
            continue
        tensor = constants[node.input[1]]
        if tensor.data_type != onnx.TensorProto.FLOAT or len(tensor.dims) != 2:
            continue
        matrix: NDArray[np.float32] = onnx.numpy_helper.to_array(tensor)
        bias, transposed = "", False
        if node.op_type == "Gemm":
            given = settings(node)
            scaled = given.get("alpha", 1.0) != 1.0 or given.get("beta", 1.0) != 1.0
            if scaled or given.get("transA", 0):
                continue
            transposed = bool(given.get("transB", 0))
            matrix = matrix.T if transposed else matrix
            bias = node.input[2] if len(node.input) > 2 else ""
        if np.isfinite(matrix).all():
            yield Product(node=node, matrix=matrix, transposed=transposed, bias=bias)
