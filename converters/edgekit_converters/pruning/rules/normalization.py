"""What normalisations do with channels.

Layer and group normalisation take their mean and variance over channels. Without some channels
these are the statistics of those that stay: the cut model then is not the original with zeros in
it, but it is what fine-tuning begins with.
"""

from __future__ import annotations

from edgekit_converters.pruning.rules.convolution import alike
from edgekit_converters.pruning.rules.elementwise import passing
from edgekit_converters.pruning.rules.table import rule
from edgekit_converters.pruning.trace.call import Call
from edgekit_converters.pruning.trace.values import Value


@rule("BatchNormalization")
def batch_normalization(call: Call) -> Value:
    """Four numbers a channel."""
    layer, numbers = call.layer, (call.value.axes[call.layer.axis],)
    call.weight(layer.gamma, numbers, "scale")
    call.weight(layer.beta, numbers, "offset")
    call.weight(layer.moving_mean, numbers, "statistic")
    call.weight(layer.moving_variance, numbers, "statistic")
    return passing(call)


@rule("LayerNormalization", "RMSNormalization")
def layer_normalization(call: Call) -> Value:
    """`gamma` and `beta` have the shape of the normalised axes."""
    layer = call.layer
    axes = layer.axis if isinstance(layer.axis, (list, tuple)) else [layer.axis]
    numbers = [call.value.axes[axis] for axis in axes]
    for name, role in (("gamma", "scale"), ("scale", "scale"), ("beta", "offset")):
        variable = getattr(layer, name, None)
        if hasattr(variable, "path"):
            call.weight(variable, numbers, "scale" if role == "scale" else "offset")
    return passing(call)


@rule("GroupNormalization")
def group_normalization(call: Call) -> Value:
    """As many channels from each group; with one channel a group, each by itself."""
    layer, numbers = call.layer, call.value.axes[call.layer.axis]
    if numbers is not None:
        if layer.groups in {-1, len(numbers)}:
            if layer.get_config()["groups"] != -1:
                call.config("groups", numbers=numbers)
        else:
            alike(call, numbers, layer.groups)
    call.weight(layer.gamma, (numbers,), "scale")
    call.weight(layer.beta, (numbers,), "offset")
    return passing(call)
