"""Arrays as samples of a model input, whether the batch dimension is there or not."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.data_fit import fit, matches, with_channel_axis
from edgekit.errors import DataError
from edgekit.pixels import is_image_like
from edgekit.preprocess import Preprocess
from edgekit.tensors import TensorSpec

Array = NDArray[Any]

_BRIGHT = 128
"""Arrays for pictures that reach this are pixels that nobody scaled."""


def has_batch(spec: TensorSpec) -> bool:
    """Whether the first dimension counts samples; a vector or a number alone is one sample."""
    return len(spec.shape) > 1


def prepare_array(array: Array, spec: TensorSpec, steps: Preprocess | None) -> Array:
    """What the model is given for `array`: ``(samples, …)``, or one sample without that.

    Arrays of the dtype that a quantized input stores go in untouched, unless there are steps.

    Args:
        array: one sample, or several.
        spec: the input it is for.
        steps: how it is prepared; None where nobody said.

    Raises:
        DataError: empty, no numbers, or not what the input takes.
    """
    if 0 in array.shape:
        message = f"the array for {spec.name!r} is empty, {array.shape}; give at least one sample"
        raise DataError(message)
    if not has_batch(spec):
        if not matches(array.shape, spec.shape):
            message = f"is an array of {array.shape}, the input takes {spec.shape}; reshape it"
            raise DataError(message)
        whole: Array = fit(array[np.newaxis], batched(spec), steps)[0]
        return whole
    samples = _with_batch(array, spec, steps)
    untouched = steps is None and spec.quantization is not None and samples.dtype == spec.dtype
    if untouched:
        samples = with_channel_axis(samples, spec.shape[1:])
        if matches(samples.shape[1:], spec.shape[1:]):
            return samples
    return fit(samples, spec, steps)


def batched(spec: TensorSpec) -> TensorSpec:
    """`spec` with a batch dimension of 1 in front."""
    return TensorSpec(
        name=spec.name, shape=(1, *spec.shape), dtype=spec.dtype, quantization=spec.quantization
    )


def _with_batch(array: Array, spec: TensorSpec, steps: Preprocess | None) -> Array:
    """``(samples, …)``: `array` itself, or it as the only sample; whichever fits the input."""
    wanted = spec.shape[1:]
    single = array[np.newaxis]
    for candidate in (array, single):
        if candidate.ndim and matches(
            with_channel_axis(candidate, wanted, steps).shape[1:], wanted
        ):
            return candidate
    is_picture = array.ndim == 3 and len(wanted) == 3 and array.shape[-1] in (1, 3, 4)
    return single if array.ndim < len(wanted) or is_picture else array


def doubt(array: Array, spec: TensorSpec, steps: Preprocess | None) -> str:
    """What to tell about arrays of pixels whose preparation nobody told; else nothing."""
    if steps is not None or array.dtype.kind != "f" or not is_image_like(spec.shape):
        return ""
    low, high = float(array.min()), float(array.max())
    if not (low >= 0 and _BRIGHT <= high <= 255):
        return ""
    return (
        f"input {spec.name!r}: values reach {high:g}, and the model does not say how pixels become "
        "its input; if it takes 0..1 give --preprocess scale=1/255, else --preprocess none"
    )
