"""Find the masks of attention layers, which would swallow the integer range of what they mask."""

from __future__ import annotations

from typing import Any

from edgekit_converters.tflite_calibrate import Calibration
from edgekit_converters.tflite_graph import constant, identifier, text, walk

_MASK = -1e4
_DOMINANCE = 1000


def masking_operators(model: Any, ranges: Calibration) -> dict[str, str]:
    """Operators that read or make scores masked by huge negative numbers, up to the softmax.

    One scale for scores of a few units and a mask of -1e9 leaves nothing of the scores.

    Returns:
        Why each should stay in float, by identifier.
    """
    found: dict[str, str] = {}
    masked_softmax = False
    for subgraph, operator, name in walk(model):
        lows = [
            low
            for index in [*operator.inputs, *operator.outputs]
            if index >= 0
            for low in [_mask_value(model, subgraph.tensors[index], ranges)]
            if low is not None
        ]
        if lows:
            found[identifier(subgraph, operator)] = (
                f"a mask of {min(lows):.2g} would take the whole integer range"
            )
            masked_softmax |= name == "SOFTMAX"
    return found if masked_softmax else {}


def _mask_value(model: Any, tensor: Any, ranges: Calibration) -> float | None:
    known = ranges.ranges.get(text(tensor.name))
    if known is None:
        values = constant(model, tensor)
        if values is None or not values.size:
            return None
        known = (float(values.min()), float(values.max()))
    lowest, highest = known
    return lowest if lowest <= _MASK and highest < -lowest / _DOMINANCE else None
