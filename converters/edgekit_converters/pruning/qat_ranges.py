"""Learned ranges inside a ``.keras`` file, as one more member, which Keras ignores."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

from edgekit.errors import OutputError
from edgekit.keras_ranges import MEMBER, checked, read_ranges

__all__ = ["read_ranges", "save_ranges"]


def save_ranges(path: str | os.PathLike[str], ranges: Mapping[str, tuple[float, float]]) -> None:
    """Put `ranges` into the ``.keras`` file at `path`, instead of those it has; at once or not.

    Args:
        path: of a file that Keras 3 has saved.
        ranges: smallest and largest value by name of the layer or input that gives them.

    Raises:
        OutputError: the file cannot be read or written.
        SourceError: a range is not finite, or upside down.
    """
    path = Path(path)
    content = {
        "format_version": 1,
        "ranges": {name: [float(low), float(high)] for name, (low, high) in ranges.items()},
    }
    checked(path, content)
    try:
        handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                _copy_with(path, file, json.dumps(content, indent=1).encode())
                file.flush()
                os.fsync(file.fileno())
            shutil.copymode(path, temporary)
            Path(temporary).replace(path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
    except (OSError, zipfile.BadZipFile) as error:
        told = getattr(error, "strerror", None) or error
        message = f"{path}: learned ranges cannot be written ({told}); save the model again"
        raise OutputError(message) from error


def _copy_with(path: Path, file: object, content: bytes) -> None:
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(file, "w") as new:  # type: ignore[call-overload]
        for member in old.infolist():
            if member.filename == MEMBER:
                continue
            with old.open(member) as source, new.open(member, "w", force_zip64=True) as target:
                shutil.copyfileobj(source, target, 1 << 20)
        new.writestr(zipfile.ZipInfo(MEMBER), content)
