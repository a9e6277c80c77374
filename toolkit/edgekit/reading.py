"""A model file, read and looked at."""

from __future__ import annotations

import os
import stat
import sys
from typing import TYPE_CHECKING

from edgekit import seal
from edgekit.mapped_file import file_name, map_file, unreadable

if TYPE_CHECKING:
    from edgekit.source_kind import SourceKind

Source = str | os.PathLike[str] | bytes

_LARGE_BYTES = 1 << 19
"""From here on, `large_bytes` is worth its import."""


class Reading:
    """What is in a file, and whether it is as it was sealed.

    TFLite files are read whole: the interpreter would map the file, and the process would die
    were it written over. ONNX Runtime reads a file once, and copies what it needs.
    """

    def __init__(self, source: Source) -> None:
        """Read `source`, a path or the content of a file.

        Raises:
            SourceError: there is no such file, it is no model, or not what was sealed.
        """
        self.content: bytes | None = None
        """None for an ONNX file, which is not read but mapped, and for other kinds."""
        self.is_sealed = False
        if isinstance(source, bytes):
            self.path, self.name, size = None, "model", len(source)
            self.kind, self.content = _kind_of_bytes(source, self.name), source
        else:
            self.path = os.fspath(source)
            self.name, self.kind = file_name(self.path), _kind(self.path)
            size = os.stat(self.path).st_size  # noqa: PTH116
        if self.kind not in {"tflite", "onnx"}:
            return
        if self.content is None and self.kind == "tflite":
            assert self.path is not None
            self.content = _content(self.path, size)
        self.is_sealed = seal.check(self.data(), self.name)

    def data(self) -> memoryview:
        """The whole file, read or mapped."""
        if self.content is not None:
            return memoryview(self.content)
        assert self.path is not None
        return map_file(self.path)


def _content(path: str, size: int) -> bytes:
    """The file, or as much of it as there is by now."""
    try:
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
        try:
            content = _read(handle, size)
            while more := os.read(handle, max(size, 1 << 20)) if len(content) < size else b"":
                content += more
        finally:
            os.close(handle)
    except OSError as error:
        raise unreadable(path, error) from None
    return content


def _read(handle: int, size: int) -> bytes:
    if size < _LARGE_BYTES or not hasattr(os, "readv") or sys.implementation.name != "cpython":
        return os.read(handle, size)
    from edgekit import large_bytes

    content, place = large_bytes.make(size)
    count = os.readv(handle, [place])
    return content if count == size else content[:count]


def _kind(path: str) -> SourceKind:
    """What `sniff` says, which need not be imported for the most usual of all."""
    try:
        if stat.S_ISREG(os.stat(path).st_mode):  # noqa: PTH116 - opening a pipe would wait for ever
            with open(path, "rb", buffering=0) as file:  # noqa: PTH123
                if file.read(8)[4:] == b"TFL3":
                    return "tflite"
    except (OSError, ValueError):
        pass  # told by what follows
    from edgekit.source_kind import sniff

    return sniff(path)


def _kind_of_bytes(content: bytes, name: str) -> SourceKind:
    if content[4:8] == b"TFL3":
        return "tflite"
    from edgekit.source_kind import sniff_bytes

    return sniff_bytes(content, name)
