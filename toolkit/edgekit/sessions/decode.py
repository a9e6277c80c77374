"""The stored integers of one tensor as real numbers, at the speed of memory.

See `edgekit.sessions.quantized.decoder` for what is promised.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from edgekit.tensors import TensorSpec

if TYPE_CHECKING:
    from numpy.typing import NDArray

BLOCK: Final = 80 << 10
"""Most elements at a time: 320 KiB of float32, which the L2 cache of a small board holds."""
_INT4: Final = {"int4": (-8, 7), "uint4": (0, 15)}
_FLOAT32: Final = np.dtype(np.float32)
_LARGEST: Final = (2 - 2**-23) * 2.0**127
"""Of float32. Not from `np.finfo`: it warns where a runtime has turned subnormal numbers off, as
tflite-runtime does for its whole process on 32-bit ARM."""
_subtract: Any = np.subtract
_multiply: Any = np.multiply


def make(spec: TensorSpec) -> Decoder:
    """The fastest decoder that is exact for `spec`, which has a quantization."""
    assert spec.quantization is not None
    scale, zero_point = spec.quantization.scale[0], spec.quantization.zero_point[0]
    farthest = max(abs(limit - zero_point) for limit in limits(spec.dtype))
    single = spec.quantization.axis is None or len(spec.quantization.scale) == 1
    if single and farthest < 2**24 and farthest * float(scale) < _LARGEST:
        return Decoder(spec)
    return _WideDecoder(spec)


class Decoder:
    """Dequantizes for one tensor: one scale, and all arithmetic in float32."""

    __slots__ = ("_scale", "_spec", "_zero_point")

    def __init__(self, spec: TensorSpec) -> None:
        """Take the scale and zero point from `spec`."""
        assert spec.quantization is not None
        self._spec = spec
        zero_point = spec.quantization.zero_point[0]
        with np.errstate(over="ignore"):
            self._scale = np.asarray(spec.quantization.scale[0], np.float32)
        self._zero_point = np.asarray(zero_point, np.float32) if zero_point else None

    def decode(
        self, stored: NDArray[Any], out: NDArray[np.float32] | None = None
    ) -> NDArray[np.float32]:
        """``scale * (stored - zero_point)`` as float32, in `out` or a new array."""
        if stored.size > BLOCK:
            if out is None:
                out = np.empty(stored.shape, np.float32)
            for piece, target in pieces(*flat(stored, out)):
                self.decode(piece, target)
            return out
        if out is None:
            out = stored.astype(_FLOAT32, "C")
        else:
            out[...] = stored
        if self._zero_point is not None:
            _subtract(out, self._zero_point, out)
        real: NDArray[np.float32] = _multiply(out, self._scale, out)
        return real


class _WideDecoder(Decoder):
    """Any other: channels of their own scale, 32 bits, scales at the ends of float32."""

    __slots__ = ()

    def decode(
        self, stored: NDArray[Any], out: NDArray[np.float32] | None = None
    ) -> NDArray[np.float32]:
        if out is None:
            out = np.empty(stored.shape, np.float32)
        scale, zero_point = columns(self._spec, stored.shape)
        with np.errstate(over="ignore"):
            for piece, target, scales, zero_points in pieces(stored, out, scale, zero_point):
                target[...] = (piece.astype(np.float64) - zero_points) * scales.astype(np.float64)
        return out


def as_float32(stored: NDArray[Any], out: NDArray[np.float32] | None = None) -> NDArray[np.float32]:
    """`stored`, which are floats of any width, as float32 in `out` or a new array."""
    if out is None:
        out = np.empty(stored.shape, np.float32)
    with np.errstate(over="ignore"):
        out[...] = stored
    return out


def storage(dtype: str) -> np.dtype[Any]:
    """How NumPy holds the numbers: int4 one in a byte."""
    return np.dtype({"int4": "int8", "uint4": "uint8"}.get(dtype, dtype))


def limits(dtype: str) -> tuple[int, int]:
    """The least and the greatest number of an integer dtype."""
    if dtype in _INT4:
        return _INT4[dtype]
    info = np.iinfo(dtype)
    return int(info.min), int(info.max)


def columns(
    spec: TensorSpec, shape: tuple[int, ...]
) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Scales and zero points along their axis, as if there were one for each element."""
    assert spec.quantization is not None
    scale = np.asarray(spec.quantization.scale, np.float32)
    zero_point = np.asarray(spec.quantization.zero_point, np.float64)
    if spec.quantization.axis is None or scale.size == 1:
        scale, zero_point = scale[0], zero_point[0]
    else:
        along = [1] * len(shape)
        along[spec.quantization.axis] = -1
        scale, zero_point = scale.reshape(along), zero_point.reshape(along)
    return np.broadcast_to(scale, shape), np.broadcast_to(zero_point, shape)


def flat(*arrays: NDArray[Any]) -> tuple[NDArray[Any], ...]:
    """Without dimensions, where all have their elements in a row; otherwise as they are."""
    if all(array.flags.c_contiguous for array in arrays):
        return tuple(array.reshape(-1) for array in arrays)
    return arrays


def pieces(*arrays: NDArray[Any]) -> Iterator[tuple[NDArray[Any], ...]]:
    """Cut arrays of one shape into parts of at most `BLOCK` elements, about equal in size."""
    size = arrays[0].size
    if size <= BLOCK:
        yield arrays
        return
    rows = len(arrays[0])
    row = size // rows
    if row > BLOCK:
        for parts in zip(*arrays, strict=True):
            yield from pieces(*parts)
        return
    step = BLOCK // row
    step = -(-rows // -(-rows // step))
    for start in range(0, rows, step):
        yield tuple(array[start : start + step] for array in arrays)
