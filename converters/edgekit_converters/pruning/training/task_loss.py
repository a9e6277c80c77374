"""The loss of a Keras 3 model on batches of the user's data, in inference mode."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from edgekit.errors import UsageError
from edgekit_converters.tensorflow_setup import tensorflow

Arrays: TypeAlias = "NDArray[Any] | Sequence[NDArray[Any]] | Mapping[str, NDArray[Any]]"
Batch: TypeAlias = tuple[Arrays, Arrays]
"""What the model takes and what it should say, in the form `model.fit` takes; batch axis first."""
Loss: TypeAlias = Any
"""A Keras loss, its name, a function of (labels, predictions), or a mapping of those by output."""

_ADVICE = "compile the model, or give --loss, e.g. sparse_categorical_crossentropy"


def task_loss(model: Any, loss: Loss = None) -> Callable[[Any, Any], Any]:
    """A function of tensors (x, labels) that gives the mean loss of `model` as a scalar tensor.

    Penalties of the layers on their own weights are not part of it: they say nothing about what a
    channel is good for.

    Args:
        model: a Keras 3 model.
        loss: the loss, or None for the one that the model was compiled with.

    Raises:
        UsageError: there is no loss, or none for an output that it names.
    """
    import keras

    tf = tensorflow()
    parts = _by_output(model, loss if loss is not None else getattr(model, "loss", None))
    functions = [(output, keras.losses.get(part)) for output, part in parts]
    names = list(getattr(model, "output_names", None) or [])

    def value(x: Any, labels: Any) -> Any:
        predictions = _as_list(model(x, training=False), names)
        wanted = _as_list(labels, names)
        total = tf.constant(0.0)
        for output, function in functions:
            predicted = tf.cast(predictions[output], tf.float32)
            asked = wanted[output if len(wanted) == len(predictions) else 0]
            if len(asked.shape) == len(predicted.shape) - 1 and predicted.shape[-1] == 1:
                asked = asked[..., None]
            total += tf.reduce_mean(tf.cast(function(asked, predicted), tf.float32))
        return total

    return value


def mean_loss(value: Callable[[Any, Any], Any], batches: Sequence[Batch]) -> Callable[[], float]:
    """A function that gives the mean of `value` over all samples of `batches`, as often as asked.

    The data stays in memory as tensors; the model's variables are read anew each time.
    """
    tf = tensorflow()
    tensors = [(as_tensors(x), as_tensors(labels)) for x, labels in batches]
    sizes = [batch_size(batch) for batch in batches]
    compiled = tf.function(value, reduce_retracing=True)

    def measure() -> float:
        losses = [float(compiled(x, labels)) for x, labels in tensors]
        return float(np.average(losses, weights=sizes))

    return measure


def as_tensors(arrays: Arrays) -> Any:
    """The arrays as tensors, in the same structure."""
    tf = tensorflow()
    if isinstance(arrays, Mapping):
        return {name: tf.convert_to_tensor(array) for name, array in arrays.items()}
    if isinstance(arrays, list | tuple):
        return [tf.convert_to_tensor(array) for array in arrays]
    return tf.convert_to_tensor(arrays)


def batch_size(batch: Batch) -> int:
    """How many samples are in a batch."""
    first: Any = batch[1]
    if isinstance(first, Mapping):
        first = next(iter(first.values()))
    elif isinstance(first, list | tuple):
        first = first[0]
    return len(first)


def _by_output(model: Any, loss: Loss) -> list[tuple[int, Any]]:
    """Pairs of an output's number and its loss."""
    names = list(getattr(model, "output_names", None) or [])
    if isinstance(loss, Mapping) and "class_name" not in loss:
        unknown = [name for name in loss if name not in names]
        if unknown:
            message = f"loss: names an output {unknown[0]!r}; there are: {', '.join(names)}"
            raise UsageError(message)
        parts = [(names.index(name), part) for name, part in loss.items() if part is not None]
    elif isinstance(loss, list | tuple):
        parts = [(output, part) for output, part in enumerate(loss) if part is not None]
    elif loss is None:
        parts = []
    else:
        parts = [(output, loss) for output in range(max(1, len(names)))]
    if not parts:
        name = getattr(model, "name", "model")
        message = f"{name}: is not compiled, so its loss is unknown; {_ADVICE}"
        raise UsageError(message)
    return parts


def _as_list(structure: Any, names: list[str]) -> list[Any]:
    if isinstance(structure, Mapping):
        ordered = names if set(names) == set(structure) else list(structure)
        return [structure[name] for name in ordered]
    return list(structure) if isinstance(structure, list | tuple) else [structure]
