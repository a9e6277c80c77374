"""Folders of files as data: which files count, and which classes they belong to."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgekit.errors import DataError

_SPLITS = {"train", "training", "test", "testing", "val", "valid", "validation", "eval"}


def classify(
    folder: Path, suffixes: Sequence[str], what: str
) -> tuple[list[Path], NDArray[np.int64] | None, tuple[str, ...] | None]:
    """The files of `folder` with one of `suffixes`, their class numbers and the classes' names.

    Raises:
        DataError: there are none, they are both loose and in classes, or the classes are splits.
    """
    loose = sorted(path for path in folder.iterdir() if _wanted(path.name, suffixes, path))
    classes = sorted(path for path in folder.iterdir() if path.is_dir() and _visible(path.name))
    members = [sorted(_walk(path, suffixes)) for path in classes]
    if not loose and not any(members):
        message = f"is a folder without {what} ({', '.join(suffixes)}); check the path"
        raise DataError(message)
    if loose and any(members):
        message = (
            f"has {what} both directly ({loose[0].name}, …) and in sub-folders "
            f"({classes[0].name}, …); put all into sub-folders, or none"
        )
        raise DataError(message)
    if loose:
        return loose, None, None
    names = tuple(path.name for path in classes)
    if len(names) > 1 and {name.casefold() for name in names} <= _SPLITS:
        message = f"its sub-folders are splits, not classes; choose one: {classes[0]}"
        raise DataError(message)
    labels = [number for number, paths in enumerate(members) for _ in paths]
    return [path for paths in members for path in paths], np.array(labels, np.int64), names


def has_files(folder: Path, suffixes: Sequence[str]) -> bool:
    """Whether `folder` or a folder in it has a file with one of `suffixes`."""
    return next(iter(_walk(folder, suffixes)), None) is not None


def _walk(folder: Path, suffixes: Sequence[str]) -> Iterable[Path]:
    for parent, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if _visible(name)]
        for name in files:
            path = Path(parent, name)
            if _wanted(name, suffixes, path):
                yield path


def _wanted(name: str, suffixes: Sequence[str], path: Path) -> bool:
    return _visible(name) and name.lower().endswith(tuple(suffixes)) and path.is_file()


def _visible(name: str) -> bool:
    return not name.startswith((".", "__MACOSX"))
