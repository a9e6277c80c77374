"""Decide for every operator of a float TFLite graph how its weights are stored.

Measured with one thread on x86-64 (`docs/quantization.md`): quantizing activations on the fly pays
when each value of the input is used often, and costs otherwise; weights that are expanded when the
file is loaded cost nothing. So a convolution computes in int8 only where that pays, and a depthwise
convolution never does.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from enum import Enum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit._lazy import need
from edgekit.recipe import Precision
from edgekit_converters.tflite_graph import constant, identifier, text, walk

WEIGHT_INPUT = {
    "CONV_2D": 1,
    "DEPTHWISE_CONV_2D": 1,
    "TRANSPOSE_CONV": 1,
    "FULLY_CONNECTED": 1,
    "BATCH_MATMUL": 1,
}
"""Operators whose weights can be stored as integers, and which of their inputs those are."""

_USES_TO_PAY = 64
_USES_TO_PAY_WINDOW = 32
"""Multiplications per input value from which int8 arithmetic makes up for quantizing it; fewer
for convolutions over more than one pixel."""
_USES_TO_PAY_ONE_ROW = 16
"""The same for a matrix times one vector, where reading the weights is what takes the time."""
_LIGHT_ELEMENTS = 2048
_LIGHT_SHARE = 0.02
"""Weights below so many elements stay float while together they are no more than this share:
they are mostly the first layers, whose errors run through all others."""
SPREAD_LIMIT = 0.02
"""Relative RMS error from which one scale for a whole tensor is too coarse."""
_SCOPE_LIMIT = 10000  # ai-edge-quantizer cuts longer scopes


class Treatment(Enum):
    """What happens to one operator."""

    FLOAT = "stays float32"
    STATIC = "integer weights and activations"
    DYNAMIC = "int8 weights, a scale a channel; activations quantized on the fly"
    DYNAMIC_ONE_SCALE = "int8 weights, one scale; activations quantized on the fly"
    DYNAMIC_4 = "int4 weights, a scale a channel; activations quantized on the fly"
    WEIGHTS_8 = "int8 weights, expanded on loading"
    WEIGHTS_4 = "int4 weights, expanded when used"


def treatments(model: Any, precision: Precision) -> dict[str, Treatment]:
    """How each operator with weights is stored in `precision` (dynamic or int4), by identifier."""
    light = _light(model)
    found = {}
    for subgraph, operator, name in walk(model):
        weights = weights_of(model, subgraph, operator, name)
        if weights is None:
            continue
        if int(subgraph.tensors[operator.inputs[WEIGHT_INPUT[name]]].buffer) in light:
            treatment = Treatment.FLOAT
        elif precision == "int4":
            treatment = _four_bits(name)
        else:
            treatment = _eight_bits(subgraph, operator, name, weights)
        found[identifier(subgraph, operator)] = treatment
    return found


def _eight_bits(subgraph: Any, operator: Any, name: str, weights: NDArray[np.float32]) -> Treatment:
    if name == "CONV_2D":
        enough = _USES_TO_PAY if weights.shape[1:3] == (1, 1) else _USES_TO_PAY_WINDOW
        if _uses(subgraph, operator, weights) >= enough:
            return Treatment.DYNAMIC
    if name == "FULLY_CONNECTED":
        rows = _size(subgraph.tensors[operator.inputs[0]]) // weights.shape[-1]
        enough = _USES_TO_PAY_ONE_ROW if rows <= 1 else _USES_TO_PAY
        # One scale: tflite-runtime 2.14 reads a scale a channel without a word, and wrongly.
        if weights.shape[0] >= enough and spread_error(weights) <= SPREAD_LIMIT:
            return Treatment.DYNAMIC_ONE_SCALE
    return Treatment.WEIGHTS_8


def _four_bits(name: str) -> Treatment:
    if name == "FULLY_CONNECTED":
        return Treatment.DYNAMIC_4
    return Treatment.WEIGHTS_4 if name == "CONV_2D" else Treatment.WEIGHTS_8


def weights_of(model: Any, subgraph: Any, operator: Any, name: str) -> NDArray[np.float32] | None:
    """The constant float weights of an operator; None when it has none that can be integers."""
    place = WEIGHT_INPUT.get(name)
    if place is None or place >= len(operator.inputs) or operator.inputs[place] < 0:
        return None
    return constant(model, subgraph.tensors[operator.inputs[place]])


def spread_error(weights: NDArray[np.float32]) -> float:
    """Relative RMS error of `weights` in int8 with one scale for all of them."""
    norm = float(np.sqrt(np.mean(np.square(weights, dtype=np.float64))))
    if not np.isfinite(norm) or norm == 0:
        return np.inf
    step = float(np.abs(weights).max()) / 127
    error = weights - np.round(weights / step) * step
    return float(np.sqrt(np.mean(np.square(error, dtype=np.float64)))) / norm


def _uses(subgraph: Any, operator: Any, weights: NDArray[np.float32]) -> float:
    taken = _size(subgraph.tensors[operator.inputs[0]])
    given = _size(subgraph.tensors[operator.outputs[0]])
    return float(given * (weights.size // weights.shape[0]) / max(taken, 1))


def _size(tensor: Any) -> int:
    return int(np.prod([int(size) for size in tensor.shape], dtype=np.int64))


def _light(model: Any) -> set[int]:
    """Buffers of the smallest weights, which together weigh next to nothing."""
    sizes: dict[int, int] = {}
    for subgraph, operator, name in walk(model):
        weights = weights_of(model, subgraph, operator, name)
        if weights is not None:
            sizes[int(subgraph.tensors[operator.inputs[WEIGHT_INPUT[name]]].buffer)] = weights.size
    allowed = _LIGHT_SHARE * sum(sizes.values())
    light: set[int] = set()
    for buffer, size in sorted(sizes.items(), key=lambda item: (item[1], item[0])):
        allowed -= size
        if size >= _LIGHT_ELEMENTS or allowed < 0:
            break
        light.add(buffer)
    return light


def configure(
    quantizer: Any, model: Any, precision: Precision, keep_float: Iterable[str]
) -> dict[str, Treatment]:
    """Tell an ai-edge-quantizer `Quantizer` what to do with each operator of `model`.

    The ends of the graph stay float.

    Returns:
        What was decided for the operators with weights, by identifier.
    """
    names = need("ai_edge_quantizer.qtyping", extra="convert").TFLOperationName
    if precision in ("int8", "int16x8"):
        bits = 16 if precision == "int16x8" else 8
        quantizer.add_static_config(".*", names.ALL_SUPPORTED, bits, 8)
        for end in (names.INPUT, names.OUTPUT):
            quantizer.update_quantization_recipe(".*", end, algorithm_key="no_quantize")
        decided = dict.fromkeys(keep_float, Treatment.FLOAT)
    else:
        decided = treatments(model, precision) | dict.fromkeys(keep_float, Treatment.FLOAT)
    for treatment in Treatment:
        wanted = {name for name, chosen in decided.items() if chosen is treatment}
        pattern = _pattern(model, wanted)
        if pattern:
            _add(quantizer, pattern, treatment)
    return decided


def _add(quantizer: Any, pattern: str, treatment: Treatment) -> None:
    types = need("ai_edge_quantizer.qtyping", extra="convert")
    everything = types.TFLOperationName.ALL_SUPPORTED
    if treatment is Treatment.FLOAT:
        quantizer.update_quantization_recipe(pattern, everything, algorithm_key="no_quantize")
    elif treatment is Treatment.DYNAMIC:
        quantizer.add_dynamic_config(pattern, everything, 8)
    elif treatment is Treatment.DYNAMIC_ONE_SCALE:
        one_scale = types.QuantGranularity.TENSORWISE
        quantizer.add_dynamic_config(pattern, everything, 8, granularity=one_scale)
    elif treatment is Treatment.DYNAMIC_4:
        quantizer.add_dynamic_config(pattern, everything, 4)
    elif treatment is Treatment.WEIGHTS_8:
        quantizer.add_weight_only_config(pattern, everything, 8)
    elif treatment is Treatment.WEIGHTS_4:
        quantizer.add_weight_only_config(pattern, everything, 4)


def _pattern(model: Any, identifiers: set[str]) -> str:
    """One regular expression for the scopes of these operators; empty when there are none."""
    found = []
    for subgraph, operator, _ in walk(model):
        if identifier(subgraph, operator) in identifiers:
            names = [text(subgraph.tensors[index].name) for index in operator.outputs if index >= 0]
            scope = "".join(f"{name};" for name in names if name)
            end = "" if len(scope) > _SCOPE_LIMIT else "$"
            found.append(re.escape(scope[:_SCOPE_LIMIT]) + end)
    return f"^(?:{'|'.join(found)})" if found else ""
