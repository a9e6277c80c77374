"""What a model is scored on: class numbers, a yes or no, or numbers; and labels made fit for it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from edgekit.errors import DataError, UsageError

Array = NDArray[Any]

Task = Literal["classification", "regression"]
Kind = Literal["classes", "binary", "decisions", "values"]
"""``classes``: a score for each class; ``binary``: one score; ``decisions``: the class number
itself; ``values``: numbers. All but the last are classification."""


def task_of(kind: Kind) -> Task:
    """What a user calls it."""
    return "regression" if kind == "values" else "classification"


def decide(asked: Task | None, labels: Array | None, outputs: Array) -> Kind:
    """How outputs like `outputs` are scored with `labels`.

    Args:
        asked: what the user said, if anything.
        labels: ``(samples, …)``, or None.
        outputs: some rows of the output, ``(rows, …)``.

    Raises:
        UsageError: `asked` cannot be done with this output.
        DataError: labels for several classes at once, which are not scored yet.
    """
    width = outputs[0].size if len(outputs) else 0
    is_integer = outputs.dtype.kind in "iub"
    if asked == "regression":
        return "values"
    if asked == "classification" or labels is None:
        if is_integer and width == 1:
            return "decisions"
        if outputs.ndim == 2 and width > 1:
            return "classes"
        if labels is None:
            return "values"
        if width == 1:
            return "binary"
        message = (
            f"--task classification: the output has shape {outputs.shape[1:]} for each sample, "
            "not one score for each class; choose another --output, or --task regression"
        )
        raise UsageError(message)
    if is_one_hot(labels):
        return "classes" if outputs.ndim == 2 and labels.shape[1] == width else "values"
    if labels.ndim == 2 and labels.shape[1] > 1 and bool(np.isin(labels, (0, 1)).all()):
        message = (
            "labels: several classes at once for a sample, which is not scored as classification; "
            "give one class each, or say --task regression"
        )
        raise DataError(message)
    if labels.ndim == 1 and _are_whole(labels):
        if is_integer and width == 1:
            return "decisions"
        if outputs.ndim == 2 and width > 1:
            return "classes"
        if width == 1 and bool(np.isin(labels, (0, 1)).all()):
            return "binary"
    return "values"


def is_one_hot(labels: Array) -> bool:
    """Whether each row is 0 but for one 1."""
    return (
        labels.ndim == 2
        and labels.shape[1] > 1
        and bool(np.isin(labels, (0, 1)).all())
        and bool((labels.sum(axis=1) == 1).all())
    )


def class_numbers(labels: Array, count: int | None, names: Sequence[int] | None) -> Array:
    """Labels as class numbers from 0: ``(samples,)`` of int64.

    Args:
        labels: class numbers, or one-hot rows.
        count: how many classes the model knows; None where it does not tell.
        names: the model's number for each class of the data, where the two are ordered differently.

    Raises:
        DataError: fractions, or numbers that are no class of the model.
    """
    if is_one_hot(labels):
        labels = np.argmax(labels, axis=1)
    if labels.ndim != 1 or not _are_whole(labels):
        message = (
            f"labels: {labels.dtype} of shape {labels.shape}, not one class number for each "
            "sample; say --task regression if they are values"
        )
        raise DataError(message)
    numbers = labels.astype(np.int64)
    if names is not None:
        numbers = np.asarray(names, np.int64)[numbers]
    low, high = int(numbers.min()), int(numbers.max())
    if low < 0 or (count is not None and high >= count):
        hint = "count classes from 0" if low == 1 and high == count else "check the labels"
        message = f"labels: go from {low} to {high}, the model knows {count} classes; {hint}"
        raise DataError(message)
    return numbers


def match_classes(ours: Sequence[str] | None, models: Sequence[str]) -> list[int] | None:
    """The model's number of each class of the data, by name; None where names do not help.

    Raises:
        DataError: some classes of the data are classes of the model, and others are not.
    """
    if not ours or not models:
        return None
    known = {_letters(name): number for number, name in enumerate(models)}
    found = [known.get(_letters(name)) for name in ours]
    if all(number is None for number in found):
        return None
    unknown = [name for name, number in zip(ours, found, strict=True) if number is None]
    if unknown:
        more = f" (and {len(unknown) - 1} more of the data)" if len(unknown) > 1 else ""
        message = (
            f"data: the model has no class {unknown[0]!r}{more}; "
            f"its classes are {', '.join(models[:10])}{', …' if len(models) > 10 else ''}; "
            "rename the classes of the data"
        )
        raise DataError(message)
    return [number for number in found if number is not None]


def _letters(name: str) -> str:
    """Letters and digits only: a folder cannot be called ``t-shirt/top``."""
    return "".join(letter for letter in name.casefold() if letter.isalnum()) or name


def _are_whole(labels: Array) -> bool:
    return labels.dtype.kind in "iub" or bool(
        np.isfinite(labels).all() and (labels == np.trunc(labels)).all()
    )
