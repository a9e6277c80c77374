"""What layers do with channels that take each number by itself, or each channel by itself."""

from __future__ import annotations

from edgekit_converters.pruning.rules.dense import activate, elementwise
from edgekit_converters.pruning.rules.table import rule
from edgekit_converters.pruning.trace.call import Call
from edgekit_converters.pruning.trace.values import Value


@rule("GaussianNoise", "GaussianDropout", "SpatialDropout1D", "SpatialDropout2D")
@rule("SpatialDropout3D", "Identity", "InputLayer", "ReLU", "LeakyReLU", "ELU")
@rule("ThresholdedReLU", "ActivityRegularization")  # the former in old .h5 files
def passing(call: Call) -> Value:
    """Each number by itself."""
    return call.value.of_shape(call.shape, dict(enumerate(call.value.axes)))


@rule("Dropout", "AlphaDropout")
def dropout(call: Call) -> Value:
    """Each number by itself; `noise_shape` counts the positions that are drawn one by one."""
    for numbers, drawn in zip(call.value.axes, call.layer.noise_shape or (), strict=False):
        if drawn not in {None, 1}:
            call.fix(numbers, f"the noise_shape of {call.name!r} counts them")
    return passing(call)


@rule("Activation")
def activation(call: Call) -> Value:
    """Each number by itself, or (softmax) all channels at once."""
    if not elementwise(call.layer.activation):
        for axis in call.value.labelled:
            activate(call, call.value.numbers(axis))
    return passing(call)


@rule("Softmax")
def softmax(call: Call) -> Value:
    """All positions of its axes at once; the others each by itself."""
    axes = call.layer.axis
    for axis in axes if isinstance(axes, (list, tuple)) else [axes]:
        call.fix(call.value.axes[axis], f"the softmax {call.name!r} takes them all at once")
    return passing(call)


@rule("Rescaling")
def rescaling(call: Call) -> Value:
    """One number for all, or one for each channel, which then stays."""
    scale, offset = call.layer.scale, call.layer.offset
    if any(not isinstance(each, (int, float)) for each in (scale, offset)):
        return call.barrier("it has one scale for each channel")[0]
    return passing(call)


@rule("PReLU")
def prelu(call: Call) -> Value:
    """`alpha` has the input's shape, or 1 along shared axes."""
    layer, given = call.layer, call.value
    axes = [
        given.axes[at + 1] if size == given.shape[at + 1] else None
        for at, size in enumerate(layer.alpha.shape)
    ]
    call.weight(layer.alpha, axes, "other")
    return passing(call)


@rule("MaxPooling1D", "MaxPooling2D", "MaxPooling3D")
@rule("AveragePooling1D", "AveragePooling2D", "AveragePooling3D")
@rule("AdaptiveAveragePooling1D", "AdaptiveAveragePooling2D", "AdaptiveAveragePooling3D")
@rule("AdaptiveMaxPooling1D", "AdaptiveMaxPooling2D", "AdaptiveMaxPooling3D")
@rule("UpSampling1D", "UpSampling2D", "UpSampling3D", "Cropping1D", "Cropping2D", "Cropping3D")
@rule("ZeroPadding1D", "ZeroPadding2D", "ZeroPadding3D", "Resizing", "CenterCrop")
def windows(call: Call) -> Value:
    """Each channel by itself; some of one dimension know no `data_format`."""
    call.fix_but(call.value, call.channel_axis)
    return call.value.of_shape(call.shape, {call.channel_axis: call.value.axes[call.channel_axis]})


@rule("GlobalAveragePooling1D", "GlobalAveragePooling2D", "GlobalAveragePooling3D")
@rule("GlobalMaxPooling1D", "GlobalMaxPooling2D", "GlobalMaxPooling3D")
def global_pooling(call: Call) -> Value:
    """One number a channel, with axes of 1 beside it if so wanted."""
    call.fix_but(call.value, call.channel_axis)
    axis = call.channel_axis if call.layer.keepdims else -1
    return call.value.of_shape(call.shape, {axis: call.value.axes[call.channel_axis]})


@rule("Masking")
def masking(call: Call) -> Value:
    """Leaves out steps whose features all have one value."""
    call.fix(call.value.axes[-1], f"{call.name!r} looks at all of them to leave out steps")
    return passing(call)


@rule("UnitNormalization")
def unit_normalization(call: Call) -> Value:
    """Divides by the length of the vector."""
    for axis in call.value.labelled:
        call.fix(call.value.axes[axis], f"{call.name!r} divides by the length of them all")
    return passing(call)
