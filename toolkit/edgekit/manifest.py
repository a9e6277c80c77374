"""The manifest embedded in a model file: how it was made, prepared for, and checked."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, Any

from edgekit.errors import SourceError
from edgekit.mapped_file import unreadable
from edgekit.seal import MANIFEST_KEY

if TYPE_CHECKING:
    from pathlib import Path

    from edgekit.graph import Graph

FOLDER_MANIFEST = "assets.extra/edgekit.manifest.json"
"""Where a SavedModel folder keeps it."""
_LIMIT_BYTES = 16 << 20
"""Of a folder's manifest; with the names of 10,000 classes it has less than 1 MB."""


def read_manifest(path: str | os.PathLike[str]) -> dict[str, Any] | None:
    """The manifest of a `.tflite` or `.onnx` file or a SavedModel folder; None without one.

    Raises:
        SourceError: another kind of model, or damaged, or its manifest is no JSON object.
    """
    from pathlib import Path

    from edgekit.source_kind import sniff

    path = Path(path)
    kind = sniff(path)
    if kind == "tflite":
        from edgekit import tflite_file

        return manifest_of(tflite_file.read(path), path)
    if kind == "onnx":
        from edgekit import onnx_file

        return manifest_of(onnx_file.read(path), path)
    if kind == "savedmodel":
        return manifest_of_folder(path)
    readable = "a .tflite or .onnx file, or a SavedModel folder"
    message = f"{path}: a {kind} model, which carries no manifest; give {readable}"
    raise SourceError(message)


def manifest_of(graph: Graph, path: Path) -> dict[str, Any] | None:
    """The manifest of a file already read; `path` is for messages.

    Raises:
        SourceError: it is no JSON object.
    """
    return parse_manifest(path, graph.metadata.get(MANIFEST_KEY))


def manifest_of_folder(path: Path) -> dict[str, Any] | None:
    """The manifest of the SavedModel folder `path`; None where there is none.

    Raises:
        SourceError: no regular file, unreadable, above 16 MiB, or no JSON object.
    """
    file = path / FOLDER_MANIFEST
    try:
        if not stat.S_ISREG(file.stat().st_mode):  # opening a pipe would wait for ever
            raise damaged_manifest(path, TypeError("no regular file"))
        with file.open("rb") as stream:
            stored = stream.read(_LIMIT_BYTES + 1)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise unreadable(file, error) from None
    if len(stored) > _LIMIT_BYTES:
        raise damaged_manifest(path, ValueError(f"more than {_LIMIT_BYTES >> 20} MiB"))
    return parse_manifest(path, stored)


def parse_manifest(path: Path | str, stored: str | bytes | None) -> dict[str, Any] | None:
    """What `stored`, the manifest of the file `path`, says; None without one.

    Raises:
        SourceError: it is no JSON object.
    """
    if stored is None:
        return None
    import json  # here, because few files have a manifest and every command start counts

    try:
        found = json.loads(stored)
    except (ValueError, RecursionError) as error:
        raise damaged_manifest(path, error) from None
    if not isinstance(found, dict):
        raise damaged_manifest(path, TypeError("no JSON object"))
    return found


def damaged_manifest(path: Path | str, error: Exception) -> SourceError:
    """The error for a manifest that cannot be read."""
    message = f"{path}: its edgekit manifest is damaged ({error}); convert the model again"
    return SourceError(message)
