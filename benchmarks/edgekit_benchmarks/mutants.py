"""Damage model files, the same way for the same seed.

Three kinds of damage: anywhere in the file, as a bad card or a broken download does it; in one
field of a FlatBuffer or a protocol buffer, as a bug in a converter would; and several at once. All
of it aims at the structure more than at the weights, whose damage only gives other numbers.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Callable
from typing import Literal

from edgekit.guard_tflite_schema import TABLES, UNIONS
from edgekit.protobuf import BYTES, FIXED32, VARINT, WireError, fields

Kind = Literal["tflite", "onnx"]

_WORDS = (
    0, 1, 2, 3, 4, 5, 7, 8, 16, 31, 32, 64, 127, 128, 255, 256, 1000, 4096, 65535, 65536, 1 << 20,
    1 << 24, 1 << 30, (1 << 31) - 1, 1 << 31, (1 << 31) + 1, -1, -2, -3, -128, -1000, -65536,
)  # fmt: skip
_FLOATS = (0.0, -1.0, float("nan"), float("inf"), -float("inf"), 1e-45, 1e-30, 1e10, 3e38, 1.0)
_SIZES = {"b": 1, "B": 1, "?": 1, "H": 2, "i": 4, "I": 4, "f": 4, "q": 8, "Q": 8}
_BULK_BYTES = 64
_BLOCKS = (1, 4, 8, 16, 64, 256, 1024)


def mutate(data: bytes, kind: Kind, seed: str) -> bytes:
    """A damaged copy of a model file; the same for the same arguments.

    Args:
        data: a whole file, undamaged.
        kind: its format.
        seed: any text.
    """
    chance = random.Random(seed)  # noqa: S311 - to be repeated, not to be secret
    aimed = _field_of_flatbuffer if kind == "tflite" else _field_of_protobuf
    content = bytearray(data)
    how = chance.choice(("anywhere", "field", "both"))
    if how != "anywhere":
        content = aimed(content, chance)
    if how != "field":
        for _ in range(chance.choice((1, 1, 2, 3))):
            chance.choice(_ANYWHERE)(content, chance)
    return bytes(content) or b"\0"


# ---- anywhere -------------------------------------------------------------------------------


def _place(content: bytearray, chance: random.Random) -> int:
    """Any place, more often near either end, where the structure mostly is."""
    size = max(1, len(content))
    reach = min(size, 4096)
    at = chance.choice((chance.randrange(size), chance.randrange(reach)))
    return at if chance.random() < 0.5 else size - 1 - at


def _bits(content: bytearray, chance: random.Random) -> None:
    for _ in range(chance.choice((1, 1, 1, 2, 8))):
        at = _place(content, chance)
        content[at : at + 1] = bytes(
            byte ^ 1 << chance.randrange(8) for byte in content[at : at + 1]
        )


def _bytes(content: bytearray, chance: random.Random) -> None:
    at = _place(content, chance)
    content[at : at + 1] = bytes([chance.choice((0, 1, 2, 4, 9, 32, 127, 128, 255))])


def _word(content: bytearray, chance: random.Random) -> None:
    at = _place(content, chance) & ~3
    if at + 4 <= len(content):
        (now,) = struct.unpack_from("<i", content, at)
        value = chance.choice((chance.choice(_WORDS), now + 1, now - 1, now + 4, now * 2, -now))
        struct.pack_into("<I", content, at, value & 0xFFFF_FFFF)


def _block(content: bytearray, chance: random.Random) -> None:
    at, size = _place(content, chance), chance.choice(_BLOCKS)
    other = _place(content, chance)
    part = content[at : at + size]
    content[at : at + size] = chance.choice(
        (bytes(len(part)), b"\xff" * len(part), chance.randbytes(len(part)), part[::-1])
    )
    if chance.random() < 0.3:  # shuffled: it lands elsewhere, too
        content[other : other + len(part)] = part[: len(content) - other]


def _shift(content: bytearray, chance: random.Random) -> None:
    at, size = _place(content, chance), chance.choice(_BLOCKS[:4])
    if chance.random() < 0.5:
        content[at:at] = content[at : at + size]
    else:
        del content[at : at + size]


def _truncate(content: bytearray, chance: random.Random) -> None:
    del content[chance.randrange(max(1, len(content))) :]


_ANYWHERE: tuple[Callable[[bytearray, random.Random], None], ...] = (
    _bits, _bits, _bytes, _bytes, _word, _word, _word, _block, _shift, _truncate,
)  # fmt: skip


# ---- one field of a FlatBuffer --------------------------------------------------------------


def _field_of_flatbuffer(content: bytearray, chance: random.Random) -> bytearray:
    places = _places(content)
    kinds = sorted(places)
    for _ in range(chance.choice((1, 1, 2, 3))):
        listed = places[chance.choice(kinds)]
        at, letter = chance.choice(listed)
        if letter == "absent":
            struct.pack_into("<H", content, at, 0)
        elif letter == "count":
            (now,) = struct.unpack_from("<I", content, at)
            struct.pack_into("<I", content, at, chance.choice((0, 1, max(0, now - 1), now // 2)))
        elif letter == "f":
            struct.pack_into("<f", content, at, chance.choice(_FLOATS))
        else:
            size = _SIZES[letter]
            now = int.from_bytes(content[at : at + size], "little", signed=True)
            there = chance.choice(listed)[0]
            alike = int.from_bytes(content[there : there + size], "little", signed=True)
            value = chance.choice((chance.choice(_WORDS), chance.randrange(200), now + 1, alike))
            content[at : at + size] = (value & (1 << 8 * size) - 1).to_bytes(size, "little")
    return content


def _places(data: bytes | bytearray) -> dict[tuple[str, int, str], list[tuple[int, str]]]:
    """Where the fields of each table are: by table, field and what can be changed there."""
    found: dict[tuple[str, int, str], list[tuple[int, str]]] = {}
    seen: set[tuple[str, int]] = set()

    def word(at: int) -> int:
        value: int = struct.unpack_from("<I", data, at)[0]
        return value

    def vector(name: str, index: int, field: str, at: int) -> None:
        count = word(at)
        found.setdefault((name, index, "count"), []).append((at, "count"))
        if field in TABLES:
            for item in range(at + 4, at + 4 + 4 * count, 4):
                table(field, item + word(item))
        elif name != "Buffer" or count <= _BULK_BYTES:
            letter = "i" if name == "Buffer" else field  # most small constants are int32
            size = _SIZES[letter]
            end = at + 4 + min(count * _SIZES[field], _BULK_BYTES * size) // size * size
            items = found.setdefault((name, index, "item"), [])
            items += [(item, letter) for item in range(at + 4, end, size)]

    def table(name: str, at: int) -> None:
        if (name, at) in seen:
            return
        seen.add((name, at))
        layout = at - int(struct.unpack_from("<i", data, at)[0])
        slots = (struct.unpack_from("<H", data, layout)[0] - 4) // 2
        union_type = 0
        for index, field in enumerate(TABLES[name][:slots]):
            slot = layout + 4 + 2 * index
            (offset,) = struct.unpack_from("<H", data, slot)
            if not offset or field == "-":
                continue
            here = at + offset
            found.setdefault((name, index, "absent"), []).append((slot, "absent"))
            if field in _SIZES:
                found.setdefault((name, index, "value"), []).append((here, field))
                union_type = data[here]
            elif field.startswith("*"):
                vector(name, index, field[1:], here + word(here))
            elif field.startswith("|"):
                kind = UNIONS[field[1:]][union_type]
                if kind is not None:
                    table(kind, here + word(here))
            elif field != "s":
                table(field, here + word(here))

    table("Model", word(0))
    return {key: listed for key, listed in found.items() if listed}


# ---- one field of a protocol buffer ---------------------------------------------------------

_MESSAGES = {
    "Model": {7: "Graph", 8: "Opset", 14: "Pair", 25: "Function"},
    "Graph": {1: "Node", 5: "Tensor", 11: "Value", 12: "Value", 13: "Value"},
    "Node": {5: "Attribute"},
    "Attribute": {5: "Tensor", 6: "Graph"},
    "Value": {2: "Type"},
    "Type": {1: "TensorType"},
    "TensorType": {2: "Shape"},
    "Shape": {1: "Dimension"},
    "Tensor": {13: "Pair"},
}
_VARINTS = (*_WORDS, 1 << 32, (1 << 63) - 1, 1 << 63, -(1 << 63))
_Part = tuple[int, int, "int | bytes | list[_Part]", str]
"""Number, wire type, value, and the message it is, if it is one."""


def _field_of_protobuf(content: bytearray, chance: random.Random) -> bytearray:
    tree = _tree(memoryview(bytes(content)), "Model")
    for _ in range(chance.choice((1, 1, 2, 3))):
        slots: list[tuple[list[_Part], int]] = []
        _walk(tree, slots)
        if not slots:
            break
        parts, at = chance.choice(slots)
        number, wire, value, message = parts[at]
        how = chance.choice(("value", "value", "value", "drop", "again", "swap", "number"))
        if how == "drop":
            del parts[at]
        elif how == "again":
            parts.insert(chance.randrange(len(parts) + 1), parts[at])
        elif how == "swap":
            other = chance.randrange(len(parts))
            parts[at], parts[other] = parts[other], parts[at]
        elif how == "number":
            parts[at] = (chance.randrange(1, 16), wire, value, message)
        elif isinstance(value, int):
            parts[at] = (number, wire, chance.choice((*_VARINTS, value + 1, value - 1)), message)
        elif isinstance(value, bytes):
            parts[at] = (number, wire, _changed(value, wire, chance), message)
    return bytearray(_packed(tree))


def _changed(value: bytes, wire: int, chance: random.Random) -> bytes:
    if wire != BYTES:
        return struct.pack("<f", chance.choice(_FLOATS)) if wire == FIXED32 else bytes(8)
    content = bytearray(value)
    how = chance.randrange(5)
    if how == 0:
        return value[: len(value) // 2]
    if how == 1:
        return b""
    if how == 2:
        return value + (value[:_BULK_BYTES] or b"x")
    if how == 3 and len(content) >= 8:
        at = chance.randrange(len(content) // 8) * 8
        struct.pack_into("<q", content, at, chance.choice(_WORDS))
    elif content:
        content[chance.randrange(len(content))] = chance.randrange(256)
    return bytes(content)


def _tree(data: memoryview, message: str) -> list[_Part]:
    found: list[_Part] = []
    for number, wire, value, content in fields(data):
        inner = _MESSAGES.get(message, {}).get(number, "")
        if wire == VARINT:
            found.append((number, wire, value, ""))
        elif wire == BYTES and inner:
            found.append((number, wire, _tree(content, inner), inner))
        else:
            found.append((number, wire, bytes(content), ""))
    return found


def _walk(parts: list[_Part], slots: list[tuple[list[_Part], int]]) -> None:
    for at, part in enumerate(parts):
        slots.append((parts, at))
        if isinstance(part[2], list):
            _walk(part[2], slots)


def _varint(value: int) -> bytes:
    value &= (1 << 64) - 1
    made = bytearray()
    while value > 0x7F:
        made.append(value & 0x7F | 0x80)
        value >>= 7
    made.append(value)
    return bytes(made)


def _packed(parts: list[_Part]) -> bytes:
    made = bytearray()
    for number, wire, value, _ in parts:
        made += _varint(number << 3 | wire)
        if isinstance(value, int):
            made += _varint(value)
            continue
        content = _packed(value) if isinstance(value, list) else value
        made += _varint(len(content)) + content if wire == BYTES else content
    return bytes(made)


def is_mutable(data: bytes, kind: Kind) -> bool:
    """Whether `mutate` can read the structure of an undamaged file."""
    try:
        if kind == "tflite":
            return bool(_places(data))
        return bool(_tree(memoryview(data), "Model"))
    except (struct.error, IndexError, WireError):
        return False
