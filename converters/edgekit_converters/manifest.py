"""What is written into an artifact about itself: source, recipe, versions, interface, check."""

from __future__ import annotations

import json
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import edgekit
from edgekit import golden as golden_cases
from edgekit import seal
from edgekit.artifact import Verification
from edgekit.recipe import CALIBRATED, Format, Precision
from edgekit.request import ConvertRequest
from edgekit_converters.origin import Origin

_MADE_WITH: dict[Format, tuple[str, ...]] = {
    "tflite": ("ai-edge-litert", "ai-edge-quantizer"),
    "onnx": ("onnx", "onnxruntime", "tf2onnx"),
    "savedmodel": (),
}
_RUNTIME: dict[Format, str] = {
    "tflite": "ai-edge-litert",
    "onnx": "onnxruntime",
    "savedmodel": "tensorflow",
}


def runtime_of(format_: Format) -> str:
    """The runtime that verifies `format_`, with its version."""
    return f"{_RUNTIME[format_]} {_version(_RUNTIME[format_])}"


def build(
    request: ConvertRequest,
    origin: Origin,
    *,
    format_: Format,
    precision: Precision,
    described: dict[str, Any],
    notes: tuple[str, ...],
    verification: Verification | None,
    golden: dict[str, Any] | None = None,
) -> str:
    """The manifest as JSON text: sorted keys, no time stamps, no folders of this machine.

    It holds a place for the seal, but in a folder, which has none.
    """
    calibrated = precision in CALIBRATED
    recipe: dict[str, Any] = {
        "format": format_,
        "precision": precision,
        "io": request.io,
        "notes": list(notes),
        "calibration": {"samples": origin.samples, "random": origin.random} if calibrated else None,
    }
    packages = _MADE_WITH[format_]
    if origin.float_file is None:
        packages = (*packages, "tensorflow", "keras")
    document: dict[str, Any] = {
        "schema_version": 1,
        "edgekit": edgekit.__version__,
        "source": {
            "name": origin.name,
            "sha256": origin.sha256,
            "framework": origin.framework,
            "framework_version": origin.framework_version,
        },
        "recipe": recipe,
        "versions": {name: _version(name) for name in packages},
        "inputs": described["inputs"],
        "outputs": described["outputs"],
        "states": [{"input": given, "output": made} for given, made in origin.states],
        "preprocess": origin.preprocess,
        "labels": list(request.labels or origin.labels),
        "flex_ops": described["flex"],
        "verification": verification and verification.to_dict(),
    }
    if origin.pruned is not None:
        document["pruned"] = origin.pruned
    if golden is not None:
        document[golden_cases.KEY] = golden
    if format_ != "savedmodel":
        document["seal"] = seal.PLACEHOLDER
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "unknown"
