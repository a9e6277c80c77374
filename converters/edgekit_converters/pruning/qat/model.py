"""Quantization-aware training of a Keras 3 model: the model to train, and what comes out of it.

    qat = qat_begin(model)
    qat.model.compile(...); qat.model.fit(..., training data)
    trained, ranges = qat_finish(qat)
    trained.save("m.keras"); save_ranges("m.keras", ranges)

The model to train rounds kernels and activations to int8 where a converted file does. What comes
out is an ordinary model, without batch normalisations where they could be folded, and the range of
each of its activations, which the conversion to int8 then uses.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from edgekit.errors import SourceError
from edgekit_converters.keras_precision import half_precision_layers
from edgekit_converters.pruning.functional_graph import keras
from edgekit_converters.pruning.qat.fold import Folded, fold
from edgekit_converters.pruning.qat.graph import (
    PRODUCTS,
    Readers,
    copied,
    copy_weights,
    key_of,
    new_inputs,
    replay,
)
from edgekit_converters.pruning.qat.layers import (
    LARGEST,
    integer_normalisation,
    learned_range,
    same_range,
    with_integer_kernel,
)
from edgekit_converters.pruning.qat.normalisation import scale_and_shift
from edgekit_converters.pruning.qat.places import place_of, why_in_float

FROZEN_FROM = 0.75
"""Share of the training after which the ranges stay as they are."""

Ranges = dict[str, tuple[float, float]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Qat:
    """A model in quantization-aware training."""

    model: Any
    """To be trained: a Keras model whose kernels are ordinary variables of its layers."""
    folded: Any
    """The ordinary model that `qat_finish` fills with what was learned; the same layer names."""
    names: Mapping[str, tuple[str, ...]]
    """By the name of a layer of the original model: its layers in `model`."""
    skipped: frozenset[str]
    """Names and paths of the layers of `model` that were to be left alone."""
    layers: Mapping[str, Any]
    """The layers of `model` that learn a range, by what they learn it of."""
    notes: tuple[str, ...]
    """What is left in float in training, and why."""

    def projection(self) -> FreezeRanges:
        """What holds the ranges still in the last part of the training."""
        return FreezeRanges(_learners(self))


def qat_begin(model: Any, skip: Sequence[str] = ()) -> Qat:
    """Make the model to train from the Keras 3 `model`, which is not changed.

    Args:
        model: functional or sequential; its optimizer, loss and metrics are taken along.
        skip: names, paths or types of layers that train in float, with all that is inside them.

    Raises:
        SourceError: it is subclassed, or has no layer whose kernel can be rounded.
        UsageError: `skip` names no layer.
    """
    folded = fold(model, skip)
    notes = [*folded.notes]
    if half_precision_layers(model):
        notes.append(f"{model.name}: trained in mixed precision until now; for int8 in float32")
    rounding = set()
    for layer in folded.model.layers:
        kind, reason = type(layer).__name__, why_in_float(layer)
        if layer.name in folded.skipped:
            if layer.weights:
                notes.append(f"{layer.name}: trains in float (left alone as asked for)")
        elif kind in PRODUCTS:
            rounding.add(layer.name)
        elif reason:
            notes.append(f"{layer.name} ({kind}): trains in float ({reason})")
    if not rounding:
        raise SourceError(_nothing(model, folded))
    trained, layers = _trained(folded, rounding)
    if model.compiled and (settings := model.get_compile_config()):
        trained.compile_from_config(settings)
    return Qat(
        model=trained,
        folded=folded.model,
        names=folded.names,
        skipped=folded.skipped,
        layers=layers,
        notes=tuple(notes),
    )


def qat_finish(qat: Qat) -> tuple[Any, Ranges]:
    """An ordinary Keras 3 model with what was learned, and the range of each activation.

    Returns:
        The model, and ``(smallest, largest)`` by name of the layer (or input) whose output it is;
        ``name#1`` is the second call of a layer that is called several times. Activations whose
        range a file prescribes (softmax, say), and those never seen, have none.
    """
    for layer in qat.folded.layers:
        if layer.weights:
            trained = qat.model.get_layer(layer.name).get_weights()
            layer.set_weights(trained[: len(layer.weights)])  # behind them are those of ranges
    ranges = {}
    for key, layer in qat.layers.items():
        low, high = float(layer.smallest.numpy()), float(layer.largest.numpy())
        if float(layer.batches.numpy()) and max(-low, high) < LARGEST and low <= high:
            ranges[key] = (low, high)
    return qat.folded, ranges


class FreezeRanges:
    """Holds the ranges still in the last part of a training, so that weights settle in them."""

    def __init__(self, layers: tuple[Any, ...]) -> None:
        self._layers = layers
        self._from = 0
        self._frozen = False

    def begin(self, model: Any, steps: int) -> None:  # noqa: ARG002 - of the protocol
        """Start a training of `steps` batches."""
        self._from = int(FROZEN_FROM * steps)
        self._set(frozen=False)

    def after_batch(self, step: int) -> None:
        """Freeze, once `step` batches are far enough into the training."""
        if step >= self._from and not self._frozen:
            self._set(frozen=True)

    def finish(self) -> None:
        """Leave everything as it is."""

    @property
    def is_settled(self) -> bool:
        """Whether the ranges are known: before the first batch they are not."""
        return any(float(layer.batches.numpy()) for layer in self._layers)

    def progress(self) -> str:
        """What is to be said of it after an epoch."""
        return "ranges held" if self._frozen else "ranges learned"

    def _set(self, *, frozen: bool) -> None:
        self._frozen = frozen
        for layer in self._layers:
            layer.frozen.assign(float(frozen))


def _trained(folded: Folded, rounding: set[str]) -> tuple[Any, dict[str, Any]]:
    """The model with rounded kernels and learned ranges, and the layers that learn them."""
    model = folded.model
    readers = Readers(model)
    made: dict[int, Any] = {}
    learning: dict[str, Any] = {}
    source: dict[int, Any] = {}  # by id of a tensor: the layer that knows its range

    def behind(tensor: Any, key: str) -> Any:
        layer = learned_range()(name=_plain(f"{key}_range"))
        learning[key] = layer
        result = layer(tensor)
        source[id(result)] = layer
        return result

    def visit(node: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        operation = node.operation
        if id(operation) not in made:
            made[id(operation)] = _in_training(operation, rounding, folded.skipped)
        if type(operation).__name__ == "BatchNormalization":
            kwargs.pop("training", None)
        result = made[id(operation)](*args, **kwargs)
        place = place_of(node, readers)
        before = next(
            (one for one in keras().tree.flatten((args, kwargs)) if id(one) in source), None
        )
        if operation.name in folded.skipped:
            return result
        key = key_of(node.outputs[0])
        if place.kind == "learned":
            return behind(result, key)
        if place.kind == "fixed":
            layer = learned_range()(limits=place.limits, name=_plain(f"{key}_range"))
            result = layer(result)
            source[id(result)] = layer
        elif len(node.outputs) == 1 and before is not None:
            if place.kind == "same":
                result = same_range()(
                    source=partial(source.get, id(before)), name=_plain(f"{key}_range")
                )(result)
            source[id(result)] = source[id(before)]
        return result

    given = new_inputs(model)
    ranged = keras().tree.map_structure(
        lambda new: behind(new, key_of(new)) if str(new.dtype).startswith("float") else new, given
    )
    trained = keras().Model(given, replay(model, ranged, visit), name=model.name)
    trained.output_names = list(model.output_names)  # by which losses are told apart
    for old in model.layers:
        if id(old) in made:
            copy_weights(old, made[id(old)])
    return trained, learning


def _learners(qat: Qat) -> tuple[Any, ...]:
    """Every layer that learns a range, those inside of other layers too."""
    layers = qat.model._flatten_layers(include_self=False, recursive=True)
    kind = learned_range()
    return tuple(one for one in layers if isinstance(one, kind) and one.limits is None)


def _in_training(layer: Any, rounding: set[str], skipped: frozenset[str]) -> Any:
    """A new layer like `layer` that computes what a file with integers does."""
    kind: Any = type(layer)
    if layer.name in rounding:
        made = with_integer_kernel(kind).from_config(layer.get_config())  # type: ignore[attr-defined]
    elif kind.__name__ == "BatchNormalization" and layer.name not in skipped:
        made = integer_normalisation().from_config(layer.get_config())
        made.only_adds = bool((scale_and_shift(layer)[0].astype("float32") == 1).all())
    else:
        return copied(layer)
    made.trainable = layer.trainable
    return made


def _plain(name: str) -> str:
    return name.replace("/", "_").replace("#", "_call_")


def _nothing(model: Any, folded: Folded) -> str:
    layers = [layer for layer in folded.model.layers if layer.weights]
    if not layers:
        return f"{model.name}: has no weights, so there is nothing to train"
    named = ", ".join(f"{layer.name} ({type(layer).__name__})" for layer in layers[:3])
    return (
        f"{model.name}: no layer of it can train for int8: {named}"
        f"{', …' if len(layers) > 3 else ''}; use --quantize dynamic without --qat"
    )
