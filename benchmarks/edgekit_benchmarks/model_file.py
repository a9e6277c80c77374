"""A model file to measure: what it is, and what it takes."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, cast

from edgekit import seal
from edgekit.errors import SourceError
from edgekit.inspection import Inspection, inspect
from edgekit.mapped_file import file_name, map_file, unreadable
from edgekit.source_kind import sniff
from edgekit.tensors import TensorSpec

Kind = Literal["tflite", "onnx", "keras"]
_KINDS = ("tflite", "onnx", "keras")
_SUFFIXES = (".tflite", ".onnx", ".keras")


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFile:
    """What is known of a file without running it."""

    path: Path
    kind: Kind
    name: str
    """Of the model, without folder, precision and format."""
    precision: str
    sha256: str
    size_bytes: int
    gzip_bytes: int | None
    inputs: tuple[TensorSpec, ...] = ()
    """Without those that carry state; empty where only the framework knows."""
    states: tuple[str, ...] = ()
    """Inputs that carry state."""
    manifest: Mapping[str, Any] = field(default_factory=dict)


def read_model_file(path: Path) -> ModelFile:
    """Look into a file.

    Raises:
        SourceError: it is missing, damaged, not what it was when it was sealed, no model, or one
            that must be converted first.
    """
    if sniff(path) in {"tflite", "onnx"}:
        seal.check(map_file(path), file_name(path))
    found = inspect(path)
    if found.kind not in _KINDS:
        message = (
            f"{path}: a {found.kind} model, which bench does not run; save it as .keras, or "
            "run: edgekit convert"
        )
        raise SourceError(message)
    manifest = found.manifest or {}
    states = _states(manifest)
    precision = _precision(found)
    return ModelFile(
        path=path,
        kind=cast("Kind", found.kind),
        name=_name(path, precision),
        precision=precision,
        sha256=_sha256(path),
        size_bytes=found.size_bytes,
        gzip_bytes=found.gzip_bytes,
        inputs=tuple(spec for spec in found.inputs if spec.name not in states),
        states=states,
        manifest=manifest,
    )


def each_once(paths: Sequence[Path]) -> list[Path]:
    """The same file under two spellings of its path is measured once.

    >>> each_once([Path("a.tflite"), Path("./a.tflite"), Path("b.onnx")])
    [PosixPath('a.tflite'), PosixPath('b.onnx')]
    """
    return list({path.resolve(): path for path in reversed(paths)}.values())[::-1]


def _sha256(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise unreadable(path, error) from None


def _states(manifest: Mapping[str, Any]) -> tuple[str, ...]:
    listed = manifest.get("states")
    if not isinstance(listed, list):
        return ()
    return tuple(str(one["input"]) for one in listed if isinstance(one, dict) and "input" in one)


def _precision(found: Inspection) -> str:
    """What the manifest says; else what most weights are stored as."""
    recipe = (found.manifest or {}).get("recipe")
    if isinstance(recipe, dict) and isinstance(recipe.get("precision"), str):
        return str(recipe["precision"])
    if found.kind == "keras":
        return "float32"
    stored = dict(found.weights.by_dtype) if found.weights else {}
    most = max(stored, key=lambda dtype: stored[dtype], default="unknown")
    return {"uint8": "int8", "uint4": "int4"}.get(most, most)


def _name(path: Path, precision: str) -> str:
    name = path.name
    for suffix in (*_SUFFIXES, f".{precision}"):
        if name.lower().endswith(suffix) and name.lower() != suffix:
            name = name[: -len(suffix)]
    return name
