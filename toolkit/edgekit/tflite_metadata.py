"""One metadata entry of a `.tflite` file, without reading the rest of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgekit.errors import SourceError
from edgekit.flatbuffer import FlatBuffer, FlatBufferError, Table

if TYPE_CHECKING:
    from pathlib import Path


def find(data: memoryview, name: str, path: Path | str) -> bytes | None:
    """The content of the metadata entry `name`; None where there is none.

    Args:
        data: a whole file, that begins as TFLite files do.
        name: of the entry.
        path: for messages.

    Raises:
        SourceError: truncated or damaged on the way there.
    """
    try:
        return _find(FlatBuffer(data).root(), name)
    except FlatBufferError as error:
        message = (
            f"{path}: the TFLite file is truncated or damaged ({error}); make or copy it again"
        )
        raise SourceError(message) from None


def _find(model: Table, name: str) -> bytes | None:
    for entry in model.tables(6):
        if entry.text(0) == name:
            buffers, number = model.tables(4), entry.uint32(1)
            if number >= len(buffers):
                message = f"buffer {number} of {len(buffers)} is asked for"
                raise FlatBufferError(message)
            return bytes(buffers[number].content(0))
    return None
