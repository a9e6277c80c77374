"""Put a text file in its place, whole or not at all."""

from __future__ import annotations

import errno
import os
import threading
from contextlib import suppress
from pathlib import Path

from edgekit.errors import OutputError


def write_text(path: str | os.PathLike[str], text: str, *, force: bool) -> None:
    """Write beside `path` under a temporary name, then rename; the folder is made.

    Without `force` an existing file is never replaced, not even one that appeared just now.

    Raises:
        OutputError: the file exists, no permission, or no space; nothing is left behind.
    """
    file = Path(path)
    waiting = file.with_name(f".{file.name}.{os.getpid()}.{threading.get_native_id()}.tmp")
    try:
        if not force:
            _refuse_existing(file)
        _make_folder(file.parent)
        with waiting.open("w", encoding="utf-8", newline="\n") as opened:
            opened.write(text)
            opened.flush()
            os.fsync(opened.fileno())
        if force:
            waiting.replace(file)
        else:
            _link(waiting, file)
    except FileExistsError as error:
        message = f"{file}: exists already; add --force to replace it, or choose another name"
        raise OutputError(message) from error
    except OSError as error:
        message = f"{file}: cannot be written ({error.strerror}); choose another place"
        raise OutputError(message) from error
    finally:
        with suppress(OSError):
            waiting.unlink(missing_ok=True)


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError as error:  # a file is in the way
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR)) from error


def _link(waiting: Path, file: Path) -> None:
    """A hard link fails where the file exists; file systems without links get a look first."""
    try:
        file.hardlink_to(waiting)
    except FileExistsError:
        raise
    except OSError:
        _refuse_existing(file)
        waiting.rename(file)


def _refuse_existing(file: Path) -> None:
    if file.exists():
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
