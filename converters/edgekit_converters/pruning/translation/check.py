"""Whether two models give the same outputs for the same random inputs, and where not."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.errors import SourceError
from edgekit.quote import first_line
from edgekit_converters.pruning.keras2.layers import walk

TOLERANCE = 1e-5
_ROWS = 2
_LENGTHS = (16, 32, 64)
"""Tried in turn where a dimension is free."""


def check_same(model: Any, made: Any, name: str) -> None:
    """Refuse `made` unless it gives what the tf_keras `model` gives, to `TOLERANCE`.

    Raises:
        SourceError: they differ, or `model` cannot be run on random inputs.
    """
    inputs, expected = _run(model, name)
    difference = _difference(expected, _outputs(made, inputs))
    if difference <= TOLERANCE:
        return
    where = _first_different(model, made, inputs)
    message = (
        f"{name}: the translation to Keras 3 gives other outputs (relative difference "
        f"{difference:.1e}){where}; prune with --method unstructured, which needs no translation"
    )
    raise SourceError(message)


def _run(model: Any, name: str) -> tuple[list[NDArray[Any]], list[NDArray[Any]]]:
    """Random inputs that the model takes, and its outputs."""
    failure: Exception | None = None
    for whole, length in itertools.product((False, True), _LENGTHS):
        inputs = _random_inputs(model, length, whole=whole)
        try:
            return inputs, _outputs(model, inputs)
        except Exception as error:
            failure = error
    assert failure is not None
    message = f"{name}: does not run on random inputs ({first_line(failure)}); check the model"
    raise SourceError(message) from failure


def _random_inputs(model: Any, length: int, *, whole: bool) -> list[NDArray[Any]]:
    """Of floating-point inputs numbers of any size, or `whole` ones that can be looked up."""
    random = np.random.default_rng(0)
    high = min(_sizes(model), default=2)
    made = []
    for tensor in model.inputs:
        shape = [_ROWS if tensor.shape[0] is None else int(tensor.shape[0])]
        shape += [length if size is None else int(size) for size in tensor.shape[1:]]
        kind = np.dtype(tensor.dtype.as_numpy_dtype)
        if kind.kind in "iu" or (whole and kind.kind == "f"):
            made.append(random.integers(0, high, shape).astype(kind))
        elif kind.kind == "b":
            made.append(random.integers(0, 2, shape).astype(kind))
        else:
            made.append(random.normal(size=shape).astype(kind))
    return made


def _sizes(model: Any) -> list[int]:
    found = (
        getattr(layer, name, None)
        for layer in walk(model)
        for name in ("input_dim", "num_tokens", "vocabulary_size")
    )
    return [size for size in found if isinstance(size, int) and size > 0]


def _outputs(model: Any, inputs: list[NDArray[Any]]) -> list[NDArray[Any]]:
    import tensorflow as tf

    given = [tf.constant(array) for array in inputs]
    structure = getattr(model, "_inputs_struct", None)
    if structure is None:
        structure = getattr(model, "_nested_inputs", None)
    packed = tf.nest.pack_sequence_as(structure, given) if structure is not None else given[0]
    return [np.asarray(part) for part in tf.nest.flatten(model(packed, training=False))]


def _difference(expected: list[NDArray[Any]], made: list[NDArray[Any]]) -> float:
    """The largest difference, as a share of the largest number of its output."""
    worst = 0.0
    for ours, theirs in zip(made, expected, strict=True):
        if ours.shape != theirs.shape or not np.array_equal(np.isnan(ours), np.isnan(theirs)):
            return float("inf")
        scale = float(np.nanmax(np.abs(theirs), initial=0)) or 1.0
        worst = max(worst, float(np.nanmax(np.abs(ours - theirs), initial=0)) / scale)
    return worst


def _first_different(model: Any, made: Any, inputs: list[NDArray[Any]]) -> str:
    """Words that say at which layer the two begin to differ, where it can be seen."""
    import keras

    from edgekit_converters.pruning.keras2.layers import tf_keras

    new = {layer.name: layer for layer in made.layers}
    try:
        names = [
            layer.name
            for layer in model.layers
            if layer.name in new and len(layer._inbound_nodes) == 1
        ]
        olds = [tf_keras().Model(model.inputs, model.get_layer(n).output) for n in names]
        news = [keras.Model(made.inputs, new[n].output) for n in names]
        for name, left, right in zip(names, olds, news, strict=True):
            if _difference(_outputs(left, inputs), _outputs(right, inputs)) > TOLERANCE:
                return f", from layer {name!r} ({type(new[name]).__name__}) on"
    except (AttributeError, ValueError, TypeError):  # outputs that stand for nothing in a graph
        return ""
    return ""
