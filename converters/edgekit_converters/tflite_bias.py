"""Widen the weight range of channels whose bias would not fit its integer.

A bias is stored in steps of ``input scale * weight scale``. A near-dead channel (weights of nearly
nothing, as BatchNorm leaves them) has so small a scale that its bias overflows 32 bits, and
ai-edge-quantizer clips it without a word. Its weights hardly matter, so their scale may grow.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from edgekit_converters.tflite_calibrate import Calibration
from edgekit_converters.tflite_graph import constant, text, walk

_PLACES = {
    "CONV_2D": (0, 1, 2, 0),
    "DEPTHWISE_CONV_2D": (0, 1, 2, 3),
    "FULLY_CONNECTED": (0, 1, 2, 0),
    "TRANSPOSE_CONV": (2, 1, 3, 0),
}
"""Places of input, weights and bias among an operator's inputs, and the axis of its channels."""
_BIAS_STEPS = 2.0**28
"""The largest bias in steps; 64-bit ones, for 16-bit activations, go through 32 bits as well."""
_WEIGHT_STEPS = 127
_INPUT_STEPS: dict[Literal[8, 16], float] = {8: 255.0, 16: 32767.0}


def widened_weights(
    model: Any, ranges: Calibration, *, bits: Literal[8, 16]
) -> dict[str, dict[str, NDArray[np.float32]]]:
    """Ranges for the weights that need them, by tensor name, in ai-edge-quantizer's form."""
    widened: dict[str, NDArray[np.float32]] = {}
    for subgraph, operator, name in walk(model):
        if name not in _PLACES:
            continue
        given, weights_at, bias_at, axis = _PLACES[name]
        if bias_at >= len(operator.inputs) or operator.inputs[bias_at] < 0:
            continue
        tensor = subgraph.tensors[operator.inputs[weights_at]]
        weights = constant(model, tensor)
        bias = constant(model, subgraph.tensors[operator.inputs[bias_at]])
        known = ranges.ranges.get(text(subgraph.tensors[operator.inputs[given]].name))
        if weights is None or bias is None or known is None:
            continue
        others = tuple(i for i in range(weights.ndim) if i != axis)
        largest = np.abs(weights).max(axis=others, keepdims=True)
        least = np.abs(bias) * _WEIGHT_STEPS / (_step(known, bits) * _BIAS_STEPS)
        least = least.reshape(largest.shape).astype(np.float32)
        if (least > largest).any():
            key = text(tensor.name)
            widened[key] = np.maximum(widened.get(key, largest), np.maximum(largest, least))
    return {name: {"min": -bound, "max": bound} for name, bound in widened.items()}


def _step(known: tuple[float, float], bits: Literal[8, 16]) -> float:
    smallest, largest = min(known[0], 0.0), max(known[1], 0.0)
    span = largest - smallest if bits == 8 else max(-smallest, largest)
    return max(span, 1e-9) / _INPUT_STEPS[bits]
