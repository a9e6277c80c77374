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
"""From here on, the checksum takes as long as beginning a thread, and switching to it and back."""


class Reading:
    """What is in a file, and whether it is as it was sealed.

    TFLite files are read whole: the interpreter would map the file, and the process would die
    were it written over. ONNX Runtime reads a file once, and copies what it needs.
    """

    def __init__(self, source: Source) -> None:
        """Read `source`, a path or the content of a file, and begin to look at its checksum.

        Raises:
            SourceError: there is no such file, it is no model, or it is damaged.
        """
        self.content: bytes | None = None
        """None for an ONNX file, which is not read but mapped, and for other kinds."""
        self.is_sealed = False
        self._error: BaseException | None = None
        self._pending = allocate_lock()
        if isinstance(source, bytes):
            self.path, self.name = None, "model"
            self.kind, self.content = _kind_of_bytes(source, self.name), source
        else:
            self.path = os.fspath(source)
            self.name, self.kind = file_name(self.path), _kind(self.path)
            if self.kind == "tflite":
                self.content = _read(self.path)
        if self.kind in {"tflite", "onnx"}:
            self._look()

    def _look(self) -> None:
        data = self.data()
        place = seal.place(data, self.name)
        if place is None:
            return
        self.is_sealed = True
        self._pending.acquire()
        if len(data) < _LARGE_BYTES:
            self._check(data, place)
            return
        try:
            start_new_thread(self._check, (data, place))
        except RuntimeError:  # no more threads
            self._check(data, place)

    def _check(self, data: memoryview, place: int) -> None:
        try:
            if not seal.is_intact(data, place):
                self._error = seal.damaged(self.name)
        except BaseException as error:
            self._error = error
        finally:
            self._pending.release()

    def wait(self) -> None:
        """Until all is looked at.

        Raises:
            SourceError: the file is not what it was when it was sealed.
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


def _read(path: str) -> bytes:
    try:
        with open(path, "rb", buffering=0) as file:  # noqa: PTH123
            return file.read()
    except OSError as error:
        raise unreadable(path, error) from None


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
