"""Move what follows a convolution into it, through the reshaping that exporters put between.

A 1-D convolution is exported as ``Conv`` on an extra axis and ``Squeeze``, and ONNX Runtime folds
a batch normalisation only into a ``Conv`` right before it. Here ``Mul`` and ``Add`` by one
constant for each channel go into weights and bias, and activations go before the reshaping, so
that the convolution's own output need not be quantized.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit._lazy import need
from edgekit_converters.onnx_edit import (
    Wiring,
    drop_unused_weights,
    fresh,
    set_nodes,
    settings,
    tensor_names,
)

_UNARY = frozenset({"Clip", "HardSigmoid", "HardSwish", "LeakyRelu", "Relu", "Sigmoid", "Tanh"})
_CHANNEL_AXIS = 1


def fold_into_convolutions(model: Any) -> None:
    """Fold until nothing changes; in place. Shapes must be inferred anew afterwards."""
    while _fold_once(model):
        pass
    drop_unused_weights(model)


def _fold_once(model: Any) -> bool:
    graph = model.graph
    wiring = Wiring(model)
    for node in graph.node:
        if node.op_type != "Conv" or node.domain or not wiring.is_constant(node.input[1]):
            continue
        if len(node.input) > 2 and not wiring.is_constant(node.input[2]):
            continue
        if len(wiring.readers[node.input[1]]) > 1:
            continue
        chain, axis, rank = _movers_after(node, wiring)
        last = (chain or [node])[-1]
        reader = wiring.only_reader(last.output[0])
        if reader is None or not chain:
            continue
        if reader.op_type in ("Add", "Mul"):
            constant = _per_channel(reader, last.output[0], wiring, axis, rank)
            if constant is not None and _merge(model, node, reader, constant, wiring):
                _bypass(graph, reader, last)
                return True
        elif reader.op_type in _UNARY and reader.input[0] == last.output[0]:
            _move_forward(model, node, reader, last)
            return True
    return False


def _movers_after(conv: Any, wiring: Wiring) -> tuple[list[Any], int, int]:
    """The reshaping after `conv`, and where it leaves the channel axis, of how many axes."""
    onnx = need("onnx", extra="convert")
    axis, rank = _CHANNEL_AXIS, len(wiring.constants[conv.input[1]].dims)
    chain: list[Any] = []
    while True:
        node = wiring.only_reader((chain or [conv])[-1].output[0])
        if node is None:
            return chain, axis, rank
        if node.op_type == "Transpose":
            axis = list(settings(node).get("perm", range(rank)[::-1])).index(axis)
        elif node.op_type == "Squeeze":
            removed = settings(node).get("axes")
            if removed is None and len(node.input) > 1 and wiring.is_constant(node.input[1]):
                removed = onnx.numpy_helper.to_array(wiring.constants[node.input[1]]).tolist()
            places = {place % rank for place in removed or ()}
            if not places or axis in places:
                return chain, axis, rank
            axis, rank = axis - sum(place < axis for place in places), rank - len(places)
        else:
            return chain, axis, rank
        chain.append(node)


def _per_channel(
    node: Any, data: str, wiring: Wiring, axis: int, rank: int
) -> NDArray[np.float32] | None:
    """The other input of `node`, if it is one number, or one for each channel."""
    onnx = need("onnx", extra="convert")
    others = [name for name in node.input if name != data]
    if len(others) != 1 or not wiring.is_constant(others[0]):
        return None
    values: NDArray[np.float32] = onnx.numpy_helper.to_array(wiring.constants[others[0]])
    shape = (1,) * (rank - values.ndim) + values.shape
    if len(shape) > rank or any(size != 1 for i, size in enumerate(shape) if i != axis):
        return None
    return values.reshape(-1)


def _merge(
    model: Any, conv: Any, reader: Any, constant: NDArray[np.float32], wiring: Wiring
) -> bool:
    onnx = need("onnx", extra="convert")
    weight = onnx.numpy_helper.to_array(wiring.constants[conv.input[1]])
    channels = weight.shape[0]
    if constant.size not in (1, channels):
        return False
    bias = np.zeros(channels, np.float32)
    if len(conv.input) > 2:
        bias = onnx.numpy_helper.to_array(wiring.constants[conv.input[2]])
    if reader.op_type == "Mul":
        weight = weight * constant.reshape(-1, *[1] * (weight.ndim - 1))
        bias = bias * constant
    else:
        bias = bias + constant
    taken = tensor_names(model)
    names = [fresh(conv.output[0] + what, taken) for what in ("/weight", "/bias")]
    for name, values in zip(names, (weight, bias), strict=True):
        model.graph.initializer.append(
            onnx.numpy_helper.from_array(values.astype(np.float32), name)
        )
    inputs = [conv.input[0], *names]
    del conv.input[:]
    conv.input.extend(inputs)
    return True


def _bypass(graph: Any, node: Any, before: Any) -> None:
    """Remove `node`; `before` gives what it gave."""
    before.output[0] = node.output[0]
    set_nodes(graph, [other for other in graph.node if other.name != node.name])


def _move_forward(model: Any, conv: Any, node: Any, last: Any) -> None:
    """Apply `node`, which follows `last`, to the output of `conv` instead."""
    taken = tensor_names(model)
    given, inner = conv.output[0], fresh(conv.output[0] + "/raw", taken)
    result = node.output[0]
    conv.output[0] = inner
    node.input[0], node.output[0] = inner, given
    last.output[0] = result
    moved = type(node).FromString(node.SerializeToString())
    nodes: list[Any] = []
    for other in model.graph.node:
        if other.name == moved.name:
            continue
        nodes.append(other)
        if other.name == conv.name:
            nodes.append(moved)
    set_nodes(model.graph, nodes)
