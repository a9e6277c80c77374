"""What `keras.ops` in functional graphs do with channels."""

from __future__ import annotations

from typing import Any

import numpy as np

from edgekit_converters.pruning.channels.graph import Numbers
from edgekit_converters.pruning.rules.elementwise import passing
from edgekit_converters.pruning.rules.merge import broadcast, concatenate_along
from edgekit_converters.pruning.rules.shape import reshaped
from edgekit_converters.pruning.rules.table import rule
from edgekit_converters.pruning.trace.call import Call
from edgekit_converters.pruning.trace.values import Value


def _operations(names: str) -> tuple[str, ...]:
    return tuple(f"ops.{name}" for name in names.split())


@rule(*_operations("Relu Relu6 Sigmoid Softplus Softsign Silu LogSigmoid LeakyRelu HardSigmoid"))
@rule(*_operations("HardSilu Elu Selu Gelu Celu HardTanh HardShrink SoftShrink TanhShrink Tanh"))
@rule(*_operations("Absolute Abs Negative Square Sqrt Rsqrt Exp Expm1 Log Log1p Reciprocal Sign"))
@rule(*_operations("Sin Cos Floor Ceil Round Erf Clip Cast Copy StopGradient LogicalNot NanToNum"))
def by_itself(call: Call) -> Value:
    """Each number by itself."""
    return passing(call)


@rule(*_operations("Add Subtract Multiply Divide TrueDivide DivideNoNan Maximum Minimum Power"))
@rule(*_operations("Logaddexp Where Equal NotEqual Greater GreaterEqual Less LessEqual"))
@rule(*_operations("LogicalAnd LogicalOr LogicalXor"))
def combined(call: Call) -> Value:
    """Number by number; constants of the graph have no channels that could be cut."""
    values = list(call.inputs)
    for given in (*call.args, *call.kwargs.values()):
        shape = () if isinstance(given, Value) else getattr(given, "shape", np.shape(given))
        if shape:
            values.append(Value.plain(shape))
    return broadcast(call, values, batch_first=False)


@rule(*_operations("Concatenate"))
def concatenated(call: Call) -> Value:
    """One behind the other."""
    return concatenate_along(call, call.inputs, call.layer.axis)


@rule(*_operations("Softmax LogSoftmax"))
def softmax(call: Call) -> Value:
    """All positions of one axis at once."""
    axis = call.layer.axis
    for at in range(call.value.rank) if axis is None else [axis % call.value.rank]:
        call.fix(call.value.axes[at], f"the softmax {call.name!r} takes them all at once")
    return passing(call)


@rule(*_operations("Reshape"))
def reshape(call: Call) -> Value:
    """`newshape` counts the batch."""
    return reshaped(call, call.layer.newshape, 0, "newshape")


@rule(*_operations("Transpose"))
def transpose(call: Call) -> Value:
    """Axes in another order."""
    rank = call.value.rank
    axes = call.layer.axes or tuple(reversed(range(rank)))
    if axes[0] != 0:
        return call.barrier("it moves the batch")[0]
    return call.value.of_shape(
        call.shape, {to: call.value.axes[source] for to, source in enumerate(axes)}
    )


@rule(*_operations("Swapaxes"))
def swap_axes(call: Call) -> Value:
    """Two axes change places."""
    rank = call.value.rank
    order = list(range(rank))
    one, other = call.layer.axis1 % rank, call.layer.axis2 % rank
    order[one], order[other] = other, one
    return call.value.of_shape(
        call.shape, {to: call.value.axes[source] for to, source in enumerate(order)}
    )


@rule(*_operations("ExpandDims"))
def expand_dims(call: Call) -> Value:
    """Axes of 1 come in."""
    rank = len(call.shape)
    axis = call.layer.axis
    new = {at % rank for at in (axis if isinstance(axis, (list, tuple)) else [axis])}
    old = iter(call.value.axes)
    return call.value.of_shape(call.shape, {at: next(old) for at in range(rank) if at not in new})


@rule(*_operations("Squeeze"))
def squeeze(call: Call) -> Value:
    """Axes of 1 go."""
    given, axis = call.value, call.layer.axis
    if axis is None:
        gone = {at for at, size in enumerate(given.shape) if size == 1}
    else:
        gone = {at % given.rank for at in (axis if isinstance(axis, (list, tuple)) else [axis])}
    return _without(call, gone)


@rule(*_operations("Mean Max Min Sum Amax Amin Prod Std Var Any All"))
def reduced(call: Call) -> Value:
    """Along the axes that go, all positions at once."""
    given, axis = call.value, call.layer.axis
    every = range(given.rank) if axis is None else axis
    gone = {at % given.rank for at in ([every] if isinstance(every, int) else every)}
    for at in gone:
        call.fix(given.axes[at], f"{call.name!r} takes one number of them all")
    if call.layer.keepdims:
        kept = {at: given.axes[at] for at in range(given.rank) if at not in gone}
        return given.of_shape(call.shape, kept)
    return _without(call, gone)


def _without(call: Call, gone: set[int]) -> Value:
    kept = [each for at, each in enumerate(call.value.axes) if at not in gone]
    return call.value.of_shape(call.shape, dict(enumerate(kept)))


@rule(*_operations("GetItem"))
def get_item(call: Call) -> Value:
    """Whole axes pass; along others no channel may be cut."""
    given = call.value
    key: Any = call.kwargs.get("key", call.args[1] if len(call.args) > 1 else None)
    keys = list(key) if isinstance(key, (tuple, list)) else [key]
    if Ellipsis in keys:
        at = keys.index(Ellipsis)
        keys[at : at + 1] = [slice(None)] * (
            given.rank - len([k for k in keys if k is not None]) + 1
        )
    if not all(isinstance(each, (int, slice)) for each in keys):
        return call.barrier("it picks positions by more than slices")[0]
    keys += [slice(None)] * (given.rank - len(keys))
    kept: list[Numbers | None] = []
    for each, numbers in zip(keys, given.axes, strict=True):
        if each != slice(None):
            call.fix(numbers, f"{call.name!r} picks some of them")
        if isinstance(each, slice):
            kept.append(numbers if each == slice(None) else None)
    return given.of_shape(call.shape, dict(enumerate(kept)))


@rule(*_operations("Split"))
def split(call: Call) -> list[Value]:
    """Pieces of one axis, whose channels stay; the others pass."""
    given, axis = call.value, call.layer.axis % call.value.rank
    call.fix(given.axes[axis], f"{call.name!r} splits them")
    kept = {at: numbers for at, numbers in enumerate(given.axes) if at != axis}
    return [given.of_shape(shape, kept) for shape in call.outputs]


@rule(*_operations("Pad"))
def pad(call: Call) -> Value:
    """Axes that do not grow pass."""
    given = call.value
    for at in given.labelled:
        if given.shape[at] != call.shape[at]:
            call.fix(given.axes[at], f"{call.name!r} adds positions to them")
    same = [at for at in range(given.rank) if given.shape[at] == call.shape[at]]
    return given.of_shape(call.shape, {at: given.axes[at] for at in same})


@rule(*_operations("Matmul"))
def matmul(call: Call) -> Value:
    """A sum over the last axis of one and the last but one of the other."""
    if len(call.inputs) != 2 or any(each.rank < 2 for each in call.inputs):
        return call.barrier("a product with a constant")[0]
    one, other = call.inputs
    if one.rank != other.rank or one.shape[:-2] != other.shape[:-2]:
        return call.barrier("a product that repeats one of its tensors")[0]
    if one.axes[-1] is not None or other.axes[-2] is not None:
        call.join(one.numbers(-1), other.numbers(-2))
    found = {-2: one.axes[-2], -1: other.axes[-1]}
    for at in range(one.rank - 2):
        if one.axes[at] is not None or other.axes[at] is not None:
            call.join(one.numbers(at), other.numbers(at))
            found[at] = one.numbers(at)
    axes = [*range(1, one.rank)]
    call.multiply(
        [*(one.numbers(at) if one.shape[at] else fixed_one() for at in axes), _last(other)], 1
    )
    return one.of_shape(call.shape, found)


def _last(value: Value) -> Numbers:
    return value.numbers(-1) if value.shape[-1] else fixed_one()


def fixed_one() -> Numbers:
    """Returns the single position that a free dimension counts for."""
    return np.zeros(1, np.intp)
