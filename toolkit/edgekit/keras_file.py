"""Facts of a Keras model file, without importing Keras or running anything the file brings."""

from __future__ import annotations

import json
import os
import struct
import zipfile
import zlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from edgekit import keras_config
from edgekit.child import Child, Limits
from edgekit.errors import CrashError, MissingDependencyError, SourceError
from edgekit.keras_weights import PRUNED_ATTRIBUTE
from edgekit.mapped_file import unreadable
from edgekit.source_kind import sniff
from edgekit.tensors import TensorSpec

PRUNED_MEMBER = "edgekit_pruned.json"
"""How edgekit pruned a model, within its `.keras` file; Keras ignores it."""
_CONFIG_LIMIT_BYTES = 32 << 20
_HDF5_LIMITS = Limits(time_s=60.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class KerasFacts:
    """What can be said of a Keras model before it is loaded.

    Attributes:
        keras_version: as the file says; None for a SavedModel that does not tell.
        lambda_layers: names of what holds marshalled Python code.
        custom_classes: names Keras must be given to load the model, as registered. In a `.h5`
            unregistered ones are found by not being among Keras's own layers.
        inputs: empty where only loading the model would tell.
        outputs: as `inputs`.
        operator_counts: TensorFlow operations, of a SavedModel only.
        parameters: numbers in all weights, without the optimizer's; None when not counted.
        pruned: how edgekit pruned it; None if it did not.
        notes: what could not be found out, and why.
    """

    kind: Literal["keras", "h5", "savedmodel"]
    keras_version: str | None
    class_name: str | None
    lambda_layers: tuple[str, ...] = ()
    custom_classes: tuple[str, ...] = ()
    inputs: tuple[TensorSpec, ...] = ()
    outputs: tuple[TensorSpec, ...] = ()
    layer_counts: dict[str, int]
    operator_counts: dict[str, int]
    parameters: int | None = None
    pruned: dict[str, Any] | None = None
    notes: tuple[str, ...] = ()

    @property
    def has_lambda(self) -> bool:
        """Whether loading it would run Python code stored in the file."""
        return bool(self.lambda_layers)

    @property
    def keras_major(self) -> int | None:
        """2 or 3; None when the file does not tell."""
        major = (self.keras_version or "").split(".", 1)[0]
        return int(major) if major.isascii() and major.isdigit() else None


def read(path: str | os.PathLike[str], *, count_parameters: bool = False) -> KerasFacts:
    """Read the facts of a `.keras` or `.h5` file or a SavedModel folder.

    With `count_parameters`, the weights file inside a `.keras` is walked too (needs h5py).

    Raises:
        SourceError: it is none of these, or it is damaged.
        MissingDependencyError: a `.h5` file, and h5py is not installed.
        CrashError: libhdf5 died reading a `.h5` file.
    """
    path = Path(path)
    kind = sniff(path)
    if kind == "savedmodel":
        from edgekit import saved_model

        return saved_model.read(path)
    if kind == "h5":
        return _read_h5(path)
    if kind == "keras":
        return _read_archive(path, count_parameters=count_parameters)
    raise _refused(path, f"not a Keras model but {kind}; use it as it is")


def _read_h5(path: Path) -> KerasFacts:
    with Child("edgekit.keras_weights", limits=_HDF5_LIMITS) as child:
        told = child.call("attributes", path=str(path.resolve()))
        parameters, notes = _count(child, path)
    config = _parsed(path, told["model_config"])
    facts = _facts("h5", told["keras_version"], config, parameters, notes)
    story = told[PRUNED_ATTRIBUTE]
    pruned = None if story is None else _parsed(path, story)
    return replace(facts, pruned=pruned if isinstance(pruned, dict) else None)


def _read_archive(path: Path, *, count_parameters: bool) -> KerasFacts:
    try:
        with zipfile.ZipFile(path) as archive:
            config = _parsed(path, _member(path, archive, "config.json"))
            metadata = _parsed(path, _member(path, archive, "metadata.json"))
            if "model.weights.h5" not in archive.namelist():
                told = "a .keras file without model.weights.h5"
                raise _refused(path, f"{told}; save the whole model with model.save")
            weights = archive.getinfo("model.weights.h5")
            pruned = None
            if PRUNED_MEMBER in archive.namelist():
                pruned = _parsed(path, _member(path, archive, PRUNED_MEMBER))
    except OSError as error:
        raise unreadable(path, error) from None
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, EOFError, RuntimeError) as error:
        message = f"{path}: the zip archive is damaged ({error}); save or copy the model again"
        raise SourceError(message) from None
    version = metadata.get("keras_version") if isinstance(metadata, dict) else None
    parameters, notes = _count_in_archive(path, weights) if count_parameters else (None, ())
    facts = _facts(
        "keras", version if isinstance(version, str) else None, config, parameters, notes
    )
    return replace(facts, pruned=pruned if isinstance(pruned, dict) else None)


def _facts(
    kind: Literal["keras", "h5"],
    version: str | None,
    config: Any,
    parameters: int | None,
    notes: tuple[str, ...],
) -> KerasFacts:
    found = keras_config.read_config(config)
    return KerasFacts(
        kind=kind,
        keras_version=version,
        class_name=found.class_name,
        lambda_layers=found.lambda_layers,
        custom_classes=found.custom_classes,
        inputs=found.inputs,
        outputs=found.outputs,
        layer_counts=found.layer_counts,
        operator_counts={},
        parameters=parameters,
        notes=notes,
    )


def _refused(path: Path, told: str) -> SourceError:
    return SourceError(f"{path}: {told}")


def _member(path: Path, archive: zipfile.ZipFile, name: str) -> bytes:
    """Read one small member, bounded by what it may unpack to."""
    with archive.open(name) as member:
        content = member.read(_CONFIG_LIMIT_BYTES + 1)
    if len(content) > _CONFIG_LIMIT_BYTES:
        told = f"{name} unpacks to more than {_CONFIG_LIMIT_BYTES >> 20} MiB"
        raise _refused(path, f"{told}; this is no model Keras wrote")
    return content


def _parsed(path: Path, content: bytes | str) -> Any:
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as error:
        told = f"its configuration is damaged ({str(error)[:100]})"
        raise _refused(path, f"{told}; save or copy the model again") from None


def _count_in_archive(path: Path, member: zipfile.ZipInfo) -> tuple[int | None, tuple[str, ...]]:
    if member.compress_type != zipfile.ZIP_STORED:
        return None, ("parameters not counted: the weights are compressed, which Keras never does",)
    with path.open("rb") as file:
        file.seek(member.header_offset)
        header = file.read(30)
    if len(header) < 30 or not header.startswith(b"PK\x03\x04"):
        return None, ("parameters not counted: the zip archive is damaged",)
    name_bytes, extra_bytes = struct.unpack_from("<HH", header, 26)
    offset = member.header_offset + 30 + name_bytes + extra_bytes
    with Child("edgekit.keras_weights", limits=_HDF5_LIMITS) as child:
        return _count(child, path, offset=offset, length=member.file_size)


def _count(child: Child, path: Path, **window: int) -> tuple[int | None, tuple[str, ...]]:
    try:
        return child.call("parameters", path=str(path.resolve()), **window), ()
    except (CrashError, MissingDependencyError, SourceError) as error:
        return None, (f"parameters not counted: {error}",)
