"""How much each channel matters: by its weights, its batch-norm scale, or what the loss says."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from edgekit.errors import UsageError
from edgekit_converters.pruning.channels.graph import (
    ChannelGraph,
    Numbers,
    Weight,
    variables_by_path,
)
from edgekit_converters.pruning.training.task_loss import Batch, Loss, as_tensors, task_loss
from edgekit_converters.tensorflow_setup import tensorflow

Importance = Literal["magnitude", "batch-norm", "taylor"]
Scores = NDArray[np.float64]
Report = Callable[[str], None]

_KERNELS = ("kernel", "depthwise", "recurrent")
_READERS = ("kernel", "recurrent")
_MAKERS = ("kernel", "bias", "other")


def magnitude(model: Any, graph: ChannelGraph) -> Scores:
    """Scores of shape (channel_count,): how large the weights are that make and read a channel.

    For a kernel W and the slice of it that makes channel c, or that reads it, ``m(W, c) =
    |W_c|_2``, divided by its mean over the channels of the group; a channel's score is the mean of
    that over all such slices. The norm of what makes a channel is the measure of Li et al.,
    *Pruning Filters for Efficient ConvNets* (2017); taking all coupled layers, readers too, is that
    of Fang et al., *DepGraph* (2023): behind a normalisation only the readers tell how much of the
    channel is used.
    """
    return _over_groups(graph, _magnitudes(model, graph))


def batch_norm(model: Any, graph: ChannelGraph) -> Scores:
    """Scores of shape (channel_count,): the size of the batch normalisation's scale.

    ``|gamma_c|``, divided by its mean over the group, and the mean of that where several
    normalisations stand behind the layers of a group. After Liu et al., *Network Slimming* (2017).
    Groups without such a normalisation are scored by `magnitude`.
    """
    variables = variables_by_path(model)
    parts = []
    for weight in graph.weights:
        if weight.role == "scale":
            values = np.abs(_array(variables[weight.path]))
            parts.append(_sums_along(values, weight.axes, graph.channel_count))
    found = _over_groups(graph, parts)
    missing = np.zeros(graph.channel_count, np.bool_)
    for group in graph.groups:
        missing[group.channels] = not np.any(found[group.channels])
    return np.where(missing, magnitude(model, graph), found) if missing.any() else found


def taylor(
    model: Any,
    graph: ChannelGraph,
    batches: Sequence[Batch],
    loss: Loss = None,
    report: Report | None = None,
) -> Scores:
    """Scores of shape (channel_count,): how much the loss should change without a channel.

    ``mean over batches of (sum over s of w_s * dL/dw_s)**2``, where s runs over the weights of all
    kernels that *read* the channel, divided by its mean over the group. Kernels are linear in what
    they read, so the sum is the derivative of the loss by a gate before them: Molchanov et al.,
    *Importance Estimation for Neural Network Pruning* (2019), equation 8 in the form for gates.
    A channel that no kernel reads (the features of a query, whose readers are products of
    activations) has the sum over the kernels and biases that make it: a gate before the activation.
    Gradients are those of inference mode.

    Args:
        model: a Keras 3 model, compiled if `loss` is None.
        graph: its channels.
        batches: of the user's data with labels; small ones, of tens of samples, tell more.
        loss: instead of the compiled one.
        report: told how far it is.

    Raises:
        UsageError: no data, no loss, or the gradients are not numbers.
    """
    if not batches:
        message = "--importance taylor: needs data with labels; give --data, or another importance"
        raise UsageError(message)
    tf = tensorflow()
    variables = variables_by_path(model)
    weights = [
        weight
        for weight in graph.weights
        if weight.role in (*_READERS, *_MAKERS) and any(axis is not None for axis in weight.axes)
    ]
    reading = [_axes(weight, _READERS, made=False) for weight in weights]
    making = [_axes(weight, _MAKERS, made=True) for weight in weights]
    is_read = np.zeros(graph.channel_count, np.bool_)
    for axes in reading:
        for numbers in axes:
            if numbers is not None:
                is_read[numbers[numbers >= 0]] = True
    watched = [variables[weight.path].value for weight in weights]
    value = task_loss(model, loss)

    def products(x: Any, labels: Any) -> list[Any]:
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            for variable in watched:
                tape.watch(variable)
            result = value(x, labels)
        gradients = tape.gradient(result, watched, unconnected_gradients="zero")
        return [
            tf.convert_to_tensor(gradient) * tf.convert_to_tensor(variable)
            for gradient, variable in zip(gradients, watched, strict=True)
        ]

    compiled = tf.function(products, reduce_retracing=True)
    total = np.zeros(graph.channel_count)
    for number, (x, labels) in enumerate(batches, start=1):
        read, made = np.zeros((2, graph.channel_count))
        found = compiled(as_tensors(x), as_tensors(labels))
        for product, readers, makers in zip(found, reading, making, strict=True):
            array = np.asarray(product, np.float64)
            read += _sums_along(array, readers, graph.channel_count)
            made += _sums_along(array, makers, graph.channel_count)
        total += np.where(is_read, read, made) ** 2
        if report is not None:
            report(f"importance: batch {number} of {len(batches)}")
    if not np.isfinite(total).all():
        message = (
            "--importance taylor: the gradients on this data are not all finite; "
            "look for NaN in the data, or use --importance magnitude"
        )
        raise UsageError(message)
    return _over_groups(graph, [total])


def score(
    importance: Importance,
    model: Any,
    graph: ChannelGraph,
    *,
    batches: Sequence[Batch] = (),
    loss: Loss = None,
    report: Report | None = None,
) -> Scores:
    """Scores of shape (channel_count,) by the importance of that name.

    Raises:
        UsageError: it needs data or a loss that is not there.
    """
    if importance == "taylor":
        return taylor(model, graph, batches, loss, report)
    return batch_norm(model, graph) if importance == "batch-norm" else magnitude(model, graph)


def _magnitudes(model: Any, graph: ChannelGraph) -> list[Scores]:
    """One array for each axis of each kernel that has channels."""
    variables = variables_by_path(model)
    parts = []
    for weight in graph.weights:
        if weight.role not in _KERNELS or all(numbers is None for numbers in weight.axes):
            continue
        squares = _array(variables[weight.path]) ** 2
        for axis, numbers in enumerate(weight.axes):
            if numbers is not None:
                alone = tuple(numbers if axis == at else None for at in range(squares.ndim))
                parts.append(np.sqrt(_sums_along(squares, alone, graph.channel_count)))
    return parts


def _axes(weight: Weight, roles: Sequence[str], *, made: bool) -> tuple[Numbers | None, ...]:
    """The axes along which a variable of one of `roles` makes, or else reads, channels."""
    return tuple(
        numbers if weight.role in roles and (axis in weight.output_axes) == made else None
        for axis, numbers in enumerate(weight.axes)
    )


def _array(variable: Any) -> NDArray[np.float64]:
    return np.asarray(variable.numpy(), np.float64)


def _sums_along(
    values: NDArray[np.float64], axes: Sequence[Numbers | None], channel_count: int
) -> Scores:
    """For each channel the sum of the numbers that belong to it, along whichever axis."""
    sums = np.zeros(channel_count)
    for axis, numbers in enumerate(axes):
        if numbers is None:
            continue
        others = tuple(other for other in range(values.ndim) if other != axis)
        ours = numbers >= 0
        np.add.at(sums, numbers[ours], values.sum(axis=others)[ours])
    return sums


def _over_groups(graph: ChannelGraph, parts: Sequence[Scores]) -> Scores:
    """The mean of the parts, each divided by its mean over the group that it speaks of."""
    scores = np.zeros(graph.channel_count)
    for group in graph.groups:
        means = [part[group.channels].mean() for part in parts]
        spoken = [
            part[group.channels] / mean for part, mean in zip(parts, means, strict=True) if mean > 0
        ]
        if spoken:
            scores[group.channels] = np.mean(spoken, axis=0)
    return scores
