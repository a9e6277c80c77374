"""What layers around another layer do with channels."""

from __future__ import annotations

from edgekit_converters.pruning.rules.table import rule, visit
from edgekit_converters.pruning.trace.call import Call
from edgekit_converters.pruning.trace.values import Value


@rule("TimeDistributed")
def time_distributed(call: Call) -> list[Value]:
    """The layer in it sees each step of axis 1 as a sample of its own."""
    if len(call.inputs) != 1 or len(call.outputs) != 1:
        return call.barrier("it takes several tensors")
    given, layer = call.value, call.layer.layer
    call.fix(given.axes[1], f"{call.name!r} takes them step by step")
    step = Value.plain((given.shape[0], *given.shape[2:]), given.dtype)
    step = step.of_shape(step.shape, {at - 1: given.axes[at] for at in range(2, given.rank)})
    inside = call.inner(
        layer,
        ("layer", "config"),
        name=f"{call.name}/{layer.name}",
        inputs=[step],
        outputs=[(call.shape[0], *call.shape[2:])],
        args=(step,),
        kwargs={},
        times=call.times * float(given.shape[1] or 1),
    )
    made = visit(inside)[0]
    return [made.of_shape(call.shape, {at + 1: made.axes[at] for at in range(1, made.rank)})]
