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
    stored = graph.metadata.get(MANIFEST_KEY)
    if stored is None:
        return None
    import json  # here, because few files have a manifest and every command start counts

    try:
        found = json.loads(stored)
    except (ValueError, RecursionError) as error:
        message = f"{path}: its edgekit manifest is damaged ({error}); convert the model again"
        raise SourceError(message) from None
    if not isinstance(found, dict):
        message = f"{path}: its edgekit manifest is no JSON object; convert the model again"
        raise SourceError(message)
    return found
