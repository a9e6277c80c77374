"""What is told of a file's inputs and classes: by whoever loads it, else by its manifest."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from edgekit.errors import DataError, UsageError
from edgekit.manifest import damaged_manifest
from edgekit.preprocess import Preprocess, for_inputs
from edgekit.tensors import TensorSpec


def preprocess_of(manifest: dict[str, Any], name: str) -> dict[str, Preprocess]:
    """How pictures are prepared for each input, as far as the manifest of file `name` tells.

    Raises:
        SourceError: the manifest is damaged.
    """
    try:
        listed = manifest.get("preprocess") or {}
        return {str(key): Preprocess.from_dict(steps) for key, steps in listed.items()}
    except (KeyError, TypeError, ValueError, AttributeError, UsageError) as error:
        raise damaged_manifest(name, error) from error


def labels_of(manifest: dict[str, Any], name: str) -> tuple[str, ...]:
    """Names of the classes, as far as the manifest of file `name` tells.

    Raises:
        SourceError: the manifest is damaged.
    """
    try:
        return tuple(str(label) for label in manifest.get("labels") or ())
    except (TypeError, AttributeError) as error:
        raise damaged_manifest(name, error) from error


def preprocess_asked(
    asked: str | Sequence[str] | Mapping[str, str], inputs: Sequence[TensorSpec]
) -> dict[str, Preprocess]:
    """How pictures are prepared for each input, as `edgekit.load` was told.

    Raises:
        UsageError: steps that do not exist, or an input that does not.
    """
    texts: Sequence[str] = [asked] if isinstance(asked, str) else list(asked)
    if isinstance(asked, Mapping):
        texts = [f"{key}:{text}" for key, text in asked.items()]
    try:
        return for_inputs(texts, inputs)
    except UsageError as error:  # which speaks to the command line
        raise UsageError(str(error).replace("--preprocess ", "preprocess ")) from None


def read_labels(labels: Sequence[str] | str | os.PathLike[str]) -> tuple[str, ...]:
    """The names of the classes: as they are, or one a line of a text file.

    Raises:
        DataError: the file cannot be read, or is no text.
    """
    if not isinstance(labels, str | os.PathLike):
        return tuple(map(str, labels))
    try:
        lines = Path(labels).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8 text"
        message = f"labels {labels}: {reason}; give a text file with one class name a line"
        raise DataError(message) from None
    return tuple(line.strip() for line in lines if line.strip())
