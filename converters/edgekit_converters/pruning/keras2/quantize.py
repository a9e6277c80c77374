"""Quantization-aware training of a Keras 2 model by tensorflow-model-optimization."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.errors import SourceError, UsageError
from edgekit.prune_request import MOST_CLUSTERS
from edgekit.quote import first_line
from edgekit_converters.pruning.keras2.flat import flattened
from edgekit_converters.pruning.keras2.layers import (
    classes_of,
    compile_like,
    copy_of,
    holds,
    is_model,
    is_own,
    kernels,
    listed,
    tf_keras,
    tfmot,
    walk,
)
from edgekit_converters.pruning.keras2.settings import Fit, Keras2Settings
from edgekit_converters.pruning.skipped_names import skipped_layers
from edgekit_converters.tensorflow_setup import tensorflow

_UNSUPPORTED = re.compile(r"Layer (\S+?):<class '.*?'> is not supported")
_FUSED = ("linear", "relu", "swish", "gelu", "softmax", "sigmoid", "tanh")
"""Activations that tfmot can quantize in the layer before them, and alone:"""
_ACTIVATIONS = (*_FUSED, "relu6")
_KEEPING = ("Conv2D", "Dense")
_CENTROIDS = "cluster_centroids_tf"


def quantized(
    model: Any, settings: Keras2Settings, fit: Fit | None
) -> tuple[Any, list[str], object]:
    """`model` trained while it computes as its int8 file will, with the ranges it learned.

    Zeros and clusters that the kernels have are kept where the settings speak of them.

    Returns:
        The model, in the wrappers that hold the ranges; what to say about it; what `fit` gave.

    Raises:
        SourceError: a layer cannot be quantized; the message names it.
        UsageError: there is no `fit`.
    """
    if fit is None:
        message = "--qat: the ranges are learned from data; give --data"
        raise UsageError(message)
    flat = flattened(model)
    nested = [layer for layer in model.layers if is_model(layer)] if flat is not model else []
    left = _to_skip(model, flat, settings)
    model = flat
    keeps = bool(settings.keeps_zeros or settings.clusters)
    aware, notes = _annotated(model, left, settings, preserve=keeps)
    held = HeldPatterns(aware, zeros=settings.keeps_zeros, clusters=bool(settings.clusters))
    compile_like(aware, model)
    told = fit(aware, [held], stage="quantize")
    held.finish()
    if keeps:  # those wrappers cannot be loaded from a file
        plain, _ = _annotated(model, left, settings, preserve=False)
        _copy_by_name(aware, plain)
        aware = plain
    if nested:
        notes.append(f"the layers of {listed(nested)} are now in the model itself, for --qat")
    return aware, notes, told


def check_quantized(model: Any, settings: Keras2Settings) -> None:
    """Refuse what `quantized` would refuse, before hours of training lead there.

    Raises:
        SourceError: a layer cannot be quantized; the message names it.
    """
    flat = flattened(model)
    _annotated(flat, _to_skip(model, flat, settings), settings, preserve=False)


class HeldPatterns:
    """Keeps the zeros, and the groups of equal values, of kernels in quantizing wrappers."""

    def __init__(self, aware: Any, *, zeros: bool, clusters: bool) -> None:
        """`aware` has the kernels as they are to be, and is about to be trained."""
        self._what = [word for word, on in (("sparsity", zeros), ("clusters", clusters)) if on]
        self._held: list[tuple[Any, Any, Any]] = []
        self._has_ranges = False
        for wrapper in aware.layers:
            if not kernels(getattr(wrapper, "layer", wrapper)):
                continue
            trained = any(_CENTROIDS in variable.name for variable in wrapper.weights)
            for variable, *_ in getattr(wrapper, "_weight_vars", ()):
                mask, groups = _patterns(variable.numpy(), grouped=clusters and not trained)
                if (zeros and mask is not None) or groups is not None:
                    self._held.append((variable, mask if zeros else None, groups))

    def begin(self, model: Any, steps: int) -> None:
        """Nothing to do."""

    def after_batch(self, step: int) -> None:  # noqa: ARG002
        """Set the zeros again, and equal values to their mean."""
        self._has_ranges = True
        segments = tensorflow().math
        for variable, mask, groups in self._held:
            kernel = variable
            if groups is not None:
                places, count = groups
                kernel = tensorflow().gather(
                    segments.unsorted_segment_mean(kernel, places, count), places
                )
            variable.assign(kernel if mask is None else kernel * mask)

    def finish(self) -> None:
        """The same once more."""
        self.after_batch(0)

    @property
    def is_settled(self) -> bool:
        """Whether the ranges are known: before the first batch they are not."""
        return self._has_ranges

    def progress(self) -> str:
        """What is kept."""
        return " and ".join(["int8", *self._what])


def _patterns(
    kernel: NDArray[Any], *, grouped: bool
) -> tuple[NDArray[Any] | None, tuple[NDArray[Any], int] | None]:
    """Where `kernel` is not zero, as numbers; which of its values each weight has."""
    mask = None if kernel.all() else (kernel != 0).astype(kernel.dtype)
    values, places = np.unique(kernel, return_inverse=True)
    if not grouped or len(values) > MOST_CLUSTERS:
        return mask, None
    return mask, (places.reshape(kernel.shape).astype(np.int32), len(values))


def _to_skip(model: Any, flat: Any, settings: Keras2Settings) -> frozenset[str]:
    """The names of the layers of `flat`, made of `model`, that the settings skip."""
    skipped = skipped_layers(model, settings.skip)
    layers = model.layers if flat is model else list(walk(model))
    return frozenset(layer.name for layer in layers if holds(layer, skipped))


def _annotated(
    model: Any, skipped: frozenset[str], settings: Keras2Settings, *, preserve: bool
) -> tuple[Any, list[str]]:
    """A quantization-aware copy of `model`, and what to say about it."""
    left = [layer for layer in model.layers if layer.name in skipped]
    refused = [layer for layer in model.layers if layer not in left and _is_known_to_fail(layer)]
    by_name = {layer.name: layer for layer in model.layers}
    while True:
        names = {layer.name for layer in (*left, *refused)}
        try:
            aware = _apply(model, names, _scheme(settings, preserve=preserve))
            break
        except Exception as error:  # whatever its transformations raise
            named = _UNSUPPORTED.search(str(error))
            layer = by_name.get(named[1]) if named else None
            if layer is None or layer.name in names:
                raise SourceError(_why(settings, error, refused)) from error
            refused.append(layer)
    if refused:
        raise SourceError(_refusal(settings, model, refused))
    notes = [f"not quantized: {listed(left)}: as --skip says"] if left else []
    return aware, notes


def _is_known_to_fail(layer: Any) -> bool:
    """Whether tfmot would fail at `layer`: it names one at a time, and some not at all."""
    from tensorflow_model_optimization.python.core.quantization.keras.default_8bit import (
        default_8bit_quantize_registry as plain,
    )

    kind = type(layer).__name__
    if is_model(layer):
        return True
    if kind == "InputLayer" or _has_other_activation(layer):
        return kind != "InputLayer"
    tensors = tensorflow().nest.flatten(layer.input) if len(layer._inbound_nodes) == 1 else []
    if any(not tensor.dtype.is_floating for tensor in tensors):
        return True
    if kind == "BatchNormalization" and is_own(layer):
        return not all(_is_linear_convolution(t._keras_history.layer) for t in tensors)
    fused = kind == "SeparableConv2D" and is_own(layer)
    return not fused and not plain.Default8BitQuantizeRegistry().supports(layer)


def _is_linear_convolution(layer: Any) -> bool:
    """Whether batch normalization after `layer` becomes a part of it."""
    name = getattr(getattr(layer, "activation", None), "__name__", "")
    return name == "linear" and ("Conv" in type(layer).__name__ or type(layer).__name__ == "Dense")


def _has_other_activation(layer: Any) -> bool:
    """Whether `layer` is, or ends with, an activation that tfmot does not know."""
    function = getattr(layer, "activation", None)
    if function is None or not is_own(layer) or hasattr(layer, "cell"):
        return False
    known = _ACTIVATIONS if type(layer).__name__ == "Activation" else _FUSED
    name = getattr(function, "__name__", None)
    return name is not None and name not in known


def _refusal(settings: Keras2Settings, model: Any, refused: Sequence[Any]) -> str:
    kinds = sorted({type(layer).__name__ for layer in refused})
    every = {k: [la for la in model.layers if type(la).__name__ == k] for k in kinds}
    words: list[str] = []
    for kind in kinds:
        mine = [layer.name for layer in refused if type(layer).__name__ == kind]
        by_type = len(mine) == len(every[kind]) and not is_model(every[kind][0])
        words += [kind] if by_type else mine
    options = " ".join(f"--skip {word}" for word in words)
    nested = any(is_model(layer) for layer in refused)
    why = " (models inside a model only where each is called once)" if nested else ""
    return (
        f"{settings.name}: --qat: tensorflow-model-optimization cannot quantize "
        f"{listed(refused)}{why}; "
        f"add {options} to train the rest quantized, or leave out --qat"
    )


def _why(settings: Keras2Settings, error: Exception, refused: Sequence[Any]) -> str:
    said = first_line(error)
    also = f" (nor layers {listed(refused)})" if refused else ""
    return (
        f"{settings.name}: --qat: tensorflow-model-optimization cannot quantize it{also}: "
        f"{type(error).__name__}: {said}; leave out --qat, and convert with --quantize int8"
    )


def _apply(model: Any, left: set[str], scheme: Any) -> Any:
    quantization = tfmot().quantization.keras

    def annotate(layer: Any) -> Any:
        if layer.name in left or is_model(layer):
            return layer
        return quantization.quantize_annotate_layer(layer)

    source = copy_of(model)
    with classes_of(model), quantization.quantize_scope():
        annotated = tf_keras().models.clone_model(source, clone_function=annotate)
        return quantization.quantize_apply(annotated, scheme=scheme, quantized_layer_name_prefix="")


def _scheme(settings: Keras2Settings, *, preserve: bool) -> Any:
    """The scheme that keeps zeros and clusters of convolutions and dense layers.

    tfmot's own hands one quantizer to all layers: what it finds missing in one (zeros, in a layer
    that is too small to be pruned) it then forgets for all, and layers that it can quantize but
    not keep patterns in, it refuses. Here every layer has its own, or the plain one.
    """
    from tensorflow_model_optimization.python.core.quantization.keras.collab_opts import (
        cluster_preserve as clusters,
    )
    from tensorflow_model_optimization.python.core.quantization.keras.collab_opts import (
        prune_preserve as zeros,
    )
    from tensorflow_model_optimization.python.core.quantization.keras.default_8bit import (
        default_8bit_quantize_registry as plain,
    )
    from tensorflow_model_optimization.python.core.quantization.keras.default_8bit import (
        default_8bit_quantize_scheme as scheme,
    )

    def keeping() -> Any:
        if settings.clusters is None:
            registry = zeros.prune_preserve_quantize_registry
            return registry.Default8bitPrunePreserveQuantizeRegistry()
        registry = clusters.cluster_preserve_quantize_registry
        return registry.Default8bitClusterPreserveQuantizeRegistry(settings.keeps_zeros)

    class Registry(plain.Default8BitQuantizeRegistry):  # type: ignore[misc]
        def supports(self, layer: Any) -> bool:  # asked for the outputs of skipped layers too
            return bool(super().supports(layer)) and not _has_other_activation(layer)

        def get_quantize_config(self, layer: Any) -> Any:
            if preserve and type(layer).__name__ in _KEEPING and is_own(layer):
                return keeping().get_quantize_config(layer)
            return super().get_quantize_config(layer)

    class Scheme(scheme.Default8BitQuantizeScheme):  # type: ignore[misc]
        def get_quantize_registry(self) -> Any:
            return Registry()

    return Scheme()


def _copy_by_name(source: Any, target: Any) -> None:
    """Give `target` the values of the variables of `source`: of its layers, in their order."""
    for given, layer in zip(source.layers, target.layers, strict=True):
        known = {_own_name(given, variable): variable for variable in given.weights}
        for variable in layer.weights:
            variable.assign(known[_own_name(layer, variable)])


def _own_name(layer: Any, variable: Any) -> str:
    """The name without that of the layer, in which Keras counts layers of a kind."""
    return str(variable.name).replace(str(layer.name), "")
