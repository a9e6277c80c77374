"""What is known of an output: that someone is about to write it, and that it was left incomplete.

One small file for each output, in the folder of the journals, locked while its owner measures. It
tells the result of a broken call, which ``--resume`` may replace, from any other file.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
from pathlib import Path

from edgekit.errors import OutputError
from edgekit_benchmarks.journal import journal_folder


class OutputRecord:
    """Of one output; where the folder of journals cannot be written, nothing is known."""

    def __init__(self, output: Path, *, request: str, folder: Path | None = None) -> None:
        """Nothing is read yet.

        Args:
            output: the file that is to be written.
            request: tells the same request from others.
            folder: by default that of the user's journals.
        """
        self._output = output
        self._request = request
        place = hashlib.sha256(os.fsencode(output.resolve())).hexdigest()
        self._path = (folder or journal_folder()) / f"{place[:32]}.output"
        self._descriptor: int | None = None

    def claim(self, *, force: bool) -> None:
        """Tell others that this output is ours now, until `release`.

        Args:
            force: write it even if another one is about to.

        Raises:
            OutputError: another process is about to write it.
        """
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError:
            return  # the journal says so
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.utime(descriptor)  # used today
            is_gone = not os.fstat(descriptor).st_nlink
        except BlockingIOError:
            os.close(descriptor)
            if not force:
                message = (
                    f"{self._output}: another edgekit bench is about to write it; wait for its "
                    "end, or choose another name"
                )
                raise OutputError(message) from None
        except OSError:  # a file system without locks
            os.close(descriptor)
        else:
            if is_gone:  # the one before removed it in this moment
                os.close(descriptor)
                self.claim(force=force)
            else:
                self._descriptor = descriptor

    def release(self) -> None:
        """Others may write it; safe to call twice."""
        if self._descriptor is not None:
            if not os.fstat(self._descriptor).st_size:
                self._path.unlink(missing_ok=True)
            os.close(self._descriptor)
            self._descriptor = None

    def is_incomplete(self) -> bool:
        """Whether the output is what a broken call of the same request wrote, unchanged."""
        if self._descriptor is None:
            return False
        try:
            told = json.loads(os.pread(self._descriptor, 1 << 16, 0))
            return isinstance(told, dict) and told == self._told()
        except (OSError, ValueError):
            return False

    def keep(self, *, complete: bool) -> None:
        """Remember the output as it is now: to be replaced if it is not `complete`."""
        if self._descriptor is None:
            return
        with contextlib.suppress(OSError):
            os.ftruncate(self._descriptor, 0)
            if not complete:
                os.pwrite(self._descriptor, json.dumps(self._told()).encode(), 0)

    def _told(self) -> dict[str, str]:
        with self._output.open("rb") as file:
            return {
                "request": self._request,
                "sha256": hashlib.file_digest(file, "sha256").hexdigest(),
            }
