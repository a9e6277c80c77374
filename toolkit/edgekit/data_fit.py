"""Making data fit the input they are for: channel axis, preparation, shape, dtype."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit import pixels
from edgekit.errors import DataError
from edgekit.preprocess import Preprocess
from edgekit.tensors import TensorSpec

Array = NDArray[Any]

_COLOURS = ("gray", "rgb", "bgr")


def sample_dtype(spec: TensorSpec) -> np.dtype[Any]:
    """What samples for `spec` are given as; a quantized input takes real numbers, as float32.

    Raises:
        DataError: the input takes text, or a type NumPy does not know.
    """
    if spec.quantization is not None:
        return np.dtype(np.float32)
    try:
        dtype = np.dtype(spec.dtype)
    except TypeError:
        dtype = np.dtype(object)
    if dtype.kind not in "biuf":
        message = (
            f"input {spec.name!r} takes {spec.dtype}, for which there is no data; "
            "take the part of the model behind it"
        )
        raise DataError(message)
    return dtype


def fit(array: Array, spec: TensorSpec, preprocess: Preprocess | None = None) -> Array:
    """Prepare a batch for the input `spec`, and refuse what does not fit.

    Args:
        array: ``(samples, …)``; the channel axis of gray pictures (and of series of single numbers)
            may be missing.
        spec: the input; its first dimension is the batch.
        preprocess: steps to run first, on the values as they are.

    Returns:
        ``(samples, *spec.shape[1:])`` of `sample_dtype`.

    Raises:
        DataError: another shape, a dtype that cannot be the input's without loss.
    """
    check_kind(array, spec)
    prepared = with_channel_axis(array, spec.shape[1:], preprocess)
    if preprocess is not None and not preprocess.is_identity:
        prepared = preprocess.apply(prepared, spec)
    if not matches(prepared.shape[1:], spec.shape[1:]):
        becomes = "" if prepared.shape == array.shape else f" (then {prepared.shape[1:]})"
        message = (
            f"samples for input {spec.name!r} are {array.shape[1:]}{becomes}, the model takes "
            f"{tuple(spec.shape[1:])}; {_shape_advice(prepared.shape[1:], spec.shape[1:])}"
        )
        raise DataError(message)
    return cast(prepared, spec)


def check_kind(array: Array, spec: TensorSpec) -> None:
    """Refuse what are not numbers.

    Raises:
        DataError: text, objects, dates, complex numbers.
    """
    if array.dtype.kind not in "biuf":
        what = {"O": "Python objects", "c": "complex numbers"}.get(array.dtype.kind, "text")
        what = "dates" if array.dtype.kind in "mM" else what
        message = (
            f"samples for input {spec.name!r} are {what} ({array.dtype}); "
            f"give numbers ({spec.dtype})"
        )
        raise DataError(message)


def matches(shape: Sequence[int], wanted: Sequence[int | None]) -> bool:
    """Whether a sample of `shape` can be one of `wanted`, where None takes any size."""
    return len(shape) == len(wanted) and all(
        want is None or got == want for got, want in zip(shape, wanted, strict=True)
    )


def with_channel_axis(
    array: Array, wanted: Sequence[int | None], preprocess: Preprocess | None = None
) -> Array:
    """``(samples, height, width)`` becomes ``(samples, height, width, 1)`` where that is wanted."""
    if array.ndim != len(wanted):
        return array
    if wanted and wanted[-1] == 1:
        return array[..., np.newaxis]
    colours = preprocess is not None and any(step.name in _COLOURS for step in preprocess.steps)
    if len(wanted) == 3 and (colours or wanted[0] == 1):
        first = pixels.is_channels_first(wanted)
        return array[:, np.newaxis] if first else array[..., np.newaxis]
    return array


def cast(array: Array, spec: TensorSpec) -> Array:
    """`array` as the input's dtype, when that loses nothing that counts.

    Integers may become float, and floats integers where they are whole and in range.

    Raises:
        DataError: fractions, NaN, or values out of range for an integer input.
    """
    dtype = sample_dtype(spec)
    if array.dtype == dtype:
        return array
    if dtype.kind == "f":
        with np.errstate(over="ignore"):  # becomes inf, which the checks report
            return array.astype(dtype)
    if dtype.kind == "b":
        low, high = 0, 1
    else:
        low, high = int(np.iinfo(dtype).min), int(np.iinfo(dtype).max)
    if array.dtype.kind == "f" and not np.array_equal(array, np.trunc(array)):
        message = (
            f"samples for input {spec.name!r} have fractions or NaN ({array.dtype}), "
            f"the model takes {spec.dtype}; give whole numbers, or leave out --preprocess"
        )
        raise DataError(message)
    if array.size and (array.min() < low or array.max() > high):
        message = (
            f"samples for input {spec.name!r} go from {array.min()} to {array.max()}, the model "
            f"takes {spec.dtype} ({low} to {high}); give values in that range"
        )
        raise DataError(message)
    return array.astype(dtype)


def _shape_advice(shape: Sequence[int], wanted: Sequence[int | None]) -> str:
    if len(shape) == 3 and len(wanted) == 3:
        size, channels = shape[:2], shape[2]
        if pixels.is_channels_first(shape) != pixels.is_channels_first(wanted):
            return "move the channel axis"
        if channels == wanted[2] and None not in wanted[:2]:
            return f"add --preprocess resize={wanted[0]}x{wanted[1]}"
        if matches(size, wanted[:2]) and wanted[2] in (1, 3) and channels in (1, 3, 4):
            return f"add --preprocess {'gray' if wanted[2] == 1 else 'rgb'}"
    if len(shape) == 2 and len(wanted) == 3 and wanted[2] == 3:
        return "add --preprocess rgb if they are gray images"
    if len(shape) == len(wanted) == 1 and wanted[0] == shape[0] - 1:
        return "reshape them, or call the column of a table 'label' if one of them is that"
    return "reshape them"
