"""Say ``clip(x + 3, 0, 6) / 6``, which fills MobileNetV3, by the operator ONNX has for it."""

from __future__ import annotations

from typing import Any

import numpy as np

from edgekit._lazy import need
from edgekit_converters.onnx_edit import Wiring, drop_unused_weights, set_nodes

_TOLERANCE = 1e-6


def join_hard_sigmoids(model: Any) -> None:
    """Replace Add, Clip and Mul by HardSigmoid where they are one; in place.

    ``HardSigmoid(x) = clip(alpha x + beta, 0, 1)``: one pass over the tensor instead of three.
    """
    onnx = need("onnx", extra="convert")
    wiring = Wiring(model)
    replaced: dict[str, Any] = {}
    dropped: set[str] = set()
    for add in model.graph.node:
        data, shift = _with_number(add, "Add", wiring)
        clip = wiring.only_reader(add.output[0]) if shift is not None else None
        if clip is None or clip.op_type != "Clip" or clip.input[0] != add.output[0]:
            continue
        limits = [_number(name, wiring) for name in clip.input[1:]]
        mul = wiring.only_reader(clip.output[0])
        if mul is None or len(limits) != 2 or limits[0] != 0 or limits[1] is None:
            continue
        _, factor = _with_number(mul, "Mul", wiring)
        if factor is None or abs(factor * limits[1] - 1) > _TOLERANCE or shift is None:
            continue
        replaced[mul.output[0]] = onnx.helper.make_node(
            "HardSigmoid",
            [data],
            [mul.output[0]],
            name=mul.name,
            alpha=factor,
            beta=shift * factor,
        )
        dropped |= {add.output[0], clip.output[0]}
    if replaced:
        nodes = [replaced.get(node.output[0], node) for node in model.graph.node]
        set_nodes(model.graph, [node for node in nodes if node.output[0] not in dropped])
        drop_unused_weights(model)


def _with_number(node: Any, op_type: str, wiring: Wiring) -> tuple[str, float | None]:
    """The tensor and the number that `node` takes, if it is an `op_type` of such."""
    if node.op_type != op_type or node.domain:
        return "", None
    for data, other in (node.input, reversed(node.input)):
        number = _number(other, wiring)
        if number is not None and not wiring.is_constant(data):
            return data, number
    return "", None


def _number(name: str, wiring: Wiring) -> float | None:
    """The value of a float constant of one element."""
    onnx = need("onnx", extra="convert")
    if not wiring.is_constant(name):
        return None
    values = onnx.numpy_helper.to_array(wiring.constants[name])
    if values.dtype != np.float32 or values.ndim or values.size != 1:
        return None
    return float(values.item())
