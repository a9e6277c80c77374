"""Real numbers into the stored integers of one tensor, at the speed of memory.

NumPy does the work in blocks that stay in the cache, into memory that is kept; nothing of the
tensor's size is allocated. See `edgekit.sessions.quantized.encoder` for what is promised.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from edgekit.errors import DataError, SourceError
from edgekit.sessions.decode import BLOCK, columns, flat, limits, pieces, storage
from edgekit.tensors import TensorSpec

if TYPE_CHECKING:
    from numpy.typing import NDArray

_SMALL: Final = 1 << 10
"""Up to so many elements, a call of NumPy costs more by being a call than by what it does."""
_FLOAT32: Final = np.dtype(np.float32)
_ROUNDER: Final = 1.5 * 2**23
"""Added to a float32 below 2**22, it leaves the nearest integer (half to even) in the low bits."""

_clip: Any = (getattr(np, "_core", None) or np.core).umath.clip  # np.clip itself costs 3 us more
_add = np.add


def make(spec: TensorSpec) -> Encoder:
    """The fastest encoder that is exact for `spec`, which has a quantization.

    Raises:
        SourceError: a scale that is no positive number.
    """
    assert spec.quantization is not None
    scales = np.asarray(spec.quantization.scale, np.float32)
    if not (np.isfinite(scales) & (scales > 0)).all():
        message = (
            f"tensor {spec.name!r}: its scale {spec.quantization.scale} is no positive number; "
            "make the file again"
        )
        raise SourceError(message)
    if storage(spec.dtype).itemsize <= 2 and (scales.size == 1 or spec.quantization.axis is None):
        lowest, highest = limits(spec.dtype)
        zero_point = spec.quantization.zero_point[0]
        low = _outermost(scales[0], lowest - zero_point, -0.5)
        high = _outermost(scales[0], highest - zero_point, 0.5)
        if low is not None and high is not None:
            return _NarrowEncoder(spec, low, high)
    return _WideEncoder(spec)


class Encoder:
    """Quantizes for one tensor, again and again, and keeps the memory it needs for that."""

    __slots__ = ("_bits", "_buffer", "_real", "_shape", "_shifts", "_spec", "_storage")

    def __init__(self, spec: TensorSpec) -> None:
        """Take the scale, zero point and dtype from `spec`."""
        self._spec = spec
        self._storage = storage(spec.dtype)
        self._shifts: dict[np.dtype[Any], NDArray[Any] | None] = {}
        self._buffer = np.empty(0, np.float32)
        self._fit((0,))

    def encode(self, values: NDArray[Any], out: NDArray[Any]) -> None:
        """Quantize `values` into `out`; what has the dtype of the file is copied."""
        dtype = values.dtype
        if dtype == _FLOAT32:
            self.quantize(values, out)
        elif dtype == self._storage:
            out[...] = values
        elif dtype.itemsize == 1 and (shift := self._shift(dtype)) is not None:
            _add(values.view(self._storage), shift, out)
        else:
            self.quantize(values, out)

    def quantize(self, values: NDArray[Any], out: NDArray[Any]) -> None:
        """Quantize `values` into `out`, whatever dtype they have."""
        raise NotImplementedError

    def _fit(self, shape: tuple[int, ...]) -> None:
        """Have `_real` and `_bits`, which are the same memory, in `shape`."""
        count = math.prod(shape)
        if count > self._buffer.size:
            self._buffer = np.empty(count, np.float32)
        self._shape = shape
        self._real = self._buffer[:count].reshape(shape)
        self._bits = self._real.view(np.int32)

    def _cast(self, values: NDArray[Any]) -> NDArray[np.float32]:
        """`values` in `_real`; float64 beyond the range of float32 becomes infinite."""
        kind = values.dtype.kind
        if kind not in "biuf":
            raise no_number(values, self._spec)
        if kind == "f" and values.dtype.itemsize > 4:
            with np.errstate(over="ignore"):
                self._real[...] = values
        else:
            self._real[...] = values
        return self._real

    def _shift(self, dtype: np.dtype[Any]) -> NDArray[Any] | None:
        """What quantizing bytes comes down to adding, if it does: pixels, where the scale is 1."""
        if dtype not in self._shifts:
            self._shifts[dtype] = None
            if self._storage.itemsize == 1 and dtype.kind in "iu":
                numbers = np.arange(256, dtype=np.uint8)
                codes = np.empty(256, self._storage)
                self.quantize(numbers.view(dtype), codes)
                shift = codes.view(np.uint8) - numbers
                if (shift == shift[0]).all():
                    self._shifts[dtype] = shift[:1].view(self._storage).reshape(())
        return self._shifts[dtype]


class _NarrowEncoder(Encoder):
    """One scale and at most 16 bits: float32 throughout, where only the quotient is rounded."""

    __slots__ = (
        "_divide", "_far", "_high", "_high_code", "_highest", "_low", "_low_code", "_lowest",
        "_offset", "_rounder", "_scale", "_short",
    )  # fmt: skip

    def __init__(self, spec: TensorSpec, low: np.float32, high: np.float32) -> None:
        """`low` and `high` are values that give the least and the greatest stored number."""
        super().__init__(spec)
        assert spec.quantization is not None
        self._low, self._high = np.asarray(low), np.asarray(high)
        self._lowest, self._highest = float(low), float(high)
        scale = np.float32(spec.quantization.scale[0])
        with np.errstate(over="ignore"):
            reciprocal = np.float32(1 / float(scale))
        exact = math.frexp(scale)[0] == 0.5 and bool(np.isfinite(reciprocal))
        self._divide = np.multiply if exact else np.divide
        self._scale = np.asarray(reciprocal if exact else scale)
        zero_point = spec.quantization.zero_point[0]
        even = zero_point % 2 == 0  # an odd one would turn half to even into half to odd
        added = zero_point if even else 0
        self._rounder = np.asarray(np.float32(_ROUNDER + added))
        wrapped = np.asarray(zero_point, np.int64).astype(self._storage)
        self._offset: NDArray[Any] | None = None if even else wrapped
        least, greatest = limits(spec.dtype)
        bytes_only = self._storage.itemsize == 1 and abs(zero_point) < 1000
        self._far = 30_000 * float(scale) if bytes_only else 0.0
        self._low_code = np.asarray(least - zero_point + added, np.int64).astype(np.int16)
        self._high_code = np.asarray(greatest - zero_point + added, np.int64).astype(np.int16)
        self._short = np.empty(0, np.int16)

    def quantize(self, values: NDArray[Any], out: NDArray[Any]) -> None:
        if values.size > BLOCK:
            for piece, target in pieces(*flat(values, out)):
                self._large(piece, target)
        elif values.size > _SMALL:
            self._large(values, out)
        elif values.size:
            self._little(values, out)

    def _little(self, values: NDArray[Any], out: NDArray[Any]) -> None:
        """The fewest calls."""
        if values.shape != self._shape:
            self._fit(values.shape)
        real = self._real
        if values.dtype != _FLOAT32:
            values = self._cast(values)
        _clip(values, self._low, self._high, real)
        top = real.item(real.argmax())  # NaN, if there is one
        if top != top:  # noqa: PLR0124 - NaN is what is not itself
            raise not_a_number(self._spec)
        self._divide(real, self._scale, real)
        _add(real, self._rounder, real)
        out[...] = self._bits
        if self._offset is not None:
            _add(out, self._offset, out)

    def _large(self, values: NDArray[Any], out: NDArray[Any]) -> None:
        """The least work for each element: saturation costs only where there is some."""
        if values.shape != self._shape:
            self._fit(values.shape)
        real = self._real
        if values.dtype != _FLOAT32:
            values = self._cast(values)
        elif not values.flags.c_contiguous:
            real[...] = values
            values = real
        bits = self._bits
        # As unsigned numbers, those with a sign are the greatest; most data has none.
        bottom = values.item(values.view(np.uint32).argmax())
        top = bottom if bottom > 0 else values.item(values.argmax())
        if top != top:  # noqa: PLR0124 - NaN is what is not itself
            raise not_a_number(self._spec)
        if top > self._highest or min(bottom, 0.0) < self._lowest:
            if top < self._far and bottom > -self._far:
                bits = self._short_of(bits.size).reshape(bits.shape)
            else:
                _clip(values, self._low, self._high, real)
                values = real
        self._divide(values, self._scale, real)
        _add(real, self._rounder, real)
        if bits is not self._bits:  # the low halves hold the numbers; 16 bits are clipped fastest
            bits[...] = self._bits
            _clip(bits, self._low_code, self._high_code, bits)
        out[...] = bits
        if self._offset is not None:
            _add(out, self._offset, out)

    def _short_of(self, count: int) -> NDArray[Any]:
        if self._short.size < count:
            self._short = np.empty(count, np.int16)
        return self._short[:count]


class _WideEncoder(Encoder):
    """Any other: channels of their own scale, 32 bits, scales at the ends of float32."""

    __slots__ = ()

    def quantize(self, values: NDArray[Any], out: NDArray[Any]) -> None:
        scale, zero_point = columns(self._spec, values.shape)
        lowest, highest = limits(self._spec.dtype)
        with np.errstate(over="ignore"):
            for piece, target, scales, zero_points in pieces(values, out, scale, zero_point):
                if piece.shape != self._shape:
                    self._fit(piece.shape)
                real = self._cast(piece)
                np.divide(real, scales, real)
                number = np.rint(real).astype(np.float64) + zero_points
                if np.isnan(number).any():
                    raise not_a_number(self._spec)
                target[...] = np.clip(number, lowest, highest)


def not_a_number(spec: TensorSpec) -> DataError:
    """The error for NaN where integers are stored."""
    return DataError(
        f"input {spec.name!r}: NaN has no value in {spec.dtype}; remove it from the data"
    )


def no_number(values: NDArray[Any], spec: TensorSpec) -> DataError:
    """The error for data that is no real number at all."""
    return DataError(
        f"input {spec.name!r}: is {values.dtype}, the model takes {spec.dtype}; convert it"
    )


def _outermost(scale: np.float32, number: int, half: float) -> np.float32 | None:
    """About the greatest (with half -0.5, the least) value that is rounded to `number`.

    None where float32 has none, or `number` is too large for rounding by `_ROUNDER`.
    """
    if abs(number) >= 2**21:
        return None
    with np.errstate(over="ignore", under="ignore"):
        value = np.float32((number + half) * float(scale))
        for _ in range(8):
            if np.isfinite(value) and np.rint(value / scale) == number:
                return value
            value = np.nextafter(value, np.float32(number * float(scale)))
    return None
