"""Arrays in few characters of JSON, for golden cases: quantized or exact, zlib, base64."""

from __future__ import annotations

import base64
import binascii
import math
import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

_DTYPES = frozenset(
    {"bool", "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64"}
    | {"float16", "float32", "float64"}
)
_MAX_ELEMENTS = 1 << 24
"""Of one array, as it comes out; what a file asks for beyond that is not believed."""
_MAX_RANK = 16
_LEVEL = 9


@dataclass(frozen=True, slots=True, kw_only=True)
class PackedArray:
    """An array as the manifest stores it: ``real = scale * (stored - zero_point)``."""

    dtype: str
    """Of the array that comes out."""
    shape: tuple[int, ...]
    stored: str
    """Of the numbers in `data`."""
    scale: float | None
    """None where `data` holds the values themselves."""
    zero_point: int
    data: str
    """Base64 of zlib of the numbers, little-endian."""

    @property
    def elements(self) -> int:
        """How many numbers are in it."""
        return math.prod(self.shape)

    def values(self) -> NDArray[Any]:
        """The array; the same on every machine, bit for bit.

        Raises:
            ValueError: the data is damaged.
        """
        stored = np.dtype(self.stored).newbyteorder("<")
        size = self.elements * stored.itemsize
        try:
            packed = base64.b64decode(self.data.encode("ascii"), validate=True)
            inflater = zlib.decompressobj()
            content = inflater.decompress(packed, size + 1)
        except (binascii.Error, zlib.error, UnicodeEncodeError) as error:
            raise ValueError(str(error)) from None
        if len(content) != size or not inflater.eof:
            message = f"holds {len(content)} bytes instead of {size}"
            raise ValueError(message)
        numbers = np.frombuffer(content, stored).reshape(self.shape)
        if self.scale is None:
            return numbers.astype(self.dtype)
        # Two roundings in float32, in this order, are the same on every processor.
        real = numbers.astype(np.float32) - np.float32(self.zero_point)
        return (real * np.float32(self.scale)).astype(self.dtype)

    def to_dict(self) -> dict[str, Any]:
        """Plain data, as the manifest stores it."""
        told: dict[str, Any] = {"dtype": self.dtype, "shape": list(self.shape)}
        if self.stored != self.dtype:
            told["stored"] = self.stored
        if self.scale is not None:
            told |= {"scale": self.scale, "zero_point": self.zero_point}
        return told | {"data": self.data}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> PackedArray:
        """Read what `to_dict` wrote, and believe nothing of it.

        Raises:
            ValueError: a dtype, shape or scale that `to_dict` never writes, or too large.
            KeyError, TypeError: a part is missing, or something else than it should be.
        """
        dtype, shape = data["dtype"], data["shape"]
        made = cls(
            dtype=dtype,
            shape=tuple(shape),
            stored=data.get("stored", dtype),
            scale=data.get("scale"),
            zero_point=data.get("zero_point", 0),
            data=data["data"],
        )
        known = made.dtype in _DTYPES and made.stored in _DTYPES
        whole = all(type(size) is int and 0 < size <= _MAX_ELEMENTS for size in made.shape)
        if not known or not whole or len(made.shape) > _MAX_RANK or made.elements > _MAX_ELEMENTS:
            message = f"{made.dtype} stored as {made.stored}, of shape {made.shape!r:.80}"
            raise ValueError(message)
        if made.scale is not None:
            scale, point = made.scale, made.zero_point
            right = isinstance(scale, (int, float)) and 0 < scale < 1e38
            if not right or type(point) is not int or abs(point) > 1 << 16:
                message = f"scale {scale!r}, zero point {point!r}"
                raise ValueError(message)
        if not isinstance(made.data, str):
            message = "data is no text"
            raise TypeError(message)
        return made


def exact(values: NDArray[Any]) -> PackedArray:
    """Pack an array so that exactly it comes out; integers in as few bytes as hold them."""
    stored = values.dtype
    if values.dtype.kind in "iu" and values.size:
        low, high = int(values.min()), int(values.max())
        fitting = ("uint8", "int8", "uint16", "int16", "uint32", "int32")
        stored = next(
            (
                np.dtype(name)
                for name in fitting
                if np.iinfo(name).min <= low and high <= np.iinfo(name).max
            ),
            stored,
        )
    return PackedArray(
        dtype=values.dtype.name,
        shape=values.shape,
        stored=stored.name,
        scale=None,
        zero_point=0,
        data=_deflated(values.astype(stored)),
    )


def in_steps(values: NDArray[Any]) -> PackedArray:
    """Pack real numbers, rounded to 256 steps between their extremes; 0 stays exactly 0."""
    low, high = min(float(values.min()), 0.0), max(float(values.max()), 0.0)
    scale = float(np.float32((high - low) / 255)) or float(np.finfo(np.float32).tiny)
    zero_point = round(-low / scale)
    codes = np.rint(values.astype(np.float64) / scale) + zero_point
    return _coded(values, np.clip(codes, 0, 255).astype(np.uint8), scale, zero_point)


def on_lattice(values: NDArray[Any], scale: float, zero_point: int, dtype: str) -> PackedArray:
    """Pack real numbers that are whole steps of `scale` from `zero_point`, as the codes they are.

    Args:
        values: ``scale * (code - zero_point)`` of codes within `dtype`.
        scale: positive.
        zero_point: the code of 0.
        dtype: an integer dtype.
    """
    limits = np.iinfo(dtype)
    codes = np.rint(values.astype(np.float64) / scale) + zero_point
    return _coded(values, np.clip(codes, limits.min, limits.max).astype(dtype), scale, zero_point)


def _coded(values: NDArray[Any], codes: NDArray[Any], scale: float, zero_point: int) -> PackedArray:
    return PackedArray(
        dtype=values.dtype.name,
        shape=values.shape,
        stored=codes.dtype.name,
        scale=scale,
        zero_point=zero_point,
        data=_deflated(codes),
    )


def _deflated(values: NDArray[Any]) -> str:
    little = np.ascontiguousarray(values, values.dtype.newbyteorder("<"))
    return base64.b64encode(zlib.compress(little.tobytes(), _LEVEL)).decode()
