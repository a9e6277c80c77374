"""Find the operators of a graph that are slower in int8 than in float32, casts included.

LiteRT has fast float32 kernels for all of them, and computes their int8 forms one number at a time:
a MobileNetV3 in int8 throughout takes three times as long as in float32, and half as long when its
activations stay float32 (`docs/quantization.md`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from edgekit_converters.tflite_graph import constant, identifier, schema, walk

_SLOW = frozenset(
    {
        "ABS",
        "BATCH_MATMUL",
        "DIV",
        "HARD_SWISH",
        "L2_NORMALIZATION",
        "PRELU",
        "RELU",
        "RELU6",
        "RSQRT",
        "SQRT",
        "SQUARED_DIFFERENCE",
    }
)
_FLOAT_ONLY = frozenset(
    {"COS", "EXP", "FLOOR", "FLOOR_DIV", "LOG", "MINIMUM", "NEG", "POW", "SIN", "SQUARE"}
)
_CHEAP = frozenset({"ADD", "MAXIMUM", "MEAN", "MUL", "RESHAPE", "SOFTMAX", "SUB", "SUM"})
SLOW_REASON = "faster in float32 (--io int8 or uint8 makes all of them int8)"
BETWEEN_REASON = "stands between operators in float32"


def slow_in_integers(model: Any, floats: Iterable[str]) -> dict[str, str]:
    """Operators to leave in float for speed, with the reason, by identifier.

    Cheap operators between them stay float too, where that saves a cast.

    Args:
        model: A float graph with one subgraph.
        floats: Identifiers of operators that stay float for other reasons.
    """
    kinds = {identifier(subgraph, operator): name for subgraph, operator, name in walk(model)}
    neighbours = _neighbours(model)
    fixed = set(floats) | {one for one, kind in kinds.items() if kind in _FLOAT_ONLY}
    found = {o: SLOW_REASON for o, kind in kinds.items() if kind in _SLOW and o not in fixed}
    candidates = {one for one, kind in kinds.items() if kind in _CHEAP} - fixed
    while True:
        joining = {
            one
            for one in candidates
            if 0
            < len(neighbours[one])
            <= 2 * sum(n in fixed or n in found for n in neighbours[one])
        }
        if not joining:
            return {one: found[one] for one in kinds if one in found}
        found |= dict.fromkeys(joining, BETWEEN_REASON)
        candidates -= joining


def _neighbours(model: Any) -> dict[str, list[str]]:
    """By identifier: who makes the float inputs and who reads the outputs; "" is the caller."""
    float32 = schema().TensorType.FLOAT32
    subgraph = model.subgraphs[0]
    makers = {
        int(index): identifier(subgraph, operator)
        for operator in subgraph.operators
        for index in operator.outputs
    }
    found: dict[str, list[str]] = defaultdict(list)
    for operator in subgraph.operators:
        name = identifier(subgraph, operator)
        for index in operator.inputs:
            tensor = subgraph.tensors[index] if index >= 0 else None
            if tensor is None or tensor.type != float32 or constant(model, tensor) is not None:
                continue
            maker = makers.get(int(index), "")
            found[name].append(maker)
            if maker:
                found[maker].append(name)
    return found
