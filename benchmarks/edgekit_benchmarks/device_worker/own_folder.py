"""The agent's folder, and those of agents that were killed before they could remove theirs."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import time
from pathlib import Path

from .device_lock import lock_file

_PREFIX = f"edgekit-bench-{os.getuid()}-"
_OWNER = "owner"
_BEING_MADE_S = 60


class OwnFolder:
    """A temporary folder, whose file ``owner`` is locked as long as its agent lives."""

    def __init__(self) -> None:
        """Make it; and remove abandoned ones.

        Raises:
            OSError: there is no space, or no right to.
        """
        remove_abandoned()
        self.path = Path(tempfile.mkdtemp(prefix=_PREFIX))
        try:
            self._owner = lock_file(self.path / _OWNER, os.O_RDWR | os.O_CREAT)
        except OSError:
            shutil.rmtree(self.path, ignore_errors=True)
            raise

    def remove(self) -> None:
        """Remove it with all that is in it."""
        shutil.rmtree(self.path, ignore_errors=True)
        os.close(self._owner)


def remove_abandoned() -> None:
    """Remove this user's folders that nobody holds the lock of."""
    for folder in Path(tempfile.gettempdir()).glob(_PREFIX + "*"):
        with contextlib.suppress(OSError):
            about = folder.lstat()
            if folder.is_symlink() or about.st_uid != os.getuid():
                continue
            try:
                os.close(lock_file(folder / _OWNER, os.O_RDWR))
            except FileNotFoundError:
                if time.time() - about.st_mtime < _BEING_MADE_S:
                    continue  # its agent is just about to lock it
            shutil.rmtree(folder, ignore_errors=True)
