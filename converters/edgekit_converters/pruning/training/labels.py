"""Labels made fit for a loss: class numbers, one-hot rows, zeros and ones, or numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.errors import DataError
from edgekit.quote import first_line
from edgekit.task import class_numbers, is_one_hot
from edgekit_converters.pruning.training.compiled import Family

Array = NDArray[Any]
_TASK = "say --task regression if they are values"
"""What `edgekit evaluate` would advise."""


def fit_labels(
    labels: Array,
    family: Family,
    output: Sequence[int | None],
    *,
    source: str = "data",
) -> Array:
    """`labels` as the loss wants them for an output of the shape `output`.

    Args:
        labels: ``(samples,)`` or ``(samples, …)``, as the data has them.
        family: what the loss takes.
        output: shape of the model's output, batch first.
        source: the data's text, the subject of every message.

    Returns:
        int32 ``(samples, …)`` for class numbers, else float32 of the shape of the output.

    Raises:
        DataError: they are no classes of the model, or not as many numbers as the output has.
    """
    try:
        _check_finite(labels)
        if family == "sparse":
            return _numbers(labels, output)
        if family == "categorical":
            return _shares(labels, output)
        if family == "binary":
            return _zeros_and_ones(labels, output)
        if family == "own" and output[-1] != 1 and _are_numbers_of_classes(labels, output):
            return np.asarray(labels, np.int32)
        return _values(labels, output)
    except DataError as error:
        told = first_line(error).replace(_TASK, "give --loss mse if they are values")
        message = f"{source}: {told}"
        raise DataError(message) from error


def _numbers(labels: Array, output: Sequence[int | None]) -> Array:
    classes = output[-1]
    if classes == 1:
        message = (
            "labels: the model gives one number a sample, not one for each class; "
            "give --loss binary_crossentropy, or a loss for numbers"
        )
        raise DataError(message)
    if labels.ndim == len(output) and labels.shape[-1] == classes and _are_shares(labels):
        labels = np.argmax(labels, axis=-1)
    elif labels.ndim == len(output) and labels.shape[-1] == 1:
        labels = labels[..., 0]
    if labels.ndim != len(output) - 1:
        message = (
            f"labels: have shape {labels.shape[1:]} for each sample, the model gives "
            f"{tuple(output[1:])}; give class numbers"
        )
        raise DataError(message)
    flat = class_numbers(labels.reshape(-1), classes, None)
    return np.asarray(flat.reshape(labels.shape), np.int32)


def _shares(labels: Array, output: Sequence[int | None]) -> Array:
    classes = output[-1]
    if labels.ndim == len(output) and labels.shape[-1] == classes:
        if labels.dtype.kind == "f" and (labels.min() < 0 or labels.max() > 1):
            low, high = labels.min(), labels.max()
            message = f"labels: go from {low:g} to {high:g}; give shares within 0..1"
            raise DataError(message)
        return np.asarray(labels, np.float32)
    numbers = _numbers(labels, output)
    return np.eye(classes or int(numbers.max()) + 1, dtype=np.float32)[numbers]


def _zeros_and_ones(labels: Array, output: Sequence[int | None]) -> Array:
    width = output[-1]
    if len(output) == 2 and width != 1 and (labels.ndim == 1 or is_one_hot(labels)):
        return _shares(labels, output)
    if width == 1 and is_one_hot(labels) and labels.shape[1] == 2:
        labels = np.argmax(labels, axis=1)
    made = _values(labels, output)
    if made.min() < 0 or made.max() > 1:
        message = (
            f"labels: go from {made.min():g} to {made.max():g}, and the loss takes 0 and 1; "
            "check the labels, or give another --loss"
        )
        raise DataError(message)
    return made


def _values(labels: Array, output: Sequence[int | None]) -> Array:
    wanted = tuple(output[1:])
    found = tuple(labels.shape[1:])
    if len(found) == len(wanted) - 1 and wanted[-1:] == (1,):
        labels = labels[..., np.newaxis]
        found = tuple(labels.shape[1:])
    matches = len(found) == len(wanted) and all(
        w is None or w == f for w, f in zip(wanted, found, strict=True)
    )
    if not matches:
        message = (
            f"labels: have shape {found} for each sample, the model gives {wanted}; "
            "give labels of that shape, or a --loss for classes"
        )
        raise DataError(message)
    return np.asarray(labels, np.float32)


def _check_finite(labels: Array) -> None:
    if labels.dtype.kind == "f" and not np.isfinite(labels).all():
        message = "labels: have NaN or infinite values; clean the data"
        raise DataError(message)


def _are_shares(labels: Array) -> bool:
    return labels.shape[-1] > 1 and bool(
        np.isin(labels, (0, 1)).all() and (labels.sum(axis=-1) == 1).all()
    )


def _are_numbers_of_classes(labels: Array, output: Sequence[int | None]) -> bool:
    return labels.dtype.kind in "iu" and labels.ndim == len(output) - 1
