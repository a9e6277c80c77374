"""The layers of a Keras 2 model: what in them can be compressed, and a copy with some wrapped."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from edgekit._lazy import need
from edgekit.errors import SourceError
from edgekit.quote import first_line
from edgekit_converters.pruning.skipped_names import holds_skipped, skipped_layers

_KERNELS = {
    "Conv1D": ("kernel",),
    "Conv1DTranspose": ("kernel",),
    "Conv2D": ("kernel",),
    "Conv2DTranspose": ("kernel",),
    "Conv3D": ("kernel",),
    "Conv3DTranspose": ("kernel",),
    "Dense": ("kernel",),
    "Embedding": ("embeddings",),
    "LocallyConnected1D": ("kernel",),
    "LocallyConnected2D": ("kernel",),
    "SeparableConv1D": ("pointwise_kernel",),
    "SeparableConv2D": ("pointwise_kernel",),
}
"""What tensorflow-model-optimization prunes, and Conv1DTranspose; not depthwise kernels: every
one of their few weights is a good part of a channel."""

_RECURRENT = ("GRU", "LSTM", "SimpleRNN")


def tf_keras() -> Any:
    """The module tf_keras.

    Raises:
        MissingDependencyError: it is not installed.
    """
    return need("tf_keras", extra="keras2")


def tfmot() -> Any:
    """The module tensorflow_model_optimization.

    Raises:
        MissingDependencyError: it is not installed.
    """
    with warnings.catch_warnings():  # it still asks distutils for versions
        warnings.simplefilter("ignore", DeprecationWarning)
        return need("tensorflow_model_optimization", extra="keras2")


def is_model(layer: Any) -> bool:
    """Whether `layer` is a model: of layers, not a layer alone."""
    return isinstance(layer, tf_keras().Model)


def is_own(layer: Any) -> bool:
    """Whether the class of `layer` comes with Keras 2."""
    return type(layer).__module__.partition(".")[0] == "tf_keras"


def walk(model: Any) -> Iterator[Any]:
    """Every layer of `model` that is not a model, those of nested models too, each once."""
    seen: set[int] = set()

    def inside(outer: Any) -> Iterator[Any]:
        for layer in outer.layers:
            if id(layer) in seen:
                continue
            seen.add(id(layer))
            if is_model(layer):
                yield from inside(layer)
            else:
                yield layer

    yield from inside(model)


def kernels(layer: Any) -> list[Any]:
    """The variables of `layer` that pruning and clustering speak of; none for other layers."""
    if not is_own(layer):
        return []
    kind = type(layer).__name__
    if kind in _KERNELS:
        return [getattr(layer, name) for name in _KERNELS[kind]]
    if kind in _RECURRENT:
        return [layer.cell.kernel, layer.cell.recurrent_kernel]
    if kind == "Bidirectional":
        return [*kernels(layer.forward_layer), *kernels(layer.backward_layer)]
    if kind == "MultiHeadAttention":
        inner = (layer._query_dense, layer._key_dense, layer._value_dense, layer._output_dense)
        return [dense.kernel for dense in inner]
    if kind == "TimeDistributed":
        return kernels(layer.layer)
    return []


def check(model: Any, skip: Sequence[str], name: str = "model") -> None:
    """Refuse a model whose layers cannot be seen, and names in `skip` that it does not have.

    Raises:
        SourceError: it is subclassed, or not built.
        UsageError: nothing in the model has a name of `skip`.
    """
    subclassed = next((m for m in _models(model) if not _is_graph(m)), None)
    if subclassed is not None:
        message = (
            f"{name}: {subclassed.name} is a subclassed Keras 2 model "
            f"({type(subclassed).__name__}), whose layers tensorflow-model-optimization cannot "
            "see; build it as a functional model"
        )
        raise SourceError(message)
    skipped_layers(model, skip)


def targets(model: Any, skip: Sequence[str]) -> list[Any]:
    """The layers with kernels that `skip` does not name, nor what is around or inside them."""
    skipped = skipped_layers(model, skip)
    return [layer for layer in walk(model) if kernels(layer) and not holds(layer, skipped)]


def holds(layer: Any, skipped: frozenset[int]) -> bool:
    """Whether `layer` is among those to skip; a wrapper, compressed as a whole, for its parts too.

    Args:
        layer: a layer or a model.
        skipped: as `skipped_layers` tells.
    """
    return id(layer) in skipped if is_model(layer) else holds_skipped(layer, skipped)


def copy_of(model: Any) -> Any:
    """A copy of `model` with weights of its own.

    Raises:
        SourceError: a layer cannot be made from its configuration.
    """
    try:
        with classes_of(model):
            copy = tf_keras().models.clone_model(model)
        copy.set_weights(model.get_weights())
    except Exception as error:  # whatever a layer's own code raises
        message = (
            f"{model.name}: cannot be copied ({first_line(error)}); give its custom layers a "
            "get_config() that returns every argument of __init__"
        )
        raise SourceError(message) from error
    return copy


def wrapped(model: Any, wrap: Callable[[Any], Any]) -> Any:
    """`model` with what `wrap` makes of each of its layers; the layers themselves are shared.

    `wrap` gets every layer that is not a model (and no input layer), and may return it as it is.
    """
    clone = tf_keras().models.clone_model

    def visit(layer: Any) -> Any:
        return clone(layer, clone_function=visit) if is_model(layer) else wrap(layer)

    with classes_of(model):
        return clone(model, clone_function=visit)


@contextmanager
def classes_of(model: Any) -> Iterator[None]:
    """In this context, Keras 2 finds the custom classes that `model` uses by their names.

    It copies Lambda layers too: that their code may run was decided when the model was loaded.
    """
    from tf_keras.src.saving.serialization_lib import SafeModeScope

    own = {type(layer).__name__: type(layer) for layer in walk(model) if not is_own(layer)}
    with tf_keras().utils.custom_object_scope(own), SafeModeScope(safe_mode=False):
        yield


def compile_like(model: Any, original: Any) -> None:
    """Compile `model` as `original` is, if it is; losses named by output follow the outputs."""
    if getattr(original, "optimizer", None) is None:
        return
    said = original.get_compile_config()
    if not said:
        return
    names = dict(zip(original.output_names, model.output_names, strict=True))

    def renamed(value: Any) -> Any:
        if isinstance(value, dict) and set(value) <= set(names):
            return {names[key]: part for key, part in value.items()}
        return value

    model.compile_from_config({key: renamed(value) for key, value in said.items()})


def listed(layers: Sequence[Any], limit: int = 8) -> str:
    """``conv1 (Conv2D), dense (Dense), and 3 more``: layers as messages name them."""
    named = [f"{layer.name} ({type(layer).__name__})" for layer in layers[:limit]]
    more = len(layers) - limit
    return ", ".join(named) + (f", and {more} more" if more > 0 else "")


def _models(model: Any) -> list[Any]:
    """`model` and the models in it."""
    found = [model]
    for layer in getattr(model, "layers", []):
        if is_model(layer) and all(layer is not known for known in found):
            found += _models(layer)
    return found


def _is_graph(model: Any) -> bool:
    return bool(isinstance(model, tf_keras().Sequential) or model._is_graph_network)
