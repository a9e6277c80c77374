"""Put right what ai-edge-quantizer 0.10 leaves wrong in the graphs it makes."""

from __future__ import annotations

from typing import Any

from edgekit_converters.tflite_graph import schema, walk

_HYBRID_VERSION = 12


def touch_up(model: Any) -> None:
    """Correct a quantized graph in place; each correction is a no-op where it is not needed."""
    _allow_any_scale(model)
    _convert_unread_parts(model)
    mark_version(model)


def mark_version(model: Any) -> None:
    """Let runtimes refuse what they would compute wrongly.

    FULLY_CONNECTED with a scale a channel and float activations is version 12 of that operator;
    tflite-runtime 2.14 computes it with the first scale alone, unless the version says so.
    """
    float32 = schema().TensorType.FLOAT32
    for subgraph, operator, name in walk(model):
        if name != "FULLY_CONNECTED":
            continue
        weights = subgraph.tensors[operator.inputs[1]]
        scales = weights.quantization.scale if weights.quantization is not None else None
        given = subgraph.tensors[operator.inputs[0]].type
        if given == float32 and scales is not None and len(scales) > 1:
            code = model.operatorCodes[operator.opcodeIndex]
            code.version = max(code.version, _HYBRID_VERSION)


def _allow_any_scale(model: Any) -> None:
    """Say of 16-bit ADD and SUB that their scales are not powers of two.

    Without, a graph whose scales happen to be powers of two is refused by the runtime.
    """
    for _, operator, _ in walk(model):
        if hasattr(operator.builtinOptions, "potScaleInt16"):
            operator.builtinOptions.potScaleInt16 = False


def _convert_unread_parts(model: Any) -> None:
    """Give the parts of a split that nothing reads the type of the others."""
    float32 = schema().TensorType.FLOAT32
    for subgraph, operator, name in walk(model):
        if name not in {"SPLIT", "SPLIT_V", "UNPACK"}:
            continue
        parts = [subgraph.tensors[index] for index in operator.outputs]
        like = next((part for part in parts if part.type != float32), None)
        for part in parts:
            if like is not None and part.type == float32:
                part.type = like.type
                part.quantization = like.quantization
