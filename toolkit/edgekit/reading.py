"""A model file, read and looked at."""

from __future__ import annotations

import os
import stat
import sys
from typing import TYPE_CHECKING

from edgekit import seal
from edgekit.errors import SourceError
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
            self.path, self.name = None, "model"
            self.kind, self.content = _kind_of_bytes(source, self.name), source
        else:
            self.path = os.fspath(source)
            self.name, self.kind = file_name(self.path), _kind(self.path)
        if self.kind not in {"tflite", "onnx"}:
            return
        if self.content is None and self.kind == "tflite":
            assert self.path is not None
            self.content = _content(self.path)
        self.is_sealed = seal.check(self.data(), self.name)

    def data(self) -> memoryview:
        """The whole file, read or mapped."""
        if self.content is not None:
            return memoryview(self.content)
        assert self.path is not None
        return map_file(self.path)


def _content(path: str) -> bytes:
    """The file, or as much of it as there is by now."""
    try:
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
        try:
            return _read(handle, os.fstat(handle).st_size)  # of this file: the path may be another
        finally:
            os.close(handle)
    except OSError as error:
        raise unreadable(path, error) from None
    except MemoryError:
        message = f"{path}: larger than the memory there is; use a smaller model"
        raise SourceError(message) from None


def _read(handle: int, size: int) -> bytes:
    """`size` bytes, or those up to the end; the system may give fewer at a time than asked for."""
    if size > sys.maxsize:
        raise MemoryError  # more than a process of 32 bits has addresses for
    if size >= _LARGE_BYTES and hasattr(os, "readv") and sys.implementation.name == "cpython":
        try:
            from edgekit import large_bytes
        except ImportError:  # a Python that was built without ctypes
            pass
        else:
            content, place = large_bytes.make(size)
            view, count = memoryview(place).cast("B"), 0
            while more := os.readv(handle, [view[count:]]):
                count += more
            return content if count == size else content[:count]
    parts = [os.read(handle, size)]
    missing = size - len(parts[0])
    while missing and (part := os.read(handle, missing)):
        parts.append(part)
        missing -= len(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)


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
