"""Put a finished file or folder in its place, whole or not at all."""

from __future__ import annotations

import errno
import os
import shutil
import threading
from contextlib import suppress
from pathlib import Path

from edgekit.errors import OutputError


def publish(made: Path, target: Path, *, force: bool) -> None:
    """Copy `made` beside `target` under a temporary name, then rename it.

    Without `force` an existing target is never replaced, not even one that appeared just now.

    Raises:
        OutputError: the target exists, no permission, or no space; nothing is left behind.
    """
    waiting = target.with_name(f".{target.name}.{os.getpid()}.{threading.get_native_id()}.tmp")
    try:
        _make_folder(target.parent)
        if made.is_dir():
            shutil.copytree(made, waiting)
            _replace_folder(waiting, target, force=force)
            return
        shutil.copyfile(made, waiting)
        _flush(waiting)
        if force:
            waiting.replace(target)
        else:
            _link(waiting, target)
    except FileExistsError as error:
        message = f"{target}: exists already; add --force to replace it, or choose -o"
        raise OutputError(message) from error
    except OSError as error:
        message = f"{target}: cannot be written ({error.strerror}); choose another place with -o"
        raise OutputError(message) from error
    finally:
        _remove(waiting)


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError as error:
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR)) from error


def _link(waiting: Path, target: Path) -> None:
    """A hard link fails where the target exists; file systems without links get a look first."""
    try:
        target.hardlink_to(waiting)
    except FileExistsError:
        raise
    except OSError:
        if target.exists():
            raise FileExistsError from None
        waiting.rename(target)


def _replace_folder(waiting: Path, target: Path, *, force: bool) -> None:
    old = target.with_name(f".{target.name}.{os.getpid()}.old")
    if target.exists():
        if not force:
            raise FileExistsError
        target.rename(old)
    waiting.rename(target)
    _remove(old)


def _flush(file: Path) -> None:
    """A full disk shows here at the latest, while the target is still untouched."""
    with file.open("rb") as handle:
        os.fsync(handle.fileno())


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink()
