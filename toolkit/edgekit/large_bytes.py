"""Room for the content of a large file, which the system hands out in large pieces."""

from __future__ import annotations

import ctypes
import mmap
from contextlib import suppress

_HUGE = getattr(mmap, "MADV_HUGEPAGE", 14)
_HEADER = bytes.__basicsize__ - 1
"""How far behind the object its content begins: ``ob_sval`` of CPython's ``PyBytesObject``."""


def make(size: int) -> tuple[bytes, ctypes.Array[ctypes.c_char]]:
    """Bytes that nobody has written yet, and a view to write them through, once.

    CPython's ``PyBytes_FromStringAndSize`` without a string is for this. Before they are written,
    Linux is asked for huge pages (``madvise(2)``, MADV_HUGEPAGE): a file of 14 MB is otherwise
    read at the pace of 3,400 page faults, which takes three times as long.

    Args:
        size: in bytes.

    Raises:
        MemoryError: there is not as much.
    """
    new = ctypes.pythonapi.PyBytes_FromStringAndSize
    new.restype, new.argtypes = ctypes.py_object, (ctypes.c_void_p, ctypes.c_ssize_t)
    content: bytes = new(None, size)
    begin = id(content) + _HEADER
    with suppress(OSError, AttributeError):  # a kernel or a system that has no such thing
        first = -(-begin // mmap.PAGESIZE) * mmap.PAGESIZE
        length = begin + size - first
        ctypes.CDLL(None).madvise(ctypes.c_void_p(first), ctypes.c_size_t(length), _HUGE)
    return content, (ctypes.c_char * size).from_address(begin)
