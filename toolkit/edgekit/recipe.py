"""Formats, precisions, and what can be asked for together."""

from __future__ import annotations

from typing import Literal, get_args

from edgekit.errors import UsageError

Format = Literal["tflite", "onnx", "savedmodel"]
Precision = Literal["float32", "float16", "dynamic", "int8", "int16x8", "int4"]
IO = Literal["float32", "int8", "uint8"]

FORMATS: tuple[Format, ...] = get_args(Format)
PRECISIONS: tuple[Precision, ...] = get_args(Precision)
IOS: tuple[IO, ...] = get_args(IO)

AVAILABLE: dict[Format, tuple[Precision, ...]] = {
    "tflite": PRECISIONS,
    "onnx": PRECISIONS,
    "savedmodel": ("float32",),
}
"""Which precisions a format has. A new precision starts here; CONTRIBUTING says what follows."""

SUFFIX: dict[Format, str] = {
    "tflite": ".tflite",
    "onnx": ".onnx",
    "savedmodel": ".savedmodel",
}

CALIBRATED: frozenset[Precision] = frozenset({"int8", "int16x8"})
"""Precisions with integer activations, which must see real inputs before they are made."""


def combinations(
    formats: tuple[Format, ...], precisions: tuple[Precision, ...]
) -> tuple[tuple[Format, Precision], ...]:
    """Every format with every precision, in the order given.

    Raises:
        UsageError: a format does not have a precision; the message names those it has.
    """
    for name in formats:
        for precision in precisions:
            if precision not in AVAILABLE[name]:
                message = (
                    f"--to {name} --quantize {precision}: there is no such combination; "
                    f"{name} has: {', '.join(AVAILABLE[name])}"
                )
                raise UsageError(message)
    return tuple((name, precision) for name in formats for precision in precisions)
