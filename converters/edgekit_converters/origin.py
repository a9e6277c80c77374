"""Where a conversion starts: the original model, its samples and reference outputs, float files."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgekit import check_worker, keras_file, source_kind
from edgekit.errors import ConversionError, SourceError, UsageError
from edgekit.manifest import read_manifest
from edgekit.preprocess import Preprocess
from edgekit.recipe import Format
from edgekit.request import ConvertRequest
from edgekit_converters.keras_source import refuse_code
from edgekit_converters.workers import Workers


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """The original model, seen and sampled; `workspace` holds what the children made of it."""

    name: str
    sha256: str
    framework: str
    framework_version: str
    workspace: Path
    source: dict[str, Any] | None
    """How the Keras child loads it again; None for an object, or a file that is no Keras model."""
    float_file: Path | None
    """The source itself where it is a .tflite or .onnx file."""
    inputs: list[dict[str, Any]]
    outputs: list[dict[str, Any]]
    states: list[list[str]]
    recurrent: bool
    samples: int
    """That set the ranges of integer activations."""
    unseen: int
    """Of those the files are verified on, so many were not calibrated on."""
    random: bool
    warnings: list[str]
    preprocess: dict[str, Any]
    labels: tuple[str, ...] = ()
    """That the source itself carries."""
    has_learned_ranges: bool = False
    """Whether the source carries ranges of activations that were learned in training."""
    pruned: dict[str, Any] | None = None
    """How edgekit pruned the source; None if it did not."""

    @property
    def verify(self) -> str:
        """Samples to compare with."""
        return str(self.workspace / "verify.npz")

    @property
    def reference(self) -> str:
        """What the original gives for `verify`."""
        return str(self.workspace / "reference.npz")

    @property
    def learned(self) -> str | None:
        """Ranges learned in training."""
        return str(self.workspace / "learned.npz") if self.has_learned_ranges else None

    @property
    def calibration(self) -> str:
        """All samples."""
        return str(self.workspace / "samples.npz")


def open_origin(request: ConvertRequest, workers: Workers, workspace: Path) -> Origin:
    """Load the original model in the child it needs, and take samples and reference outputs.

    Raises:
        EdgekitError: it cannot be loaded, or the data does not fit it.
    """
    settings: dict[str, Any] = {
        "workspace": str(workspace),
        "batch": request.batch,
        "shapes": {name: list(shape) for name, shape in request.shapes.items()},
        "data": request.calibrate,
        "count": request.calibration_samples,
        "preprocess": list(request.preprocess),
    }
    common: dict[str, Any] = {
        "workspace": workspace,
        "source": None,
        "float_file": None,
    }
    if not isinstance(request.source, str | os.PathLike):
        made = _prepare_object(request, settings)
        common |= {"name": str(getattr(request.source, "name", "model")), "sha256": ""}
    else:
        path = Path(request.source)
        kind = source_kind.sniff(path)
        common |= {"name": path.name, "sha256": check_worker.sha256(str(path))}
        if kind in {"tflite", "onnx"}:
            _refuse_other_formats(request, path, kind)
            common["float_file"] = path
            stored = read_manifest(path) or {}
            common["labels"] = tuple(stored.get("labels", ()))
            common["pruned"] = stored.get("pruned")
            if not request.preprocess:
                settings["preprocess"] = _stored_steps(stored)
            made = workers.quantizer.call("prepare", path=str(path), **settings)
        else:
            if kind == "keras":  # before TensorFlow is imported for it
                facts = keras_file.read(path)
                refuse_code(str(path), facts, trust=request.trust)
                common["pruned"] = facts.pruned
            source = {
                "path": str(path),
                "custom_objects": request.custom_objects and str(request.custom_objects),
                "trust": request.trust,
            }
            common["source"] = source
            workers.quantizer.start()
            made = workers.keras.call("prepare", source=source, **settings)
    origin = Origin(**common, **made)
    if request.verify:
        _refuse_broken_reference(origin, workers)
    return origin


def float_file(
    origin: Origin, workers: Workers, request: ConvertRequest, format_: Format, *, unrolled: bool
) -> Path:
    """Make the float32 file (or folder) that everything of `format_` is made from.

    Raises:
        ConversionError: the model has no form in this format.
        CrashError: the converter died on it.
    """
    if origin.float_file is not None:
        return origin.float_file
    rolled = origin.workspace / "rolled"
    if format_ == "savedmodel":
        return rolled
    name = "unrolled" if unrolled else "rolled"
    saved, out = origin.workspace / name, origin.workspace / f"{name}.{format_}"
    if unrolled:
        _unroll(origin, workers, saved)
    if format_ == "onnx":
        workers.keras.call("to_onnx", saved=str(saved), out=str(out))
        return out
    try:
        workers.keras.call(
            "to_tflite", saved=str(saved), out=str(out), allow_flex=request.allow_flex
        )
    except ConversionError:
        if unrolled or not origin.recurrent or request.batch != 0:
            raise
        # a loop over time needs a fixed batch; the unrolled layers do not
        return float_file(origin, workers, request, format_, unrolled=True)
    return out


def _unroll(origin: Origin, workers: Workers, saved: Path) -> None:
    if saved.exists():
        return
    if origin.source is None:
        message = "int8 of a recurrent model object; save it as .keras and convert the file"
        raise ConversionError(message)
    workers.keras.call(
        "unroll", source=origin.source, inputs=origin.inputs, states=origin.states, out=str(saved)
    )


def _refuse_broken_reference(origin: Origin, workers: Workers) -> None:
    """Nothing can be compared with NaN: whose fault it is, is said before anything is made."""
    broken = workers.checker.call("not_finite", path=origin.reference)
    for name, count in broken.items():
        message = (
            f"{origin.name}: gives NaN or infinity in output {name!r} for {count} of the samples; "
            "check its weights, and that --calibrate holds typical inputs, prepared as in training "
            "(--preprocess)"
        )
        raise SourceError(message)


def _prepare_object(request: ConvertRequest, settings: dict[str, Any]) -> dict[str, Any]:
    """A model object lives in this process, with its framework; so its tracing happens here."""
    from edgekit_converters import keras_worker

    return keras_worker.prepare_object(
        request.source, unroll=bool({"int8", "int16x8"} & set(request.precisions)), **settings
    )


def _stored_steps(manifest: dict[str, Any]) -> list[str]:
    """The preprocessing that a file made by edgekit carries, as ``--preprocess`` writes it."""
    steps = manifest.get("preprocess", {})
    return [f"{name}:{Preprocess.from_dict(stored)}" for name, stored in steps.items()]


def _refuse_other_formats(request: ConvertRequest, path: Path, kind: str) -> None:
    others = [name for name in request.formats if name != kind]
    if others:
        message = (
            f"{path}: a {kind} file can only be quantized to {kind}; "
            f"use --to {kind}, or give the Keras model for {others[0]}"
        )
        raise UsageError(message)
