"""One benchmark at a time on one device, whoever started it."""

from __future__ import annotations

import contextlib
import fcntl
import os
import tempfile
import time
from pathlib import Path

from .board import UNKNOWN

_NAME = "edgekit-bench.lock"


class DeviceLock:
    """A lock that ends with the process that holds it, however that ends."""

    def __init__(self) -> None:
        """It is not taken yet."""
        self._path = Path(tempfile.gettempdir()) / _NAME
        self._descriptor: int | None = None

    def try_to_take(self) -> bool:
        """Whether it is ours now."""
        while self._descriptor is None:
            try:
                try:
                    descriptor = lock_file(self._path, os.O_RDWR)
                except FileNotFoundError:
                    descriptor = lock_file(self._path, os.O_RDWR | os.O_CREAT | os.O_EXCL)
                    os.fchmod(descriptor, 0o666)  # all users of the device share it
            except FileExistsError:
                continue  # somebody was faster
            except BlockingIOError:
                return False
            with contextlib.suppress(FileNotFoundError):
                if self._path.stat().st_ino == os.fstat(descriptor).st_ino:
                    self._descriptor = descriptor
                    break
            os.close(descriptor)  # who held it has just removed it
        os.ftruncate(self._descriptor, 0)
        since = time.strftime("%Y-%m-%d %H:%M:%S")
        os.pwrite(self._descriptor, f"process {os.getpid()}, since {since}".encode(), 0)
        return True

    def holder(self) -> str:
        """Who has it, in words."""
        with contextlib.suppress(OSError):
            return self._path.read_text(errors="replace")[:200] or UNKNOWN
        return UNKNOWN

    def let_go(self) -> None:
        """Let others measure; safe to call twice."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            with contextlib.suppress(OSError):  # another user's file in a folder for all
                self._path.unlink()
            os.close(descriptor)


def lock_file(path: Path, flags: int) -> int:
    """Open a file and lock it for as long as this process lives, or the descriptor is open.

    Raises:
        BlockingIOError: another process has it.
        OSError: it cannot be opened.
    """
    descriptor = os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor
