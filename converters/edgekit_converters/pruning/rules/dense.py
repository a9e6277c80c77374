"""What dense layers, Einstein sums and tables do with channels."""

from __future__ import annotations

from typing import Any

from edgekit_converters.pruning.channels.graph import Numbers
from edgekit_converters.pruning.rules.table import rule
from edgekit_converters.pruning.trace.call import Call
from edgekit_converters.pruning.trace.values import Value, positions

ELEMENTWISE = frozenset(
    [
        "linear",
        "relu",
        "relu6",
        "leaky_relu",
        "elu",
        "selu",
        "celu",
        "gelu",
        "silu",
        "swish",
        "mish",
        "sigmoid",
        "hard_sigmoid",
        "hard_silu",
        "hard_swish",
        "tanh",
        "hard_tanh",
        "softplus",
        "softsign",
        "exponential",
        "log_sigmoid",
        "squareplus",
        "soft_shrink",
        "hard_shrink",
        "tanh_shrink",
        "threshold",
        "sparse_plus",
        "sparse_sigmoid",
    ]
)


def activate(call: Call, numbers: Numbers, *names: str) -> None:
    """Makes channels stay where an activation of the layer looks at all of them at once."""
    for name in names or ("activation",):
        function = getattr(call.layer, name, None)
        if not elementwise(function):
            told = getattr(function, "__name__", type(function).__name__)
            ours = str(getattr(function, "__module__", "")).partition(".")[0] == "keras"
            why = "takes all channels at once" if ours else "is none that edgekit knows"
            call.fix(numbers, f"the activation {told!r} of {call.name!r} {why}")


def elementwise(function: Any) -> bool:
    """Whether an activation function is known to take one number at a time."""
    import keras

    if function is None:
        return True
    name = getattr(function, "__name__", "")
    if isinstance(function, keras.Layer):
        return name in ELEMENTWISE or type(function).__name__ in {"ReLU", "LeakyReLU", "ELU"}
    return name in ELEMENTWISE and function.__module__.partition(".")[0] == "keras"


def around(value: Value, *axes: int) -> tuple[list[Numbers], int]:
    """Returns the channels along the other axes, and how many positions the rest of them has.

    The batch does not count; `axes` are those that a kernel covers.
    """
    covered = {0, *(axis % value.rank for axis in axes)}
    free = [axis for axis in range(value.rank) if axis not in covered]
    labelled = [value.numbers(axis) for axis in free if value.axes[axis] is not None]
    return labelled, positions([value.shape[axis] for axis in free if value.axes[axis] is None])


@rule("Dense")
def dense(call: Call) -> Value:
    """`kernel` is stored (in, units)."""
    layer, given = call.layer, call.value
    units = call.make(layer.units, "units")
    repeated, uses = around(given, -1)
    axes = (given.numbers(-1), units)
    call.weight(layer.kernel, axes, "kernel", uses=uses, makes=(1,), around=repeated)
    call.weight(layer.bias, (units,), "bias", makes=(0,))
    call.config("units", numbers=units)
    for numbers in (units, *repeated):
        activate(call, numbers)
    kept = {axis: given.axes[axis] for axis in range(1, given.rank - 1)}
    return given.of_shape(call.shape, {**kept, -1: units})


@rule("EinsumDense")
def einsum_dense(call: Call) -> Value:
    """Letters of the equation carry channels; those that only the output has are made."""
    layer, given = call.layer, call.value
    left, _, made = layer.equation.replace(" ", "").partition("->")
    taken, _, stored = left.partition(",")
    if taken.startswith("...") or stored.startswith("...") or taken[:1] != made[:1]:
        if not (taken.startswith("...") and made.startswith("...") and "." not in stored):
            return call.barrier(f"it computes {layer.equation!r}")[0]
        free = "ABCDEFGHIJ"[: given.rank - (len(taken) - 3)]
        taken, made = taken.replace("...", free), made.replace("...", free)
    if len(taken) != given.rank or len(set(taken)) < len(taken):
        return call.barrier(f"it computes {layer.equation!r}")[0]
    letters: dict[str, Numbers] = {
        letter: given.numbers(at) for at, letter in enumerate(taken) if given.axes[at] is not None
    }
    told = call.layer.get_config()["output_shape"]
    offset = len(made) - len(told)
    for at, letter in enumerate(made):
        if letter in stored and letter not in taken:
            letters[letter] = call.make(call.shape[at] or 0, "units", letter)
            call.config("output_shape", at - offset, numbers=letters[letter])
        elif letter in letters and at >= offset and told[at - offset] is not None:
            call.config("output_shape", at - offset, numbers=letters[letter])
        if letter in letters:
            activate(call, letters[letter])
    beside = [(given.shape[at], each) for at, each in enumerate(taken) if at and each not in stored]
    call.weight(
        layer.kernel,
        [letters.get(letter) for letter in stored],
        "kernel",
        uses=positions([size for size, each in beside if each not in letters]),
        around=[letters[each] for _, each in beside if each in letters],
        makes=tuple(at for at, letter in enumerate(stored) if letter in made),
    )
    if layer.bias is not None:
        last = made[len(made) - len(layer.bias.shape) :]  # the bias is 1 along the others
        axes = [letters.get(letter) if letter in layer.bias_axes else None for letter in last]
        call.weight(layer.bias, axes, "bias", makes=tuple(range(len(axes))))
        if layer.bias.shape[-1] == 1:  # Keras 3 adds (n, 1) along the last axis if that has n, too
            for letter in last:
                call.fix(letters.get(letter), f"{call.name!r} has a bias for another axis")
    return given.of_shape(call.shape, {at: letters.get(letter) for at, letter in enumerate(made)})


@rule("Embedding")
def embedding(call: Call) -> Value:
    """`embeddings` is stored (words, features)."""
    layer = call.layer
    call.fix_but(call.value)
    features = call.make(layer.output_dim, "features")
    call.weight(layer.embeddings, (None, features), "other", makes=(1,))
    call.config("output_dim", numbers=features)
    return Value.plain(call.shape, layer.compute_dtype).of_shape(call.shape, {-1: features})
