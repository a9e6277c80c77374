"""What convolutions do with channels."""

from __future__ import annotations

import numpy as np

from edgekit_converters.pruning.channels.graph import Numbers
from edgekit_converters.pruning.rules.dense import activate
from edgekit_converters.pruning.rules.table import rule
from edgekit_converters.pruning.trace.call import Call
from edgekit_converters.pruning.trace.values import Value, positions


def alike(call: Call, numbers: Numbers, groups: int) -> Numbers:
    """Joins the first channels of all groups, the second ones, and so on; returns those of one."""
    rows: Numbers = numbers.reshape(groups, -1)
    for row in rows[1:]:
        call.join(rows[0], row)
    first: Numbers = rows[0]
    return first


def _window(call: Call, value: Value) -> list[int | None]:
    """Sizes of the axes that are neither batch nor channels."""
    channel = call.channel_axis % value.rank
    return [size for axis, size in enumerate(value.shape) if axis not in {0, channel}]


@rule("Conv1D", "Conv2D", "Conv3D")
def convolution(call: Call) -> Value:
    """`kernel` is stored (..., in / groups, filters)."""
    layer, given, axis = call.layer, call.value, call.channel_axis
    call.fix_but(given, axis)
    filters = call.make(layer.filters, "filters")
    taken = given.numbers(axis)
    if layer.groups > 1:
        taken = alike(call, taken, layer.groups)
        alike(call, filters, layer.groups)
    sides: list[Numbers | None] = [None] * len(layer.kernel_size)
    uses = positions(_window(call, given.of_shape(call.shape, {})))
    axes = (*sides, taken, filters)
    call.weight(layer.kernel, axes, "kernel", uses=uses, makes=(len(sides) + 1,))
    call.weight(layer.bias, (filters,), "bias", makes=(0,))
    call.config("filters", numbers=filters)
    activate(call, filters)
    return given.of_shape(call.shape, {axis: filters})


@rule("Conv1DTranspose", "Conv2DTranspose", "Conv3DTranspose")
def transposed(call: Call) -> Value:
    """`kernel` is stored (..., filters, in)."""
    layer, given, axis = call.layer, call.value, call.channel_axis
    call.fix_but(given, axis)
    filters = call.make(layer.filters, "filters")
    sides: list[Numbers | None] = [None] * len(layer.kernel_size)
    axes = (*sides, filters, given.numbers(axis))
    uses = positions(_window(call, given))
    call.weight(layer.kernel, axes, "kernel", uses=uses, makes=(len(sides),))
    call.weight(layer.bias, (filters,), "bias", makes=(0,))
    call.config("filters", numbers=filters)
    activate(call, filters)
    return given.of_shape(call.shape, {axis: filters})


@rule("DepthwiseConv1D", "DepthwiseConv2D")
def depthwise(call: Call) -> Value:
    """`kernel` is stored (..., in, multiplier); the channels are those of the input."""
    layer, given, axis = call.layer, call.value, call.channel_axis
    call.fix_but(given, axis)
    taken = given.numbers(axis)
    made = np.repeat(taken, layer.depth_multiplier)
    sides: list[Numbers | None] = [None] * len(layer.kernel_size)
    uses = positions(_window(call, given.of_shape(call.shape, {})))
    call.weight(layer.kernel, (*sides, taken, None), "depthwise", uses=uses, makes=(len(sides),))
    call.weight(layer.bias, (made,), "bias", makes=(0,))
    activate(call, made)
    return given.of_shape(call.shape, {axis: made})


@rule("SeparableConv1D", "SeparableConv2D")
def separable(call: Call) -> Value:
    """A depthwise kernel, and a pointwise one (1, ..., in * multiplier, filters)."""
    layer, given, axis = call.layer, call.value, call.channel_axis
    call.fix_but(given, axis)
    taken = given.numbers(axis)
    filters = call.make(layer.filters, "filters")
    sides: list[Numbers | None] = [None] * len(layer.kernel_size)
    uses = positions(_window(call, given.of_shape(call.shape, {})))
    axes = (*sides, taken, None)
    call.weight(layer.depthwise_kernel, axes, "depthwise", uses=uses, makes=(len(sides),))
    between = np.repeat(taken, layer.depth_multiplier)
    axes = (*sides, between, filters)
    call.weight(layer.pointwise_kernel, axes, "kernel", uses=uses, makes=(len(sides) + 1,))
    call.weight(layer.bias, (filters,), "bias", makes=(0,))
    call.config("filters", numbers=filters)
    activate(call, filters)
    return given.of_shape(call.shape, {axis: filters})
