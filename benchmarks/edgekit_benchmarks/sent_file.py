"""Files on their way to a device and back: hashed, and written as they arrive."""

from __future__ import annotations

import binascii
import hashlib
from pathlib import Path
from typing import Any

from edgekit.errors import OutputError, SourceError


def hashed(path: Path) -> tuple[str, int]:
    """The SHA-256 of a file, and its size in bytes.

    Raises:
        SourceError: it cannot be read.
    """
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            return digest, file.tell()
    except OSError as error:
        message = f"{path}: cannot be read ({error.strerror}); check the path"
        raise SourceError(message) from error


class Arrival:
    """Writes what the agent sends of a file; used in ``with``."""

    def __init__(self, path: Path) -> None:
        """Replace `path`.

        Raises:
            OutputError: it cannot be written.
        """
        self._path = path
        self._digest = hashlib.sha256()
        try:
            self._file = path.open("wb", buffering=0)
        except OSError as error:
            raise unwritable(path, error) from error

    def __enter__(self) -> Arrival:
        """Close at the end of the block."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close."""
        self._file.close()

    @property
    def sha256(self) -> str:
        """Of what has arrived."""
        return self._digest.hexdigest()

    def take(self, event: dict[str, Any]) -> None:
        """Write the bytes of an event, if it has some.

        Raises:
            OutputError: no space here.
        """
        if event.get("kind") != "bytes":
            return
        block = memoryview(binascii.a2b_base64(event["base64"]))
        self._digest.update(block)
        try:
            while block:
                block = block[self._file.write(block) :]
        except OSError as error:
            raise unwritable(self._path, error) from error


def unwritable(path: Path, error: OSError) -> OutputError:
    """The error for a file that cannot be written here."""
    return OutputError(f"{path}: cannot be written ({error.strerror}); free some space there")
