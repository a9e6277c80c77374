"""Learning from a teacher: soft targets with a temperature (Hinton, Vinyals and Dean, 2015).

``loss = (1 - alpha) * labels + alpha * temperature**2 * KL(teacher || student)``, both sides
softened by the temperature. The factor keeps the gradients of both parts in proportion. For
numbers instead of classes the second part is the mean squared difference.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.errors import UsageError
from edgekit_converters.pruning.training.compiled import Family, Goal
from edgekit_converters.pruning.training.feed import Feed
from edgekit_converters.pruning.training.settings import TrainingSettings

Array = NDArray[Any]

_LEAST = 1e-7
"""Probabilities are not taken for less, as in the losses of Keras."""


def teacher_targets(
    teacher: Any, feed: Feed, samples: int, *, family: Family, memory_bytes: int
) -> Array:
    """What `teacher` gives for the training samples: logits of classes, or numbers.

    Probabilities become logits: the logarithm of each, or of its odds where there is one a class.

    Args:
        teacher: a function from a tuple of arrays to its output, ``(batch, …)``.
        feed: the training samples.
        samples: how many there are.
        family: what the student's loss takes.
        memory_bytes: what is larger goes to a temporary file, which ends with the array.

    Returns:
        float32 ``(samples, …)``, in the order of the feed's rows.
    """
    held: Array | None = None
    done = 0
    for piece in feed.pieces():
        made = np.asarray(teacher(piece), np.float32)
        if held is None:
            held = _room((samples, *made.shape[1:]), memory_bytes)
        held[done : done + len(made)] = made
        done += len(made)
    assert held is not None
    if family in ("values", "own"):
        return held
    return _as_logits(held, one_each=family == "binary")


def soft_loss(targets: Any, predicted: Any, settings: TrainingSettings, goal: Goal) -> Any:
    """The teacher's part of the loss of a batch, the temperature's square included.

    Args:
        targets: a batch of `teacher_targets`.
        predicted: what the student gives.
        settings: the temperature.
        goal: what the student's output is.
    """
    import tensorflow as tf

    predicted = tf.cast(predicted, tf.float32)
    if goal.family in ("values", "own"):
        return tf.reduce_mean(tf.square(targets - predicted))
    heat = settings.temperature
    if goal.family == "binary":
        logits = predicted if goal.from_logits else _odds(predicted)
        taught = tf.sigmoid(targets / heat)
        apart = taught * (_log_sigmoid(targets / heat) - _log_sigmoid(logits / heat))
        apart += (1 - taught) * (_log_sigmoid(-targets / heat) - _log_sigmoid(-logits / heat))
    else:
        logits = predicted
        if not goal.from_logits:
            logits = tf.math.log(tf.clip_by_value(predicted, _LEAST, 1.0))
        taught = tf.nn.log_softmax(targets / heat)
        apart = tf.exp(taught) * (taught - tf.nn.log_softmax(logits / heat))
        apart = tf.reduce_sum(apart, axis=-1)
    return tf.reduce_mean(apart) * heat**2


def distilling(student: Any, settings: TrainingSettings, goal: Goal, keras: Any) -> Any:
    """A model around `student`, and of its weights, whose loss has the teacher's part.

    It takes ``(inputs, targets)`` to train, and ``(inputs,)`` to validate against the labels.
    """

    def initialize(self: Any) -> None:
        keras.Model.__init__(self)
        self.student = student

    def call(self: Any, inputs: Any, training: Any = None) -> Any:
        return self.student(inputs[0], training=training)

    def compute_loss(
        self: Any,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        **more: Any,
    ) -> Any:
        """The loss of the labels, and of the teacher where `x` has its targets."""
        labels = keras.Model.compute_loss(
            self, x=x, y=y, y_pred=y_pred, sample_weight=sample_weight, **more
        )
        if len(x) == 1:
            return labels
        share = settings.alpha
        soft = soft_loss(x[1], y_pred, settings, goal)
        return (1 - share) * labels + share * (soft + sum(self.losses))  # which labels has, too

    made = type(
        "Distilling",
        (keras.Model,),
        {"__init__": initialize, "call": call, "compute_loss": compute_loss},
    )
    return made()


def teacher_function(teacher: Any, output: int, shape: tuple[int | None, ...]) -> Any:
    """`teacher`, of either Keras, as a function from a tuple of arrays to one output.

    Args:
        teacher: takes what the student takes.
        output: the number of the student's output that is trained.
        shape: of that output, batch first.

    Raises:
        UsageError: its output has another shape.
    """
    import tensorflow as tf

    outputs = getattr(teacher, "outputs", None)
    if outputs:
        chosen = outputs[output if output < len(outputs) else 0]
        found = tuple(chosen.shape)
        if found[1:] != tuple(shape)[1:]:
            message = (
                f"--teacher: gives {found[1:]} for each sample, the model {tuple(shape)[1:]}; "
                "give a teacher of the same classes"
            )
            raise UsageError(message)
        maker = _module_of(teacher)
        given = teacher.inputs if len(teacher.inputs) > 1 else teacher.inputs[0]
        teacher = maker.Model(given, chosen)
        fixed = tf.nest.flatten(given)[0].shape[0]
    else:
        fixed = None
    run = tf.function(lambda arrays: teacher(arrays, training=False), reduce_retracing=True)

    def answer(arrays: tuple[Array, ...]) -> Array:
        count = len(arrays[0])
        if fixed is not None and count < fixed:  # the last piece, filled up
            rows = np.arange(fixed) % count
            arrays = tuple(array[rows] for array in arrays)
        tensors = tuple(tf.constant(array) for array in arrays)
        return np.asarray(run(tensors if len(tensors) > 1 else tensors[0]).numpy()[:count])

    return answer


def check_teacher(teacher: Any, model: Any) -> None:
    """Whether `teacher` takes what `model` takes.

    Raises:
        UsageError: it does not.
    """
    ours, theirs = (getattr(one, "inputs", None) or [] for one in (model, teacher))
    mine, its = ([tuple(tensor.shape)[1:] for tensor in one] for one in (ours, theirs))
    if mine and its and mine != its:
        message = (
            f"--teacher: takes {', '.join(map(str, its))}, the model {', '.join(map(str, mine))}; "
            "give a teacher that takes the same samples"
        )
        raise UsageError(message)


def _module_of(model: Any) -> Any:
    if any(kind.__module__.startswith("tf_keras") for kind in type(model).__mro__):
        import tf_keras

        return tf_keras
    import keras

    return keras


def _room(shape: tuple[int, ...], memory_bytes: int) -> Array:
    if int(np.prod(shape)) * 4 <= memory_bytes:
        return np.empty(shape, np.float32)
    with tempfile.NamedTemporaryFile(prefix="edgekit-teacher-") as file:  # gone once let go of
        return np.memmap(Path(file.name), np.float32, "w+", shape=shape)


def _as_logits(held: Array, *, one_each: bool) -> Array:
    """`held` itself if it is logits already; changed in place, piece by piece."""
    for start in range(0, len(held), 4096):
        part = held[start : start + 4096]
        sums = part.sum(axis=-1)
        shares = bool((part >= 0).all() and (part <= 1).all())
        if not shares or not (one_each or bool((np.abs(sums - 1) < 1e-2).all())):
            return held
    for start in range(0, len(held), 4096):
        part = np.clip(held[start : start + 4096], _LEAST, 1 - _LEAST if one_each else 1)
        held[start : start + 4096] = np.log(part / (1 - part)) if one_each else np.log(part)
    return held


def _odds(shares: Any) -> Any:
    import tensorflow as tf

    held = tf.clip_by_value(shares, _LEAST, 1 - _LEAST)
    return tf.math.log(held / (1 - held))


def _log_sigmoid(values: Any) -> Any:
    import tensorflow as tf

    return tf.math.log_sigmoid(values)
