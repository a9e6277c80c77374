"""What is told of a file's inputs and classes: by whoever loads it, else by its manifest."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from edgekit.errors import DataError, UsageError
from edgekit.manifest import damaged_manifest
from edgekit.mapped_file import why_unreadable
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
        DataError: the file cannot be read, is no text, or has no names.
    """
    if not isinstance(labels, str | os.PathLike):
        return tuple(map(str, labels))
    try:
        lines = Path(labels).read_text(encoding="utf-8-sig").splitlines()
    except OSError as error:
        message = f"labels {labels}: {why_unreadable(labels, error)}"
        raise DataError(message) from None
    except UnicodeDecodeError:
        message = f"labels {labels}: not UTF-8 text; save it as UTF-8, one class name a line"
        raise DataError(message) from None
    except ValueError as error:  # a NUL in the path
        message = f"labels {str(labels)!r}: cannot be read ({error}); check the path"
        raise DataError(message) from None
    names = tuple(line.strip() for line in lines if line.strip())
    if not names:
        message = f"labels {labels}: has no names; write one class name a line"
        raise DataError(message)
    return names


def check_labels(
    labels: Sequence[str], inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec], name: str
) -> None:
    """See that there are as many labels as scores, where the file says how many it gives.

    Outputs that are no list of scores, as boxes or maps, may have labels in a way that only the
    app knows.

    Raises:
        DataError: the only output of file `name` has another number of scores.
    """
    if len(outputs) != 1 or not labels:
        return
    count = _score_count(outputs[0], inputs)
    allowed = {1, 2} if count == 1 else {count}  # one probability is that of the second of two
    if count is not None and len(labels) not in allowed:
        raise wrong_count(labels, outputs[0], count if count > 1 else 2, name)


def wrong_count(labels: Sequence[str], output: TensorSpec, count: int, name: str) -> DataError:
    """The error for labels of another number than the `count` scores of an output."""
    hint = f"load it with labels of {count} classes"
    if count == len(labels) + 1:
        hint += "; is a background class missing in front?"
    has = "1 label" if len(labels) == 1 else f"{len(labels)} labels"
    return DataError(f"{name}: has {has}, and output {output.name!r} gives {count} scores; {hint}")


def _score_count(output: TensorSpec, inputs: Sequence[TensorSpec]) -> int | None:
    """How many scores a sample has; None where the file does not tell, or they are no scores."""
    shape, batches = output.shape, {spec.shape[0] for spec in inputs if spec.shape}
    if shape and (shape[0] in (1, None) or shape[0] in batches):
        if len(shape) == 1 and shape[0] != 1:
            return None  # a number for each sample, or a list of scores without a batch
        shape = shape[1:]
    sizes = [size for size in shape if size != 1]
    if None in sizes or 0 in sizes or len(sizes) > 1:
        return None
    count = sizes[0] if sizes else 1
    is_decision = output.dtype in ("bool", "string") or (
        count == 1 and output.quantization is None and "int" in output.dtype
    )
    return None if is_decision else count
