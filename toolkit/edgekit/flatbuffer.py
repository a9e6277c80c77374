"""Read FlatBuffers from untrusted bytes, without the flatbuffers package.

Every offset is checked before it is followed, and the number of things read is bounded: offsets
may be shared, so that a small hostile file could otherwise describe endless work.
"""

from __future__ import annotations

import struct

_LONGEST_NAME_BYTES = 1 << 20
_MOST_READS = 1 << 22
_NUMBERS_A_READ = 4
_UINT16 = struct.Struct("<H")
_INT32 = struct.Struct("<i")
_UINT32 = struct.Struct("<I")
_INT8 = struct.Struct("<b")
_UINT8 = struct.Struct("<B")
_UINT64 = struct.Struct("<Q")


class FlatBufferError(ValueError):
    """The bytes are not what they should be; says what is wrong, and where."""


class FlatBuffer:
    """A whole buffer, and how much may still be read out of it."""

    def __init__(self, data: memoryview) -> None:
        """Wrap `data`; honest files need far fewer reads than they have bytes."""
        self.data = data
        self.size = len(data)
        self._reads_left = min(self.size, _MOST_READS) + 4096

    def root(self) -> Table:
        """The table that the buffer starts with."""
        return self.table_at(0)

    def spend(self, reads: int) -> None:
        """Count `reads` things as read.

        Raises:
            FlatBufferError: more has been read than an honest file could hold.
        """
        self._reads_left -= reads
        if self._reads_left < 0:
            message = "its parts refer to one another without end"
            raise FlatBufferError(message)

    def number(self, kind: struct.Struct, at: int) -> int:
        """The integer of `kind` at byte `at`.

        Raises:
            FlatBufferError: `at` is outside.
        """
        if at < 0 or at + kind.size > self.size:
            message = f"offset {at} is outside of its {self.size} bytes"
            raise FlatBufferError(message)
        value: int = kind.unpack_from(self.data, at)[0]
        return value

    def span(self, at: int, length: int) -> memoryview:
        """The `length` bytes at `at`, as a view.

        Raises:
            FlatBufferError: they are not all inside.
        """
        if at < 0 or length < 0 or length > self.size - at:
            message = f"{length} bytes at offset {at} are outside of its {self.size} bytes"
            raise FlatBufferError(message)
        return self.data[at : at + length]

    def table_at(self, at: int) -> Table:
        """The table that the offset stored at byte `at` leads to."""
        return Table(self, at + self.number(_UINT32, at))


class Table:
    """One table: fields are asked for by their place in the schema, from 0.

    An absent field gives the default of its method, as the format defines.
    """

    __slots__ = ("_at", "_buffer", "_vtable", "_vtable_bytes")

    def __init__(self, buffer: FlatBuffer, at: int) -> None:
        """Check the table's own list of field offsets."""
        buffer.spend(1)
        self._buffer = buffer
        self._at = at
        self._vtable = at - buffer.number(_INT32, at)
        self._vtable_bytes = buffer.number(_UINT16, self._vtable)
        if self._vtable_bytes < 4 or self._vtable_bytes > buffer.size - self._vtable:
            message = f"the table at offset {at} is damaged"
            raise FlatBufferError(message)

    def _field(self, index: int) -> int:
        """Where field `index` is; 0 where it is absent."""
        slot = 4 + 2 * index
        if slot + 2 > self._vtable_bytes:
            return 0
        offset: int = _UINT16.unpack_from(self._buffer.data, self._vtable + slot)[0]
        return self._at + offset if offset else 0

    @property
    def position(self) -> int:
        """The byte of the buffer at which it begins."""
        return self._at

    def reference(self, index: int) -> int | None:
        """The byte at which the table, vector or string that a field leads to begins."""
        at = self._field(index)
        return at + self._buffer.number(_UINT32, at) if at else None

    def _scalar(self, index: int, kind: struct.Struct, default: int) -> int:
        at = self._field(index)
        return self._buffer.number(kind, at) if at else default

    def int8(self, index: int, default: int = 0) -> int:
        """A signed byte."""
        return self._scalar(index, _INT8, default)

    def uint8(self, index: int, default: int = 0) -> int:
        """A byte, also a bool or a union's type."""
        return self._scalar(index, _UINT8, default)

    def int32(self, index: int, default: int = 0) -> int:
        """A signed 32-bit integer."""
        return self._scalar(index, _INT32, default)

    def uint32(self, index: int, default: int = 0) -> int:
        """An unsigned 32-bit integer."""
        return self._scalar(index, _UINT32, default)

    def uint64(self, index: int, default: int = 0) -> int:
        """An unsigned 64-bit integer."""
        return self._scalar(index, _UINT64, default)

    def table(self, index: int) -> Table | None:
        """A table, also a union's."""
        at = self._field(index)
        return self._buffer.table_at(at) if at else None

    def _vector(self, index: int, item_bytes: int) -> tuple[int, int]:
        """Where the items of a vector begin, and how many there are."""
        at = self._field(index)
        if not at:
            return 0, 0
        at += self._buffer.number(_UINT32, at)
        count = self._buffer.number(_UINT32, at)
        if count * item_bytes > self._buffer.size - at - 4:
            message = f"a list of {count} at offset {at} is longer than the file"
            raise FlatBufferError(message)
        return at + 4, count

    def tables(self, index: int) -> list[Table]:
        """A vector of tables."""
        at, count = self._vector(index, 4)
        self._buffer.spend(count)
        return [self._buffer.table_at(at + 4 * item) for item in range(count)]

    def integers(self, index: int, letter: str = "i") -> tuple[int, ...]:
        """A vector of integers; `letter` is their `struct` format, ``i`` or ``q``."""
        return self._numbers(index, letter)

    def floats(self, index: int) -> tuple[float, ...]:
        """A vector of 32-bit floats."""
        return self._numbers(index, "f")

    def _numbers(self, index: int, letter: str) -> tuple[int, ...]:
        item_bytes = struct.calcsize("<" + letter)
        at, count = self._vector(index, item_bytes)
        if not count:
            return ()
        self._buffer.spend(count // _NUMBERS_A_READ)
        return struct.unpack_from(f"<{count}{letter}", self._buffer.data, at)

    def content(self, index: int) -> memoryview:
        """A vector of bytes, as a view; empty where absent."""
        at, count = self._vector(index, 1)
        return self._buffer.span(at, count)

    def text(self, index: int) -> str:
        """A string; bytes that are not UTF-8 become replacement characters.

        Raises:
            FlatBufferError: over a mebibyte, which no name is.
        """
        stored = self.content(index)
        if len(stored) > _LONGEST_NAME_BYTES:
            message = f"a name of {len(stored)} bytes"
            raise FlatBufferError(message)
        self._buffer.spend(len(stored) // 8)
        return bytes(stored).decode("utf-8", "replace")
