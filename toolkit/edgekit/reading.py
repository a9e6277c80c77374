"""A model file while it is read and looked at; if it is large, beside what else loading does."""

from __future__ import annotations

import os
import stat
from _thread import allocate_lock, start_new_thread
from typing import TYPE_CHECKING

from edgekit import seal
from edgekit.mapped_file import file_name, map_file, unreadable

if TYPE_CHECKING:
    from edgekit.source_kind import SourceKind

Source = str | os.PathLike[str] | bytes

_LARGE_BYTES = 1 << 19
"""From here on, reading takes as long as beginning a thread, and switching to it and back."""


class Reading:
    """What is in a file, and whether it is as it was sealed.

    TFLite files are read whole: the interpreter would map the file, and the process would die
    were it written over. ONNX Runtime reads a file once, and copies what it needs.
    """

    def __init__(self, source: Source) -> None:
        """Begin to read `source`, a path or the content of a file.

        Raises:
            SourceError: there is no such file, or it is no model; a small one may be damaged.
        """
        self.content: bytes | None = None
        """None for an ONNX file, which is not read but mapped, and for other kinds."""
        self.is_sealed = False
        self._error: BaseException | None = None
        self._pending = allocate_lock()
        if isinstance(source, bytes):
            self.path, self.name, size = None, "model", len(source)
            self.kind, self.content = _kind_of_bytes(source, self.name), source
        else:
            self.path = os.fspath(source)
            self.name, self.kind = file_name(self.path), _kind(self.path)
            size = os.stat(self.path).st_size  # noqa: PTH116
        if self.kind not in {"tflite", "onnx"}:
            return
        if size < _LARGE_BYTES:
            self._read(size)
        else:
            self._read_beside(size)

    def _read(self, size: int) -> None:
        if self.content is None and self.kind == "tflite":
            assert self.path is not None
            self.content = _content(self.path, size)
        self.is_sealed = seal.check(self.data(), self.name)

    def _read_beside(self, size: int) -> None:
        """Read in another thread, which needs Python only in between."""
        self._pending.acquire()
        has_begun = allocate_lock()
        has_begun.acquire()

        def read() -> None:
            has_begun.release()
            try:
                self._read(size)
            except BaseException as error:
                self._error = error
            finally:
                self._pending.release()

        try:
            start_new_thread(read, ())
        except RuntimeError:  # no more threads
            read()
        has_begun.acquire()  # else importing would keep it from beginning

    def wait(self) -> None:
        """Until all is read.

        Raises:
            SourceError: it cannot be read, or is not what it was when it was sealed.
        """
        with self._pending:
            if self._error is not None:
                raise self._error

    def data(self) -> memoryview:
        """The whole file, read or mapped."""
        if self.content is not None:
            return memoryview(self.content)
        assert self.path is not None
        return map_file(self.path)


def _content(path: str, size: int) -> bytes:
    """The file, by as few calls of the system as can be: behind each, a thread has to wait."""
    try:
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
        try:
            content = os.read(handle, size)
            while more := os.read(handle, max(size, 1 << 20)) if len(content) < size else b"":
                content += more
        finally:
            os.close(handle)
    except OSError as error:
        raise unreadable(path, error) from None
    return content


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
