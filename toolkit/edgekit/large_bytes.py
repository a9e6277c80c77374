"""Room for the content of a large file, which the system hands out in large pieces."""

from __future__ import annotations

import ctypes
import mmap
from contextlib import suppress

_HEADER = bytes.__basicsize__ - 1
"""How far behind the object its content begins: ``ob_sval`` of CPython's ``PyBytesObject``."""


def make(size: int) -> tuple[bytes, ctypes.Array[ctypes.c_char]]:
    """Bytes that nobody has written yet, and a view to write them through, once.

    CPython's ``PyBytes_FromStringAndSize`` without a string is for this. Before they are written,
    Linux is asked for huge pages (``madvise(2)``, MADV_HUGEPAGE): a file of 14 MB is otherwise
    read at the pace of 3,400 page faults, which takes three times as long.

    Args:
        size: in bytes; what `ctypes.c_ssize_t` can hold.

    Raises:
        MemoryError: there is not as much.
    """
    new = ctypes.pythonapi["PyBytes_FromStringAndSize"]  # by item: the attribute is everybody's
    new.restype, new.argtypes = ctypes.py_object, (ctypes.c_void_p, ctypes.c_ssize_t)
    content: bytes = new(None, size)
    begin = id(content) + _HEADER
    _ask_for_huge_pages(begin, begin + size)
    return content, (ctypes.c_char * size).from_address(begin)


def _ask_for_huge_pages(begin: int, end: int) -> None:
    first = -(-begin // mmap.PAGESIZE) * mmap.PAGESIZE
    if first >= end or not hasattr(mmap, "MADV_HUGEPAGE"):
        return
    with suppress(OSError, AttributeError):  # a C library that cannot be looked into
        madvise = ctypes.CDLL(None)["madvise"]
        madvise(ctypes.c_void_p(first), ctypes.c_size_t(end - first), mmap.MADV_HUGEPAGE)
