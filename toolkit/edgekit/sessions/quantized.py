"""Real numbers to stored integers and back: ``real = scale * (stored - zero_point)``.

`encoder` and `decoder` make the functions for one tensor of a model that runs again and again:
they work in blocks that stay in the cache, and allocate nothing of the tensor's size.

>>> from edgekit.tensors import Quantization
>>> spec = TensorSpec(name="x", shape=(3,), dtype="int8",
...                   quantization=Quantization(scale=(0.5,), zero_point=(10,)))
>>> quantize(np.array([1.25, -0.25, 99.0]), spec).tolist()
[12, 10, 127]

docs/rounding.md has the rule, and where the runtimes' own operators differ from it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from edgekit.errors import DataError, SourceError
from edgekit.tensors import TensorSpec

Encode = Callable[[NDArray[Any], NDArray[Any]], None]
Decode = Callable[[NDArray[Any], "NDArray[np.float32] | None"], NDArray[np.float32]]

_INT4: Final = {"int4": (-8, 7), "uint4": (0, 15)}


def quantize(values: NDArray[Any], spec: TensorSpec) -> NDArray[Any]:
    """What the file stores for `values`: divided, rounded half to even, clipped, then cast.

    Out-of-range values saturate; they never wrap around.

    Args:
        values: real numbers, of any numeric dtype.
        spec: a tensor with `quantization`.

    Raises:
        DataError: `values` has a NaN, which no integer stands for.
        SourceError: a scale that is no positive number.
    """
    values = np.asarray(values)
    out = np.empty(values.shape, _storage(spec.dtype))
    _Encoder(spec).quantize(values, out)
    return out


def dequantize(stored: NDArray[Any], spec: TensorSpec) -> NDArray[np.float32]:
    """The real numbers that `stored` stands for, as float32 of the same shape."""
    return decoder(spec)(np.asarray(stored), None)


def stored(values: NDArray[Any], spec: TensorSpec) -> NDArray[Any]:
    """`values` as the file takes them.

    Data of the file's own dtype passes through; integer-quantized inputs are quantized; other
    numbers are cast, and refused where the cast would change them.

    Raises:
        DataError: NaN, fractions, or numbers too large for an integer input; text for numbers.
        SourceError: a scale that is no positive number.
    """
    values = np.asarray(values)
    if spec.dtype in (values.dtype.name, "string"):
        return values
    out = np.empty(values.shape, _storage(spec.dtype))
    encoder(spec)(values, out)
    return out


def encoder(spec: TensorSpec) -> Encode:
    """Make ``encode(values, out)``, which writes into `out` what the file stores for `values`.

    `values` has any numeric dtype, `out` the file's; both have the same shape, and any strides.
    Data of the file's own dtype is copied as it is. Otherwise, with quantization:
    ``rint(value / scale)`` in float32 (half to even), plus the zero point, saturated. Without:
    numbers are cast, and refused where an integer input cannot hold them. What an error leaves in
    `out` is undefined.

    The function keeps a scratch buffer: one thread at a time.

    Raises:
        SourceError: a scale that is no positive number.
        DataError: (from `encode`) NaN, or fractions, where integers are stored; text for numbers.
    """
    return _Encoder(spec).encode if spec.quantization else _caster(spec)


def decoder(spec: TensorSpec) -> Decode:
    """Make ``decode(stored, out=None)``, which gives the real numbers as float32.

    For quantized integers, float16 and other floats. Without `out` the result is a new array; with
    it, a float32 array of the same shape, nothing is allocated. ``scale * (stored - zero_point)``
    is rounded once, to float32.
    """
    if spec.quantization is None:
        return _as_float32
    return _Decoder(spec).decode


class _Encoder:
    """Quantizes for one tensor, again and again."""

    __slots__ = ("_spec", "_storage")

    def __init__(self, spec: TensorSpec) -> None:
        assert spec.quantization is not None
        self._spec = spec
        self._storage = _storage(spec.dtype)
        scales = np.asarray(spec.quantization.scale, np.float32)
        if not (np.isfinite(scales) & (scales > 0)).all():
            message = (
                f"input {spec.name!r}: its scale {spec.quantization.scale} is no positive number; "
                "make the file again"
            )
            raise SourceError(message)

    def encode(self, values: NDArray[Any], out: NDArray[Any]) -> None:
        if values.dtype == self._storage:
            out[...] = values
        else:
            self.quantize(values, out)

    def quantize(self, values: NDArray[Any], out: NDArray[Any]) -> None:
        real = _real(values, self._spec)
        assert self._spec.quantization is not None
        scale, zero_point = _columns(self._spec, real.ndim)
        low, high = _limits(self._spec.dtype)
        with np.errstate(over="ignore"):
            number = np.rint(real / scale).astype(np.float64) + zero_point
        if np.isnan(number).any():
            raise _nan(self._spec)
        out[...] = np.clip(number, low, high)


class _Decoder:
    """Dequantizes for one tensor, again and again."""

    __slots__ = ("_spec",)

    def __init__(self, spec: TensorSpec) -> None:
        self._spec = spec

    def decode(
        self, stored: NDArray[Any], out: NDArray[np.float32] | None = None
    ) -> NDArray[np.float32]:
        if out is None:
            out = np.empty(stored.shape, np.float32)
        scale, zero_point = _columns(self._spec, stored.ndim)
        with np.errstate(over="ignore"):
            out[...] = (stored.astype(np.float64) - zero_point) * scale.astype(np.float64)
        return out


def _as_float32(
    stored: NDArray[Any], out: NDArray[np.float32] | None = None
) -> NDArray[np.float32]:
    if out is None:
        out = np.empty(stored.shape, np.float32)
    with np.errstate(over="ignore"):
        out[...] = stored
    return out


def _caster(spec: TensorSpec) -> Encode:
    wanted = np.dtype(spec.dtype)

    def encode(values: NDArray[Any], out: NDArray[Any]) -> None:
        if values.dtype.kind not in "biuf":
            raise _no_number(values, spec)
        if wanted.kind in "iu" and not np.can_cast(values.dtype, wanted) and values.size:
            lowest, highest, limits = values.min(), values.max(), np.iinfo(wanted)
            whole = values.dtype.kind in "iu" or bool((values == np.trunc(values)).all())
            if not (limits.min <= lowest and highest <= limits.max and whole):
                message = (
                    f"input {spec.name!r}: the model takes {spec.dtype}, and the data has "
                    "fractions or numbers outside its range; check --preprocess and which input it "
                    "belongs to"
                )
                raise DataError(message)
        if values.dtype.kind == "f" and wanted.kind == "f":
            with np.errstate(over="ignore"):
                out[...] = values
        else:
            out[...] = values

    return encode


def _real(values: NDArray[Any], spec: TensorSpec) -> NDArray[np.float32]:
    if values.dtype.kind not in "biuf":
        raise _no_number(values, spec)
    with np.errstate(over="ignore"):
        return values.astype(np.float32, copy=False)


def _nan(spec: TensorSpec) -> DataError:
    return DataError(
        f"input {spec.name!r}: NaN has no value in {spec.dtype}; remove it from the data"
    )


def _no_number(values: NDArray[Any], spec: TensorSpec) -> DataError:
    return DataError(
        f"input {spec.name!r}: is {values.dtype}, the model takes {spec.dtype}; convert it"
    )


def _storage(dtype: str) -> np.dtype[Any]:
    """How NumPy holds the numbers: int4 one in a byte."""
    return np.dtype({"int4": "int8", "uint4": "uint8"}.get(dtype, dtype))


def _limits(dtype: str) -> tuple[int, int]:
    if dtype in _INT4:
        return _INT4[dtype]
    limits = np.iinfo(dtype)
    return int(limits.min), int(limits.max)


def _columns(spec: TensorSpec, rank: int) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Scales and zero points, shaped so that they broadcast along their axis."""
    assert spec.quantization is not None
    scale = np.asarray(spec.quantization.scale, np.float32)
    zero_point = np.asarray(spec.quantization.zero_point, np.float64)
    if spec.quantization.axis is None or scale.size == 1:
        return scale[0].reshape(()), zero_point[0].reshape(())
    shape = [1] * rank
    shape[spec.quantization.axis] = -1
    return scale.reshape(shape), zero_point.reshape(shape)
