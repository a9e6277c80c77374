"""Go through a whole FlatBuffer once, and have every table of it checked and decoded.

Runtimes follow offsets as they find them; a wrong one leads out of the file and ends the process.
What comes out here can be read without a further thought: a `list` for each table, with the values
of its fields by their number, None where one is absent.

A number is an ``int``, a vector or string ``(where its first item is, how many)``, a table a
`list`, a vector of tables a `list` of those. The contents of vectors are not looked at. What the
file refers to twice is here once.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from typing import Any

from edgekit.flatbuffer import FlatBufferError

_LEAST_ITEMS = 1 << 18
_SIZES = {"b": 1, "B": 1, "?": 1, "H": 2, "i": 4, "I": 4, "f": 4, "q": 8, "Q": 8}

Values = list[Any]
_Field = tuple[int, int, str, Any]


class Walker:
    """The tables of one buffer."""

    def __init__(
        self,
        data: memoryview,
        tables: Mapping[str, tuple[str, ...]],
        unions: Mapping[str, Sequence[str | None]],
    ) -> None:
        """Prepare for `data`, whose tables and unions have these fields."""
        self.data = data
        self.size = len(data)
        self._words = data[: self.size & ~3].cast("I")
        self._tables = tables
        self._unions = unions
        self._left = max(_LEAST_ITEMS, self.size)
        self._found: dict[tuple[str, int], Values] = {}
        self._lists: dict[tuple[str, int], list[Values]] = {}
        self._layouts: dict[tuple[str, int], tuple[int, list[_Field]]] = {}

    def root(self, name: str) -> Values:
        """Check all there is, from the table of kind `name` that the buffer begins with.

        Raises:
            FlatBufferError: an offset, a vector or a table is not inside, or not where it may be.
        """
        if self.size < 12:
            raise FlatBufferError("it has no root")  # noqa: EM101 - the only place
        return self._table(name, self._words[0])

    def _table(self, name: str, at: int) -> Values:
        known = self._found.get((name, at))
        if known is not None:
            return known
        size = self.size
        if at & 3 or not 0 <= at <= size - 4:
            raise _outside(at, name)
        back = self._words[at >> 2]
        vtable = at - back if back < 0x8000_0000 else at - back + 0x1_0000_0000
        layout = self._layouts.get((name, vtable))
        if layout is None:
            layout = self._layouts[name, vtable] = self._layout(name, vtable)
        length, found = layout
        if length > size - at:
            raise _outside(at, name)
        values: Values = [None] * len(self._tables[name])
        self._found[name, at] = values
        words = self._words
        for index, offset, kind, more in found:
            here = at + offset
            if kind == "n":
                if here % _SIZES[more]:
                    raise _outside(here, f"a number of {name}")
                values[index] = struct.unpack_from("<" + more, self.data, here)[0]
                continue
            if here & 3:
                raise _outside(here, f"an offset in {name}")
            there = here + words[here >> 2]
            if kind == "t":
                values[index] = self._table(more, there)
            elif kind == "|":
                values[index] = self._union(values, index, more, there)
            else:
                if there & 3 or there > size - 4 or there == here:
                    raise _outside(there, f"a list of {name}")
                count = words[there >> 2]
                if kind == "v":
                    if count * more > size - there - 4 or (there + 4) % more:
                        raise _outside(there, f"a list of {count} in {name}")
                    values[index] = (there + 4, count)
                elif kind == "s":
                    if count >= size - there - 4 or self.data[there + 4 + count]:
                        raise _outside(there, f"a text of {count} bytes in {name}")
                    values[index] = (there + 4, count)
                else:
                    values[index] = self._list(name, more, there, count)
        return values

    def _list(self, name: str, kind: str, at: int, count: int) -> list[Values]:
        if count * 4 > self.size - at - 4:
            raise _outside(at, f"a list of {count} in {name}")
        known = self._lists.get((kind, at))
        if known is not None:
            return known
        self._left -= count
        if self._left < 0:
            message = "its parts refer to one another without end"
            raise FlatBufferError(message)
        first = (at >> 2) + 1
        offsets = self._words[first : first + count].tolist()
        found = self._lists[kind, at] = [
            self._table(kind, at + 4 + 4 * item + offset) for item, offset in enumerate(offsets)
        ]
        return found

    def _union(self, values: Values, index: int, union: str, at: int) -> Values | None:
        kinds = self._unions[union]
        number = values[index - 1] or 0
        if number >= len(kinds):
            return None  # newer than this table; the runtime looks at it only if it knows it
        kind = kinds[number]
        if kind is None:
            message = f"a {union} without a type at offset {at}"
            raise FlatBufferError(message)
        return self._table(kind, at)

    def _layout(self, name: str, at: int) -> tuple[int, list[_Field]]:
        """The size of tables with this list of offsets, and where the known fields are."""
        if at & 1 or not 0 <= at <= self.size - 4:
            raise _outside(at, f"the layout of {name}")
        length, table_length = struct.unpack_from("<HH", self.data, at)
        if length & 1 or length < 4 or length > self.size - at or table_length < 4:
            raise _outside(at, f"the layout of {name}")
        offsets = struct.unpack_from(f"<{(length - 4) // 2}H", self.data, at + 4)
        found: list[_Field] = []
        for index, (field, offset) in enumerate(
            zip(self._tables[name], offsets, strict=False)  # either may be of another version
        ):
            if not offset or field == "-":
                continue
            size = _SIZES.get(field, 4)
            if offset < 4 or offset + size > table_length:
                raise _outside(at, f"a field of {name}")
            found.append((index, offset, *_kind(field)))
        return table_length, found


def _kind(field: str) -> tuple[str, Any]:
    if field in _SIZES:
        return "n", field
    if field == "s":
        return "s", None
    if field.startswith("|"):
        return "|", field[1:]
    if not field.startswith("*"):
        return "t", field
    inner = field[1:]
    return ("v", _SIZES[inner]) if inner in _SIZES else ("*", inner)


def _outside(at: int, what: str) -> FlatBufferError:
    return FlatBufferError(f"{what} at offset {at} is not where it can be")
