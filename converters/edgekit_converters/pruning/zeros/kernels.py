"""Which weights of a model may become zero or share a value: kernels, found wherever they hide.

Biases, normalisations and depthwise kernels never: they are few, and worth more than they weigh.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.errors import SourceError
from edgekit_converters.pruning.skipped_names import layers_within, skipped_layers

Array = NDArray[Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """What the axes of a kernel stand for; together they are all of its axes.

    An output is a sum over `places` and `inputs`. Tables, which are looked up, have no inputs.
    """

    places: tuple[int, ...] = ()
    inputs: tuple[int, ...] = ()
    outputs: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Kernel:
    """One variable, of Keras 3 or of tf_keras, that may be pruned."""

    path: str
    """Names of the models and layers around it, and its own: ``backbone/conv1/kernel``; unique."""
    variable: Any
    layout: Layout

    def read(self) -> Array:
        """Returns its numbers as they are stored."""
        return np.asarray(self.variable.numpy())


_MATRIX = Layout(inputs=(0,), outputs=(1,))
_LEFT_ALONE = frozenset({"DepthwiseConv1D", "DepthwiseConv2D", "DepthwiseConv"})
_MATRICES = {
    "Dense": ("kernel",),
    "SimpleRNNCell": ("kernel", "recurrent_kernel"),
    "LSTMCell": ("kernel", "recurrent_kernel"),
    "GRUCell": ("kernel", "recurrent_kernel"),
}
_CONVOLUTIONS = {
    **dict.fromkeys(("SeparableConv1D", "SeparableConv2D"), ("pointwise_kernel",)),
    **dict.fromkeys(("Conv1D", "Conv2D", "Conv3D"), ("kernel",)),
    **dict.fromkeys(("LocallyConnected1D", "LocallyConnected2D"), ("kernel",)),
    "ConvLSTMCell": ("kernel", "recurrent_kernel"),
}
_TRANSPOSED = frozenset({"Conv1DTranspose", "Conv2DTranspose", "Conv3DTranspose"})


def find_kernels(model: Any, skip: Sequence[str] = ()) -> tuple[Kernel, ...]:
    """The kernels of a built `model`, in the order of its layers; a shared one is there once.

    Models inside the model, wrappers (TimeDistributed, Bidirectional), cells and the projections of
    attention are reached.

    Args:
        model: of Keras 3 or tf_keras.
        skip: names, paths or types of layers to leave alone, with all that is inside them.

    Raises:
        UsageError: nothing in the model has a name of `skip`.
        SourceError: no kernel is left, or there is none.
    """
    skipped = skipped_layers(model, skip)
    seen, found, paths = set[int](), list[Kernel](), set[str]()
    for placed in layers_within(model):
        layer, path = placed.layer, placed.path
        if id(layer) in skipped:
            continue
        for attribute, layout in _kernels_of(layer):
            # Keras 3 gives low-rank adapted kernels under the public name
            variable = getattr(layer, f"_{attribute}", None)
            variable = getattr(layer, attribute, None) if variable is None else variable
            if not hasattr(variable, "assign") or id(variable) in seen or not _is_real(variable):
                continue
            seen.add(id(variable))
            place = name = f"{path}/{attribute}"
            for number in range(1, 1 + len(paths)):
                if place not in paths:
                    break
                place = f"{name}_{number}"
            paths.add(place)
            found.append(Kernel(path=place, variable=variable, layout=layout))
    if not found:
        left = " but those to skip" if skip else ""
        message = (
            f"{getattr(model, 'name', 'model')}: nothing to prune; it has no dense, convolution, "
            f"recurrent, attention or embedding layers{left}"
        )
        raise SourceError(message)
    return tuple(found)


def _kernels_of(layer: Any) -> Iterator[tuple[str, Layout]]:
    """Attributes that hold kernels, by the first class that is known; own subclasses included."""
    for base in type(layer).__mro__:
        name = base.__name__
        if name in _LEFT_ALONE:
            return
        if name in _MATRICES:
            yield from ((attribute, _MATRIX) for attribute in _MATRICES[name])
            return
        if name in _CONVOLUTIONS or name in _TRANSPOSED:
            for attribute in _CONVOLUTIONS.get(name, ("kernel",)):
                if not getattr(layer, "built", True):
                    return  # it was never called
                rank = len(getattr(layer, attribute).shape)
                inputs, outputs = (rank - 2,), (rank - 1,)
                if name in _TRANSPOSED:
                    inputs, outputs = outputs, inputs
                places = tuple(range(rank - 2))
                yield attribute, Layout(places=places, inputs=inputs, outputs=outputs)
            return
        if name == "EinsumDense":
            yield "kernel", _of_equation(layer.equation)
            return
        if name == "Embedding":
            yield "embeddings", Layout(places=(0,), outputs=(1,))
            return


def _of_equation(equation: str) -> Layout:
    """Axes of the kernel in ``"abc,cde->abde"``: summed over, or new in the result.

    >>> _of_equation("abc,cde->abde")
    Layout(places=(), inputs=(0,), outputs=(1, 2))
    """
    given, _, result = equation.replace("...", "").replace(" ", "").partition("->")
    kernel = given.partition(",")[2]
    outputs = tuple(i for i, letter in enumerate(kernel) if letter in result)
    inputs = tuple(i for i, letter in enumerate(kernel) if letter not in result)
    return Layout(inputs=inputs, outputs=outputs)


def _is_real(variable: Any) -> bool:
    return "float" in str(getattr(variable.dtype, "name", variable.dtype))
