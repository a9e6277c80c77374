"""A `.onnx` file of many operators that do next to nothing: what it takes is the runtime's own.

Written by hand, so that it takes no onnx package; the field numbers are those of ``onnx.proto``.
"""

from __future__ import annotations

_IR_VERSION = 8
_OPSET = 13
_FLOAT = 1
_RANK = 4
"""Dimensions, of size 1: as many as images have, as profiling costs more with more of them."""


def chain(length: int, inputs: int) -> bytes:
    """A model that adds one number to itself, again and again.

    Args:
        length: how many ``Sum`` operators follow one another.
        inputs: of each.
    """
    nodes = [
        b"".join(
            [
                _text(1, f"t{number}"),
                *([_text(1, "t0")] * (inputs - 1)),
                _text(2, f"t{number + 1}"),
                _text(3, f"n{number}"),
                _text(4, "Sum"),
            ]
        )
        for number in range(length)
    ]
    graph = b"".join(
        [
            *(_bytes(1, node) for node in nodes),
            _text(2, "chain"),
            _bytes(11, _value("t0")),
            _bytes(12, _value(f"t{length}")),
        ]
    )
    return _number(1, _IR_VERSION) + _bytes(7, graph) + _bytes(8, _text(1, "") + _number(2, _OPSET))


def _value(name: str) -> bytes:
    shape = _bytes(1, _number(1, 1)) * _RANK
    tensor = _number(1, _FLOAT) + _bytes(2, shape)
    return _text(1, name) + _bytes(2, _bytes(1, tensor))


def _text(field: int, value: str) -> bytes:
    return _bytes(field, value.encode())


def _bytes(field: int, value: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(value)) + value


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _varint(value: int) -> bytes:
    found = bytearray()
    while value > 0x7F:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*found, value])
