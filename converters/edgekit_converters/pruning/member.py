"""Members of our own in a ``.keras`` file, which is a zip archive; Keras ignores them."""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Mapping
from pathlib import Path

from edgekit.errors import OutputError

_TIME = (1980, 1, 1, 0, 0, 0)
"""The same model gives the same file."""


def add_members(path: Path, members: Mapping[str, str]) -> None:
    """Put `members`, texts by name, into the ``.keras`` file `path`; it is never half.

    Those of the same name that it has already are replaced.

    Raises:
        OutputError: it cannot be read, or there is no space for it.
    """
    waiting = path.with_name(f".{path.name}.tmp")
    try:
        with zipfile.ZipFile(path) as old, zipfile.ZipFile(waiting, "w") as new:
            for member in old.infolist():
                if member.filename in members:
                    continue
                with old.open(member) as source, new.open(member, "w", force_zip64=True) as target:
                    shutil.copyfileobj(source, target, 1 << 20)
            for name, text in members.items():
                new.writestr(zipfile.ZipInfo(name, _TIME), text)
        shutil.copymode(path, waiting)
        waiting.replace(path)
    except (OSError, zipfile.BadZipFile) as error:
        told = getattr(error, "strerror", None) or error
        message = f"{path}: cannot be written ({told}); free some space, or save the model again"
        raise OutputError(message) from error
    finally:
        waiting.unlink(missing_ok=True)
