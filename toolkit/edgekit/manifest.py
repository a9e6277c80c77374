"""The manifest embedded in a model file: how it was made, prepared for, and checked."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from edgekit.errors import SourceError
from edgekit.graph import Graph
from edgekit.source_kind import sniff

MANIFEST_KEY = "edgekit.manifest"
"""Name of the TFLite metadata entry, and of the ONNX metadata property."""


def read_manifest(path: str | os.PathLike[str]) -> dict[str, Any] | None:
    """The manifest of a `.tflite` or `.onnx` file; None where there is none.

    Raises:
        SourceError: neither TFLite nor ONNX, or damaged, or its manifest is no JSON object.
    """
    path = Path(path)
    kind = sniff(path)
    if kind == "tflite":
        from edgekit import tflite_file

        return manifest_of(tflite_file.read(path), path)
    if kind == "onnx":
        from edgekit import onnx_file

        return manifest_of(onnx_file.read(path), path)
    message = f"{path}: a {kind} model, which carries no manifest; give a .tflite or .onnx file"
    raise SourceError(message)


def manifest_of(graph: Graph, path: Path) -> dict[str, Any] | None:
    """The manifest of a file already read; `path` is for messages.

    Raises:
        SourceError: it is no JSON object.
    """
    return parse_manifest(path, graph.metadata.get(MANIFEST_KEY))


def parse_manifest(path: Path, stored: str | bytes | None) -> dict[str, Any] | None:
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


def damaged_manifest(path: Path, error: Exception) -> SourceError:
    """The error for a manifest that cannot be read."""
    message = f"{path}: its edgekit manifest is damaged ({error}); convert the model again"
    return SourceError(message)
