"""The operators of a model that quantization can change, and what was left alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from edgekit._lazy import need
from edgekit_converters.onnx_plan import JOINTS, PRODUCTS

_WEIGHTY_BYTES = 400
"""Operators with smaller weights are stored as they are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One operator that can be quantized, or left in float by its name."""

    identifier: str
    """The name of its node in the prepared graph; the same each time the file is read."""
    operator: str
    """Its ONNX operator, such as ``Conv``."""
    weight_bytes: int
    """Size of its constant float32 inputs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftInFloat:
    """One operator that still computes in float in a quantized file, and why."""

    identifier: str
    operator: str
    reason: str


def candidates(model: Any) -> tuple[Candidate, ...]:
    """Operators of the main graph that compress or compute on integers, in execution order."""
    sizes = float_weight_bytes(model)
    found = (
        Candidate(
            identifier=node.name,
            operator=node.op_type,
            weight_bytes=sum(sizes.get(name, 0) for name in node.input),
        )
        for node in model.graph.node
    )
    return tuple(
        one
        for one in found
        if one.operator in PRODUCTS | JOINTS or one.weight_bytes >= _WEIGHTY_BYTES
    )


def float_weight_bytes(model: Any) -> dict[str, int]:
    """Bytes of each float32 initializer of the main graph."""
    onnx = need("onnx", extra="convert")
    return {
        tensor.name: 4 * _count(tensor.dims)
        for tensor in model.graph.initializer
        if tensor.data_type == onnx.TensorProto.FLOAT
    }


def weights_of(model: Any, names: frozenset[str]) -> frozenset[str]:
    """The initializers that the operators called `names` read."""
    known = {tensor.name for tensor in model.graph.initializer}
    return frozenset(
        value
        for node in model.graph.node
        if node.name in names
        for value in node.input
        if value in known
    )


def _count(dims: Any) -> int:
    total = 1
    for size in dims:
        total *= size
    return total
