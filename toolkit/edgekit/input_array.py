"""Arrays as samples of a model input, whether the batch dimension is there or not."""

from __future__ import annotations

from dataclasses import dataclass
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
_LOOKED_AT = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class InputColumn:
    """The samples for one input; prepared when they are taken."""

    spec: TensorSpec
    steps: Preprocess | None
    """How they are prepared; None where nobody said."""
    samples: Array
    """``(samples, *sample shape)``."""
    is_prepared: bool = False
    has_batch: bool = True
    """Whether the model wants that first dimension."""

    def __len__(self) -> int:
        return len(self.samples)

    def take(self, start: int, stop: int) -> Array:
        """What the model is given for the samples from `start`; for the only one, whatever it is.

        Arrays of the dtype that a quantized input stores go in untouched, unless there are steps.

        Raises:
            DataError: they are not what the input takes.
        """
        rows = self.samples if len(self.samples) == 1 else self.samples[start:stop]
        made: Array = rows if self.is_prepared else _prepared(rows, self.spec, self.steps)
        return made if self.has_batch else made[0]

    @property
    def doubt(self) -> str:
        """What to tell about pixels of which nobody told how they become the input."""
        if self.steps is not None or self.is_prepared or not is_image_like(self.spec.shape):
            return ""
        some = self.take(0, _LOOKED_AT)
        low, high = float(some.min()), float(some.max())
        if some.dtype.kind != "f" or not (low >= 0 and _BRIGHT <= high <= 255):
            return ""
        return (
            f"input {self.spec.name!r}: values reach {high:g}, and the model does not say how "
            "pixels become its input; if it takes 0..1 give --preprocess scale=1/255, "
            "else --preprocess none"
        )


def column(array: Array, spec: TensorSpec, steps: Preprocess | None) -> InputColumn:
    """`array` as samples for `spec`: several, or one with or without a batch dimension of 1.

    A vector or a number, for an input that takes one, is a single sample.

    Raises:
        DataError: it is empty, or the input takes another shape or other values.
    """
    if 0 in array.shape:
        message = f"the array for {spec.name!r} is empty, {array.shape}; give at least one sample"
        raise DataError(message)
    has_batch = _has_batch(spec)
    samples = _with_batch(array, spec, steps) if has_batch else array[np.newaxis]
    found = InputColumn(spec=spec, steps=steps, samples=samples, has_batch=has_batch)
    found.take(0, 1)
    return found


def _has_batch(spec: TensorSpec) -> bool:
    return len(spec.shape) > 1


def _prepared(rows: Array, spec: TensorSpec, steps: Preprocess | None) -> Array:
    if not _has_batch(spec):
        spec = TensorSpec(
            name=spec.name, shape=(1, *spec.shape), dtype=spec.dtype, quantization=spec.quantization
        )
    if steps is None and spec.quantization is not None and rows.dtype == spec.dtype:
        stored = with_channel_axis(rows, spec.shape[1:])
        if matches(stored.shape[1:], spec.shape[1:]):
            return stored
    return fit(rows, spec, steps)


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
