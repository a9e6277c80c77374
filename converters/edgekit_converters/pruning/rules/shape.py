"""What layers do with channels that only move numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from edgekit_converters.pruning.channels.graph import Numbers
from edgekit_converters.pruning.rules.table import rule
from edgekit_converters.pruning.trace.call import Call
from edgekit_converters.pruning.trace.values import Value


def reshaped(call: Call, entry: Sequence[int | None], first: int, key: str) -> Value:
    """Follows channels through a change of shape.

    Args:
        call: of the layer.
        entry: the wanted sizes as the config has them, -1 for what follows from the others.
        first: the output's axis that `entry` begins with.
        key: the config entry.
    """
    given, sizes = call.value, [size for size in call.shape[1:] if size is not None]
    if not given.labelled:
        return Value.plain(call.shape, given.dtype)
    known = [size for size in given.shape[1:] if size is not None]
    whole = len(known) == given.rank - 1 and len(sizes) == len(call.shape) - 1
    if not whole or math.prod(known) != math.prod(sizes) or given.axes[0] is not None:
        return call.barrier("it moves numbers between axes of unknown size")[0]
    axis = given.labelled[-1]
    call.fix_but(given, *([axis] if sizes else []))
    if not sizes:
        return Value.plain(call.shape, given.dtype)
    spread = [1] * (given.rank - 1)
    spread[axis - 1] = -1
    grid = np.broadcast_to(given.numbers(axis).reshape(spread), known).reshape(sizes)
    at = _axis_of(grid)
    numbers: Numbers = _first_along(grid, at)
    rest = np.moveaxis(grid, at, 0).reshape(len(numbers), -1)
    for other in np.unique(rest, axis=1).T if len(numbers) * rest.shape[1] else ():
        call.join(numbers, np.ascontiguousarray(other))
    place = at + 1 - first
    if place < len(entry) and entry[place] not in {-1, None}:
        call.config(key, place, numbers=numbers)
    return given.of_shape(call.shape, {at + 1: numbers})


def _first_along(grid: Numbers, axis: int) -> Numbers:
    return np.ascontiguousarray(np.moveaxis(grid, axis, 0).reshape(grid.shape[axis], -1)[:, 0])


def _axis_of(grid: Numbers) -> int:
    """The axis that tells which channel it is; the last long one if it takes several to tell."""
    long = [axis for axis, size in enumerate(grid.shape) if size > 1]
    for axis in reversed(long):
        lined = np.moveaxis(grid, axis, 0).reshape(grid.shape[axis], -1)
        if (lined == lined[:, :1]).all():
            return axis
    return long[-1] if long else grid.ndim - 1


@rule("Flatten")
def flatten(call: Call) -> Value:
    """All axes but the batch become one; channels that come first are put last before that."""
    given = call.value
    if call.channel_axis == 1 and given.rank > 2:
        order = [0, *range(2, given.rank), 1]
        moved = {to: given.axes[source] for to, source in enumerate(order)}
        given = given.of_shape([given.shape[source] for source in order], moved)
    return reshaped(call.inner(call.layer, (), inputs=[given]), (), 1, "")


@rule("Reshape")
def reshape(call: Call) -> Value:
    """`target_shape` does not count the batch."""
    return reshaped(call, call.layer.target_shape, 1, "target_shape")


@rule("Permute")
def permute(call: Call) -> Value:
    """`dims` counts the axes from 1, without the batch."""
    axes = call.value.axes
    return call.value.of_shape(
        call.shape, {to + 1: axes[source] for to, source in enumerate(call.layer.dims)}
    )


@rule("RepeatVector")
def repeat_vector(call: Call) -> Value:
    """(batch, features) becomes (batch, times, features)."""
    return call.value.of_shape(call.shape, {-1: call.value.axes[-1]})
