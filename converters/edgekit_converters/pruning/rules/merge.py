"""What layers do with channels that take several tensors."""

from __future__ import annotations

import numpy as np

from edgekit_converters.pruning.channels.graph import Numbers
from edgekit_converters.pruning.rules.table import rule
from edgekit_converters.pruning.trace.call import Call
from edgekit_converters.pruning.trace.values import Value


def broadcast(call: Call, values: list[Value], *, batch_first: bool) -> Value:
    """Joins the channels of tensors that are combined number by number.

    Axes of 1 fit all; missing ones are put in front, or, with `batch_first`, behind the batch.
    """
    shape, rank = call.shape, len(call.shape)
    found: dict[int, Numbers | None] = {}
    for axis in range(rank):
        parts = []
        for value in values:
            at = axis - (rank - value.rank)
            if at < 0 or (batch_first and at == 0 and axis > 0):
                continue
            if value.shape[at] == 1 != shape[axis]:
                call.fix(value.axes[at], f"{call.name!r} spreads it over all channels of another")
            else:
                parts.append((value, at))
        if any(value.axes[at] is not None for value, at in parts):
            numbers = [value.numbers(at) for value, at in parts]
            for other in numbers[1:]:
                call.join(numbers[0], other)
            found[axis] = next((each for each in numbers if each.any()), None)
    return values[0].of_shape(shape, found)


@rule("Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum")
def merge(call: Call) -> Value:
    """Number by number."""
    return broadcast(call, call.inputs, batch_first=True)


def concatenate_along(call: Call, values: list[Value], axis: int) -> Value:
    """Joins all axes but the one along which tensors are put one behind the other."""
    rank = call.value.rank
    found: dict[int, Numbers | None] = {}
    for at in range(rank):
        if all(value.axes[at] is None for value in values):
            continue
        if at == axis % rank:
            found[at] = np.concatenate([value.numbers(at) for value in values])
            continue
        numbers = [value.numbers(at) for value in values]
        for other in numbers[1:]:
            call.join(numbers[0], other)
        found[at] = next((each for each in numbers if each.any()), None)
    return call.value.of_shape(call.shape, found)


@rule("Concatenate")
def concatenate(call: Call) -> Value:
    """One behind the other."""
    return concatenate_along(call, call.inputs, call.layer.axis)


@rule("Dot")
def dot(call: Call) -> Value:
    """A sum over one axis of both; the other axes stay as they are."""
    one, other = call.inputs
    axes = call.layer.axes
    first, second = (axes, axes) if isinstance(axes, int) else axes
    if call.layer.normalize or one.rank != 2 or other.rank != 2:
        return call.barrier("a product of tensors")[0]
    numbers = [value.axes[axis] for value, axis in ((one, first), (other, second))]
    if any(each is not None for each in numbers):
        call.join(one.numbers(first), other.numbers(second))
    call.multiply([one.numbers(first)], 1)
    return Value.plain(call.shape, one.dtype)
