"""A folder for what a conversion or a pruning makes on its way."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from edgekit.errors import OutputError


@contextmanager
def workspace() -> Iterator[Path]:
    """Make a folder, gone with all that is in it at the end.

    Raises:
        OutputError: there is no place for it.
    """
    try:
        folder = tempfile.TemporaryDirectory(prefix="edgekit-")
    except OSError as error:
        message = f"temporary files: {error.strerror}; free some space, or set TMPDIR elsewhere"
        raise OutputError(message) from error
    with folder as name:
        yield Path(name)
