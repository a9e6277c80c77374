"""Members of our own in a ``.keras`` file, which is a zip archive; Keras ignores them."""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path

from edgekit.errors import OutputError

_TIME = (1980, 1, 1, 0, 0, 0)
"""The same model gives the same file."""


def add_member(path: Path, name: str, text: str) -> None:
    """Put `text` into the ``.keras`` file `path` as the member `name`; the file is never half.

    Raises:
        OutputError: there is no space for it.
    """
    waiting = path.with_name(f".{path.name}.tmp")
    try:
        shutil.copyfile(path, waiting)
        with zipfile.ZipFile(waiting, "a") as archive:
            archive.writestr(zipfile.ZipInfo(name, _TIME), text)
        waiting.replace(path)
    except OSError as error:
        message = f"{path}: cannot be written ({error.strerror}); free some space"
        raise OutputError(message) from error
    finally:
        waiting.unlink(missing_ok=True)
