"""Looking at samples before they are used: NaN, too few, all the same, pixels in a wrong range."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from edgekit.errors import DataError
from edgekit.pixels import is_image_like
from edgekit.tensors import TensorSpec

Array = NDArray[Any]

Purpose = Literal["calibration", "evaluation"]
PixelRange = Literal["0..255", "0..1"]

FEW_SAMPLES = 10
"""Fewer give a warning; one alone is refused for calibration."""
_BRIGHT = 128
"""Pictures with no value above this are not taken for raw 0..255 pixels."""


def check(
    batch: Mapping[str, Array],
    inputs: Sequence[TensorSpec],
    *,
    purpose: Purpose,
    pixel_range: PixelRange | None = None,
    preprocess_was_given: bool | Collection[str] = False,
    labels: Array | None = None,
    source: str = "data",
) -> tuple[str, ...]:
    """Judge the samples that are about to be used, as they will go into the model.

    Args:
        batch: all of them, for each input ``(samples, …)``, prepared.
        inputs: the model's inputs.
        purpose: what they are for; calibration is judged more strictly.
        pixel_range: what the model's first layers expect of pictures: "0..255" when it rescales
            them itself, "0..1" when it has no such layer, None when that is unknown.
        preprocess_was_given: whether the user said how to prepare them, be it ``none``; or the
            names of the inputs for which that is so, see `preprocess.decided`.
        labels: of these samples, to see whether there is more than one class.
        source: the data's text, the subject of every message.

    Returns:
        Warnings, a sentence each.

    Raises:
        DataError: NaN or infinity; one sample, or identical ones, for calibration; pictures in
            another range than the model's.
    """
    warnings: list[str] = []
    samples = len(next(iter(batch.values())))
    for spec in inputs:
        _check_finite(batch[spec.name], spec.name, source)
    warnings += _check_count(samples, purpose, source)
    for spec in inputs:
        if is_image_like(spec.shape) and batch[spec.name].dtype.kind == "f":
            given = preprocess_was_given
            was_given = given if isinstance(given, bool) else spec.name in given
            warnings += _check_range(batch[spec.name], spec.name, pixel_range, was_given, source)
    warnings += _check_variety(batch, purpose, source)
    if labels is not None and samples >= 2:
        warnings += _check_labels(labels, source)
    return tuple(warnings)


def _check_finite(values: Array, name: str, source: str) -> None:
    if values.dtype.kind != "f":
        return
    bad = ~np.isfinite(values)
    if not bad.any():
        return
    nan = int(np.isnan(values).sum())
    infinite = int(bad.sum()) - nan
    counts = [f"{nan} NaN"] * (nan > 0) + [f"{infinite} infinite"] * (infinite > 0)
    rows = int(bad.reshape(len(values), -1).any(axis=1).sum())
    message = (
        f"{source}: input {name!r} has {' and '.join(counts)} values, in {rows} of {len(values)} "
        "samples; clean the data"
    )
    raise DataError(message)


def _check_count(samples: int, purpose: Purpose, source: str) -> list[str]:
    if samples < 2 and purpose == "calibration":
        message = (
            f"{source}: is a single sample, from which no range can be learned; "
            "give at least 2, better 100 or more"
        )
        raise DataError(message)
    if samples < FEW_SAMPLES:
        count = f"{samples} samples" if samples > 1 else "1 sample"
        then = "ranges learned from so few" if purpose == "calibration" else "figures from so few"
        return [f"{source}: only {count}; {then} can be far off, better give 100 or more"]
    return []


def _check_range(
    values: Array, name: str, expected: PixelRange | None, was_given: bool, source: str
) -> list[str]:
    low, high = float(values.min()), float(values.max())
    if low < 0 or high > 255:
        return []
    if was_given:
        if expected != "0..255" or not 0 < high <= 1:
            return []
        return [
            f"{source}: input {name!r} is within 0..1 after --preprocess, and the model rescales "
            "from 0..255 itself; is it done twice?"
        ]
    if expected != "0..255" and high >= _BRIGHT:
        message = (
            f"{source}: input {name!r}: values reach {high:g} "
            "but the model has no Rescaling layer; add --preprocess scale=1/255 "
            "(or --preprocess none if it was trained on 0..255)"
        )
        raise DataError(message)
    if expected == "0..255" and 0 < high <= 1:
        message = (
            f"{source}: input {name!r}: values stay within 0..1 "
            "but the model rescales from 0..255; add --preprocess scale=255 "
            "(or --preprocess none if they are right)"
        )
        raise DataError(message)
    return []


def _check_variety(batch: Mapping[str, Array], purpose: Purpose, source: str) -> list[str]:
    """All inputs the same in every sample: an error. One of several inputs: a warning."""
    if len(next(iter(batch.values()))) < 2:
        return []
    same = [name for name, values in batch.items() if (values == values[:1]).all()]
    if len(same) == len(batch):
        message = f"{source}: all samples are identical; give different ones"
        if purpose == "calibration":
            raise DataError(message)
        return [message]
    return [f"{source}: input {name!r} is the same in all samples" for name in same]


def _check_labels(labels: Array, source: str) -> list[str]:
    one_each = labels.ndim == 1 and labels.dtype.kind in "iu"
    if one_each and len(labels) >= 2 and (labels == labels[0]).all():
        return [f"{source}: all samples have the label {labels[0]}; give samples of every class"]
    return []
