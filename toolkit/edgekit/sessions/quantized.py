"""Real numbers to stored integers and back: ``real = scale * (stored - zero_point)``."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.errors import DataError
from edgekit.tensors import Quantization, TensorSpec


def quantize(values: NDArray[Any], spec: TensorSpec) -> NDArray[Any]:
    """What the file stores for `values`: divided, rounded half to even, clipped, then cast.

    Out-of-range values saturate; they never wrap around.

    Args:
        values: real numbers, of any numeric dtype.
        spec: a tensor with `quantization`.

    Raises:
        DataError: `values` has a NaN, which no integer stands for.
    """
    assert spec.quantization is not None
    real = np.asarray(values, dtype=np.float32)
    if np.isnan(real).any():
        message = f"input {spec.name!r}: NaN has no value in {spec.dtype}; remove it from the data"
        raise DataError(message)
    scale, zero_point = _columns(spec.quantization, real.ndim)
    limits = np.iinfo(spec.dtype)
    stored = np.rint(real / scale) + zero_point
    clipped: NDArray[Any] = np.clip(stored, limits.min, limits.max).astype(spec.dtype)
    return clipped


def dequantize(stored: NDArray[Any], spec: TensorSpec) -> NDArray[np.float32]:
    """The real numbers that `stored` stands for, as float32 of the same shape."""
    assert spec.quantization is not None
    scale, zero_point = _columns(spec.quantization, stored.ndim)
    real: NDArray[np.float32] = (stored.astype(np.float32) - zero_point) * scale
    return real


def stored(values: NDArray[Any], spec: TensorSpec) -> NDArray[Any]:
    """`values` as the file takes them.

    Data of the file's own dtype passes through; integer-quantized inputs are quantized; other
    numbers are cast, and refused where the cast would change them.

    Raises:
        DataError: NaN, fractions, or numbers too large for an integer input; text for numbers.
    """
    values = np.asarray(values)
    if spec.dtype in (values.dtype.name, "string"):
        return values
    if values.dtype.kind not in "biuf":
        message = (
            f"input {spec.name!r}: is {values.dtype}, the model takes {spec.dtype}; convert it"
        )
        raise DataError(message)
    if spec.quantization is not None:
        return quantize(values, spec)
    wanted = np.dtype(spec.dtype)
    if wanted.kind in "iu":
        limits = np.iinfo(wanted)
        fits = np.isfinite(values) & (values >= limits.min) & (values <= limits.max)
        if not (fits.all() and (values == np.trunc(values)).all()):
            message = (
                f"input {spec.name!r}: the model takes {spec.dtype}, and the data has fractions "
                "or numbers outside its range; check --preprocess and which input it belongs to"
            )
            raise DataError(message)
    return values.astype(wanted)


def _columns(
    quantization: Quantization, rank: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Scales and zero points, shaped so that they broadcast along their axis."""
    scale = np.asarray(quantization.scale, np.float32)
    zero_point = np.asarray(quantization.zero_point, np.float32)
    if quantization.axis is None or scale.size == 1:
        return scale.reshape(-1)[:1], zero_point.reshape(-1)[:1]
    shape = [1] * rank
    shape[quantization.axis] = -1
    return scale.reshape(shape), zero_point.reshape(shape)
