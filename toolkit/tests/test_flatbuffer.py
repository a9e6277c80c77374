import struct
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekit.flatbuffer import FlatBuffer, FlatBufferError, Table


def one_table(fill: Callable[[Any], None], fields: int = 4) -> Table:
    """A buffer of one table, made by the flatbuffers package; `fill` sets its slots."""
    flatbuffers = pytest.importorskip("flatbuffers", reason="flatbuffers is not installed")
    builder = flatbuffers.Builder(64)
    builder.StartObject(fields)
    fill(builder)
    builder.Finish(builder.EndObject())
    return FlatBuffer(memoryview(bytes(builder.Output()))).root()


def test_scalars_read_back() -> None:
    def fill(builder: Any) -> None:
        builder.PrependInt8Slot(0, -5, 0)
        builder.PrependInt32Slot(1, -70000, 0)
        builder.PrependUint64Slot(2, 1 << 40, 0)
        builder.PrependUint32Slot(3, 1 << 31, 0)

    table = one_table(fill)
    assert (table.int8(0), table.int32(1)) == (-5, -70000)
    assert (table.uint64(2), table.uint32(3)) == (1 << 40, 1 << 31)


def test_an_absent_field_gives_its_default() -> None:
    table = one_table(lambda builder: builder.PrependInt8Slot(0, 1, 0))
    assert table.int32(2, default=7) == 7
    assert table.int32(90) == 0
    assert table.table(3) is None
    assert table.tables(3) == []
    assert (table.text(3), table.integers(3), bytes(table.content(3))) == ("", (), b"")


def test_vectors_and_strings_read_back() -> None:
    flatbuffers = pytest.importorskip("flatbuffers", reason="flatbuffers is not installed")
    builder = flatbuffers.Builder(64)
    name = builder.CreateString("größe")
    builder.StartVector(4, 3, 4)
    for number in (3, -2, 1):
        builder.PrependInt32(number)
    numbers = builder.EndVector()
    builder.StartVector(4, 2, 4)
    for value in (0.5, -1.5):
        builder.PrependFloat32(value)
    values = builder.EndVector()
    builder.StartObject(3)
    for slot, offset in enumerate((name, numbers, values)):
        builder.PrependUOffsetTRelativeSlot(slot, offset, 0)
    builder.Finish(builder.EndObject())
    table = FlatBuffer(memoryview(bytes(builder.Output()))).root()
    assert table.text(0) == "größe"
    assert table.integers(1) == (1, -2, 3)
    assert table.floats(2) == (-1.5, 0.5)


@given(st.binary(min_size=0, max_size=200))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    try:
        table = FlatBuffer(memoryview(data)).root()
        table.int8(0)
        table.text(1)
        table.integers(2)
        table.tables(3)
        table.table(4)
        table.content(5)
        table.floats(6)
    except FlatBufferError:
        pass


def shared_vector(levels: int, width: int) -> bytes:
    """A vector of `width` offsets, all to one table whose field 0 is the next such vector."""
    made = bytearray(struct.pack("<I", 8) + bytes(4))
    made[4:8] = struct.pack("<HH", 4, 4)
    made[0:4] = struct.pack("<I", 16)
    made += struct.pack("<HHH", 6, 8, 4) + bytes(2)  # the list of fields, at 8
    for _ in range(levels):
        at = len(made)
        made += struct.pack("<iI", at - 8, 4)  # table: its field list is at 8; field 0 is at + 4
        vector = len(made)
        made += struct.pack("<I", width)
        target = vector + 4 + 4 * width
        for index in range(width):
            made += struct.pack("<I", target - (vector + 4 + 4 * index))
    return bytes(made + struct.pack("<iI", len(made) - 8, 0) + bytes(16))


def test_parts_that_refer_to_one_another_without_end_are_refused() -> None:
    def walk(table: Table) -> int:
        return 1 + sum(walk(inner) for inner in table.tables(0))

    small = FlatBuffer(memoryview(shared_vector(2, 3)))
    assert walk(small.root()) == 1 + 3 + 9
    with pytest.raises(FlatBufferError, match="without end"):
        walk(FlatBuffer(memoryview(shared_vector(12, 8))).root())  # 8 ** 12 tables, in a kilobyte
