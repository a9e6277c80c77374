"""Read protocol buffer wire format from untrusted bytes, without the protobuf package.

Only what a reader of ONNX and SavedModel files needs: walk the fields of a message, skip what is
not asked for, and refuse whatever does not fit. Nothing is copied; a bulk field is a view.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5

_VARINT_LONGEST_BYTES = 10


class WireError(ValueError):
    """The bytes are not a message of this format; says what, and where in the message."""


class Allowance:
    """How many parts of a file may be kept: a hostile file could hold millions of empty ones."""

    def __init__(self, parts: int = 1 << 20) -> None:
        """Honest models have fewer than a tenth of the default."""
        self._left = parts

    def spend(self) -> None:
        """Count one part as kept.

        Raises:
            WireError: there are too many.
        """
        self._left -= 1
        if self._left < 0:
            message = "it has more parts than any model"
            raise WireError(message)


def _wrong(at: int, what: str) -> WireError:
    return WireError(f"{what} at byte {at}")


def varint(data: memoryview, at: int) -> tuple[int, int]:
    """Decode one unsigned varint (below 2**64) at offset `at`; return it and the next offset.

    Raises:
        WireError: the bytes end within it, or it is longer than ten bytes.
    """
    value = shift = 0
    for here in range(at, min(at + _VARINT_LONGEST_BYTES, len(data))):
        byte = data[here]
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & 0xFFFF_FFFF_FFFF_FFFF, here + 1
        shift += 7
    what = "number is cut off" if at + _VARINT_LONGEST_BYTES > len(data) else "number is too long"
    raise _wrong(at, what)


def fields(data: memoryview) -> Iterator[tuple[int, int, int, memoryview]]:
    """Walk the fields of one message: ``(number, wire type, value, bytes)`` in file order.

    `value` is the number of a varint or fixed field (unsigned, as stored), `bytes` the content of
    a length-delimited or fixed field; the one that does not apply is 0 or empty.

    Raises:
        WireError: a field runs over the end, has number 0, or a type that no writer uses.
    """
    at, end = 0, len(data)
    nothing = data[:0]
    while at < end:
        start = at
        key = data[at]
        if key < 0x80:
            at += 1
        else:
            key, at = varint(data, at)
        number, wire_type = key >> 3, key & 7
        if number == 0:
            raise _wrong(start, "field number 0")
        if wire_type == BYTES:
            length, at = varint(data, at)
            if length > end - at:
                what = f"field {number} is {length} bytes long where {end - at} are left"
                raise _wrong(start, what)
            yield number, wire_type, 0, data[at : at + length]
            at += length
        elif wire_type == VARINT:
            value, at = varint(data, at)
            yield number, wire_type, value, nothing
        elif wire_type in {FIXED32, FIXED64}:
            size = 4 if wire_type == FIXED32 else 8
            if size > end - at:
                raise _wrong(start, f"field {number} is cut off")
            content = data[at : at + size]
            yield number, wire_type, int.from_bytes(content, "little"), content
            at += size
        else:
            raise _wrong(start, f"field {number} has wire type {wire_type}")


def signed(value: int) -> int:
    """The int64 (or int32) that a varint stands for.

    >>> signed(2**64 - 1)
    -1
    """
    return value - (1 << 64) if value >> 63 else value


def text(data: memoryview) -> str:
    """A string field; bytes that are not UTF-8 become replacement characters."""
    return bytes(data).decode("utf-8", "replace")


def packed_integers(data: memoryview, *, limit: int) -> list[int]:
    """The signed varints of a packed repeated field.

    Raises:
        WireError: more than `limit` of them, or one is cut off.
    """
    found: list[int] = []
    at = 0
    while at < len(data):
        value, at = varint(data, at)
        found.append(signed(value))
        if len(found) > limit:
            raise _wrong(at, f"more than {limit} numbers in a list")
    return found


def float32(data: memoryview) -> float:
    """The float of a fixed 32-bit field."""
    value: float = struct.unpack("<f", data)[0]
    return value
