"""The messages an ONNX graph is made of: attributes, value descriptions, weights."""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field, replace

from edgekit.graph import Attribute, Tensor
from edgekit.protobuf import (
    BYTES,
    FIXED32,
    VARINT,
    WireError,
    fields,
    float32,
    packed_integers,
    signed,
    text,
    varint,
)

# onnx.proto, TensorProto.DataType
_DTYPES = {
    1: "float32",
    2: "uint8",
    3: "int8",
    4: "uint16",
    5: "int16",
    6: "int32",
    7: "int64",
    8: "string",
    9: "bool",
    10: "float16",
    11: "float64",
    12: "uint32",
    13: "uint64",
    14: "complex64",
    15: "complex128",
    16: "bfloat16",
    17: "float8_e4m3fn",
    18: "float8_e4m3fnuz",
    19: "float8_e5m2",
    20: "float8_e5m2fnuz",
    21: "uint4",
    22: "int4",
    23: "float4_e2m1fn",
    24: "float8_e8m0",
    25: "uint2",
    26: "int2",
}
_ARRAY_LETTERS = {"int32": "I", "int64": "Q", "uint32": "I", "uint64": "Q", "int16": "H"} | {
    "uint16": "H",
    "float16": "H",
    "bfloat16": "H",
}
"""Unsigned letters of the same width; any other type is one byte wide."""
_LONGEST_SHAPE = 64
_LONGEST_ATTRIBUTE = 4096
_MOST_NUMBERS = 1 << 24
"""Weights of more numbers than this are stored raw by every exporter there is."""


@dataclass(slots=True)
class FoundAttribute:
    """One attribute of a node; a tensor or graphs are left as bytes."""

    name: str = ""
    value: Attribute | None = None
    tensor: memoryview | None = None
    graphs: list[memoryview] = field(default_factory=list)


def read_attribute(data: memoryview) -> FoundAttribute:
    """Numbers, short lists of integers, and short strings; tensors and graphs as bytes."""
    found = FoundAttribute()
    integers: list[int] = []
    for number, wire_type, value, content in fields(data):
        if number == 1 and wire_type == BYTES:
            found.name = text(content)
        elif number == 2 and wire_type == FIXED32:
            found.value = float32(content)
        elif number == 3 and wire_type == VARINT:
            found.value = signed(value)
        elif number == 4 and wire_type == BYTES and len(content) <= _LONGEST_ATTRIBUTE:
            found.value = text(content)
        elif number == 5 and wire_type == BYTES:
            found.tensor = content
        elif number in {6, 11} and wire_type == BYTES:
            found.graphs.append(content)
        elif number == 8 and wire_type == VARINT and len(integers) <= _LONGEST_ATTRIBUTE:
            integers.append(signed(value))
        elif number == 8 and wire_type == BYTES and len(content) <= 10 * _LONGEST_ATTRIBUTE:
            integers += packed_integers(content, limit=len(content))
    if integers and len(integers) <= _LONGEST_ATTRIBUTE:
        found.value = tuple(integers)
    return found


def read_pair(data: memoryview) -> tuple[str, memoryview]:
    """A StringStringEntryProto."""
    key, value = "", data[:0]
    for number, wire_type, _, content in fields(data):
        if number == 1 and wire_type == BYTES:
            key = text(content)
        elif number == 2 and wire_type == BYTES:
            value = content
    return key, value


def read_value_info(data: memoryview) -> Tensor:
    """A ValueInfoProto: name, type, and shape as far as it is told."""
    name, dtype = "", "unknown"
    shape: tuple[int | None, ...] | None = None
    for number, wire_type, _, content in fields(data):
        if number == 1 and wire_type == BYTES:
            name = text(content)
        elif number == 2 and wire_type == BYTES:
            for kind, kind_type, _, described in fields(content):
                if kind in {1, 8} and kind_type == BYTES:
                    for place, place_type, value, stored in fields(described):
                        if place == 1 and place_type == VARINT:
                            dtype = _DTYPES.get(value, f"type{value}")
                        elif place == 2 and place_type == BYTES:
                            shape = _shape(stored)
                elif kind in {4, 5, 9}:
                    dtype = {4: "sequence", 5: "map", 9: "optional"}[kind]
    return Tensor(name=name, shape=shape, dtype=dtype)


