"""Files about to be written must not be those that are read, nor one another."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from edgekit.errors import UsageError


def check_outputs(outputs: Iterable[Path], inputs: Iterable[Path]) -> None:
    """Do nothing if every output is a file of its own.

    Args:
        outputs: files to write; they need not exist.
        inputs: files that are read.

    Raises:
        UsageError: two outputs are one file, or an output is an input, also through a link.
    """
    read = {path.resolve(): path for path in inputs}
    seen: dict[Path, Path] = {}
    for path in outputs:
        place = path.resolve()
        if place in seen:
            message = f"{path}: two outputs have one name; choose others"
            raise UsageError(message)
        if place in read or any(_is_same(path, other) for other in read.values()):
            message = f"{path}: is one of the files that are read; choose another name"
            raise UsageError(message)
        seen[place] = path


def _is_same(path: Path, other: Path) -> bool:
    try:
        return path.samefile(other)
    except OSError:  # one of them does not exist
        return False
