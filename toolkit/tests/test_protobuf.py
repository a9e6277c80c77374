import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekit import protobuf
from edgekit.protobuf import WireError


def encoded(value: int) -> bytes:
    made = bytearray()
    while value > 0x7F:
        made.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*made, value])


def walk(data: bytes) -> list[tuple[int, int, int, bytes]]:
    return [(n, w, v, bytes(c)) for n, w, v, c in protobuf.fields(memoryview(data))]


@given(st.integers(0, 2**64 - 1), st.integers(1, 2**29 - 1))
def test_a_varint_field_reads_back(value: int, number: int) -> None:
    data = encoded(number << 3) + encoded(value)
    assert walk(data) == [(number, protobuf.VARINT, value, b"")]


@given(st.binary(max_size=300), st.integers(1, 15))
def test_a_bytes_field_reads_back(content: bytes, number: int) -> None:
    data = encoded(number << 3 | 2) + encoded(len(content)) + content
    assert walk(data) == [(number, protobuf.BYTES, 0, content)]


def test_fixed_fields_give_their_number_and_their_bytes() -> None:
    assert walk(b"\x0d\x01\x00\x00\x00") == [(1, protobuf.FIXED32, 1, b"\x01\x00\x00\x00")]
    assert walk(b"\x09" + b"\x02" + bytes(7)) == [(1, protobuf.FIXED64, 2, b"\x02" + bytes(7))]


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"\x80", "cut off"),
        (b"\x08", "cut off"),
        (b"\x08" + b"\x80" * 10, "too long"),
        (b"\x0a\x05abc", "5 bytes long where 3 are left"),
        (b"\x0d\x01\x00", "cut off"),
        (b"\x00\x01", "field number 0"),
        (b"\x0b", "wire type 3"),
    ],
)
def test_what_does_not_fit_is_refused(data: bytes, told: str) -> None:
    with pytest.raises(WireError, match=told):
        walk(data)


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    try:
        found = walk(data)
    except WireError:
        return
    assert all(number > 0 for number, _, _, _ in found)


def test_negative_numbers_are_sign_extended() -> None:
    assert protobuf.packed_integers(memoryview(b"\xff" * 9 + b"\x01\x05"), limit=2) == [-1, 5]


def test_a_list_over_its_limit_is_refused() -> None:
    with pytest.raises(WireError, match="more than 2 numbers"):
        protobuf.packed_integers(memoryview(b"\x01\x01\x01"), limit=2)


def test_an_allowance_ends() -> None:
    allowance = protobuf.Allowance(parts=2)
    allowance.spend()
    allowance.spend()
    with pytest.raises(WireError, match="more parts than any model"):
        allowance.spend()