def _shape(data: memoryview) -> tuple[int | None, ...]:
    """Dimensions; one that is a name, negative or absent is free."""
    sizes: list[int | None] = []
    for number, wire_type, _, content in fields(data):
        if number == 1 and wire_type == BYTES:
            told = {place: signed(value) for place, kind, value, _ in fields(content) if kind == 0}
            size = told.get(1)
            sizes.append(size if size is not None and size >= 0 else None)
    if len(sizes) > _LONGEST_SHAPE:
        message = f"a tensor of {len(sizes)} dimensions"
        raise WireError(message)
    return tuple(sizes)


def read_weight(data: memoryview) -> tuple[Tensor, dict[str, str]]:
    """A TensorProto; where its bytes are in another file, what it says about that file.

    Raises:
        WireError: damaged, or of an impossible shape.
    """
    shape: list[int] = []
    name, number = "", 0
    raw: memoryview | None = None
    typed: list[tuple[int, int, int, memoryview]] = []
    external: dict[str, str] = {}
    for place, wire_type, value, content in fields(data):
        if place == 1:
            shape += _integers(wire_type, value, content)
        elif place == 2:
            number = value
        elif place == 8:
            name = text(content)
        elif place == 9:
            raw = content
        elif place == 13:
            entry, stored = read_pair(content)
            external[entry] = text(stored)
        elif place in {4, 5, 6, 7, 10, 11} and len(typed) > _MOST_NUMBERS // 16:
            message = f"a weight in more than {len(typed)} pieces"
            raise WireError(message)
        elif place in {4, 5, 6, 7, 10, 11}:
            typed.append((place, wire_type, value, content))
    dtype = _DTYPES.get(number, f"type{number}")
    constant = _typed(typed, dtype) if raw is None else raw
    return Tensor(name=name, shape=_checked(shape), dtype=dtype, constant=constant), external


def read_sparse_weight(data: memoryview) -> tuple[Tensor, dict[str, str]]:
    """A SparseTensorProto: only what is not zero is stored.

    Raises:
        WireError: damaged, or of an impossible shape.
    """
    shape: list[int] = []
    values: tuple[Tensor, dict[str, str]] | None = None
    for place, wire_type, value, content in fields(data):
        if place == 1 and wire_type == BYTES:
            values = read_weight(content)
        elif place == 3:
            shape += _integers(wire_type, value, content)
    if values is None:
        message = "a sparse weight without values"
        raise WireError(message)
    return replace(values[0], shape=_checked(shape), is_sparse=True), values[1]


def _integers(wire_type: int, value: int, content: memoryview) -> list[int]:
    """What one occurrence of a repeated integer field holds, packed or not."""
    if wire_type == BYTES:
        return packed_integers(content, limit=_LONGEST_SHAPE)
    return [signed(value)]


def _checked(shape: list[int]) -> tuple[int, ...]:
    if len(shape) > _LONGEST_SHAPE or any(size < 0 for size in shape):
        message = f"a weight of shape {shape[:_LONGEST_SHAPE]}"
        raise WireError(message)
    return tuple(shape)


def _typed(parts: list[tuple[int, int, int, memoryview]], dtype: str) -> memoryview:
    """The little-endian bytes of numbers that are stored one by one, or packed as numbers."""
    if len(parts) == 1 and parts[0][1] == BYTES and parts[0][0] in {4, 10}:
        return parts[0][3]  # packed floats are stored just so
    if any(place in {4, 6, 10} for place, _, _, _ in parts):
        return memoryview(b"".join(bytes(content) for _, _, _, content in parts))
    letter = _ARRAY_LETTERS.get(dtype, "B")
    numbers = array(letter)
    low = (1 << (8 * numbers.itemsize)) - 1
    for _, wire_type, value, content in parts:
        at, end = 0, len(content)
        if wire_type == VARINT:
            numbers.append(value & low)
        while at < end:
            value, at = varint(content, at)  # noqa: PLW2901 - the field's own value is 0
            numbers.append(value & low)
        if len(numbers) > _MOST_NUMBERS:
            message = f"a weight of {len(numbers)} numbers one by one"
            raise WireError(message)
    return memoryview(numbers).cast("B")
