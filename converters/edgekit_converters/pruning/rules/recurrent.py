"""What recurrent layers do with channels."""

from __future__ import annotations

from typing import Any

import numpy as np

from edgekit_converters.pruning.channels.graph import Numbers
from edgekit_converters.pruning.rules.dense import activate
from edgekit_converters.pruning.rules.table import class_key, rule, visit
from edgekit_converters.pruning.trace.call import Call
from edgekit_converters.pruning.trace.values import Value

_GATES = {"SimpleRNN": 1, "GRU": 3, "LSTM": 4}


@rule("SimpleRNN", "GRU", "LSTM")
def recurrent(call: Call) -> list[Value]:
    """`kernel` (in, gates * units), `recurrent_kernel` (units, gates * units)."""
    layer, given = call.layer, call.argument("sequences", 0)
    gates = _GATES[type(layer).__name__]
    call.fix_but(given, -1)
    units = call.make(layer.units, "units")
    every = np.tile(units, gates)
    steps = float(given.shape[1] or 1)
    call.weight(layer.cell.kernel, (given.numbers(-1), every), "kernel", uses=steps, makes=(1,))
    axes = (units, every)
    call.weight(layer.cell.recurrent_kernel, axes, "recurrent", uses=steps, makes=(1,))
    _bias(call, layer.cell.bias, every)
    call.config("units", numbers=units)
    activate(call, units, "activation", "recurrent_activation")
    return _outputs(call, given, units)


@rule("ConvLSTM1D", "ConvLSTM2D", "ConvLSTM3D")
def convolutional(call: Call) -> list[Value]:
    """As an LSTM, with the sides of the window in front."""
    layer, given = call.layer, call.argument("sequences", 0)
    if layer.data_format == "channels_first":
        return call.barrier("its channels come first")
    call.fix_but(given, -1)
    filters = call.make(layer.filters, "filters")
    every = np.tile(filters, 4)
    sides: list[Numbers | None] = [None] * (given.rank - 3)
    window = call.shape[2:-1] if layer.return_sequences else call.shape[1:-1]
    uses = float(np.prod([size or 1 for size in (given.shape[1], *window)]))
    last = (len(sides) + 1,)
    axes = (*sides, given.numbers(-1), every)
    call.weight(layer.cell.kernel, axes, "kernel", uses=uses, makes=last)
    axes = (*sides, filters, every)
    call.weight(layer.cell.recurrent_kernel, axes, "recurrent", uses=uses, makes=last)
    _bias(call, layer.cell.bias, every)
    call.config("filters", numbers=filters)
    activate(call, filters, "activation", "recurrent_activation")
    return _outputs(call, given, filters)


@rule("Bidirectional")
def bidirectional(call: Call) -> list[Value]:
    """Two layers of one size, behind each other or joined."""
    layer = call.layer
    inner = [layer.forward_layer, layer.backward_layer]
    if any(class_key(each) not in {*_GATES, "ConvLSTM2D"} for each in inner):
        return call.barrier("the layer in it is none that edgekit knows")
    if len(call.inputs) > 1 or layer.return_state:
        return call.barrier("its states are given or returned")
    shape = layer.forward_layer.compute_output_shape(call.value.shape)
    ways = ("layer", "backward_layer")
    parts = [
        visit(
            call.inner(
                each, (way, "config"), name=f"{call.name}/{each.name}", outputs=[tuple(shape)]
            )
        )[0]
        for each, way in zip(inner, ways, strict=True)
    ]
    forward, backward = (part.numbers(-1) for part in parts)
    call.join(forward, backward)
    if layer.merge_mode is None:
        return parts
    both = np.concatenate([forward, backward])
    made = both if layer.merge_mode == "concat" else forward
    return [parts[0].of_shape(call.shape, {-1: made})]


def _bias(call: Call, variable: Any, every: Numbers) -> None:
    """One row, or (a GRU that resets after the product) two."""
    if variable is not None:
        axes = (every,) if len(variable.shape) == 1 else (None, every)
        call.weight(variable, axes, "bias", makes=(len(axes) - 1,))


def _outputs(call: Call, given: Value, numbers: Numbers) -> list[Value]:
    """The sequence or its last step, then the states; given states are joined to them."""
    for state in [each for each in call.inputs if each is not given]:
        call.fix_but(state, -1)
        call.join(state.numbers(-1), numbers)
    kept = getattr(call.layer, "states", None)
    for variable in kept if isinstance(kept, (list, tuple)) else []:
        axes = [None] * (len(variable.shape) - 1)
        call.weight(variable, (*axes, numbers), "other")
    plain = Value.plain(given.shape, given.dtype)
    return [plain.of_shape(shape, {-1: numbers}) for shape in call.outputs]
