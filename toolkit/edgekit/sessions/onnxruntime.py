"""ONNX files, run by ONNX Runtime on the CPU."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from edgekit._lazy import need
from edgekit.errors import SourceError, VerificationError
from edgekit.manifest import MANIFEST_KEY, damaged_manifest, parse_manifest
from edgekit.sessions.session import Session
from edgekit.tensors import TensorSpec

_QUIET = 3
_DTYPES = {
    "tensor(float)": "float32",
    "tensor(float16)": "float16",
    "tensor(double)": "float64",
    "tensor(string)": "string",
}


class OnnxRuntimeSession(Session):
    """A .onnx file in an inference session.

    ONNX does not say what integer inputs and outputs stand for; the manifest that edgekit puts
    into the file does.
    """

    def __init__(self, path: Path, *, threads: int = 1) -> None:
        """Load the file and prepare its graph.

        Raises:
            SourceError: the file is truncated, damaged, or no ONNX.
            VerificationError: an operator is unknown to the runtime, or the graph is invalid.
            MissingDependencyError: onnxruntime is not installed.
        """
        runtime = need("onnxruntime", extra="onnx")
        options = runtime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = _QUIET
        self._path = path
        self._errors = _error_classes()
        try:
            self._session: Any = runtime.InferenceSession(
                str(path), options, providers=["CPUExecutionProvider"]
            )
        except self._errors as error:
            raise _refused(path, error) from error
        metadata = self._session.get_modelmeta().custom_metadata_map
        self.manifest = parse_manifest(path, metadata.get(MANIFEST_KEY)) or {}
        specs = _described(path, self.manifest)
        self.inputs = tuple(_spec(node, specs) for node in self._session.get_inputs())
        self.outputs = tuple(_spec(node, specs) for node in self._session.get_outputs())

    def close(self) -> None:
        """Free the session."""
        self._session = None

    def _invoke(self, inputs: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        names = [spec.name for spec in self.outputs]
        try:
            return dict(zip(names, self._session.run(names, inputs), strict=True))
        except self._errors as error:
            message = f"{self._path.name}: {_first(error)}; make it in another precision"
            raise VerificationError(message) from error


def _error_classes() -> tuple[type[Exception], ...]:
    state = need("onnxruntime.capi.onnxruntime_pybind11_state", extra="onnx")
    found = (getattr(state, name) for name in dir(state))
    return tuple(c for c in found if isinstance(c, type) and issubclass(c, Exception))


def _refused(path: Path, error: Exception) -> SourceError | VerificationError:
    """The runtime's reason, in one line that names the operator."""
    said = str(error)
    unknown = re.search(r"No Op registered for (\w+) with domain_version of (\d+)", said)
    if unknown:
        return VerificationError(
            f"{path.name}: ONNX has no operator {unknown[1]} (opset {unknown[2]}); "
            "replace the layer that makes it, or try another opset"
        )
    missing = re.search(r"Could not find an implementation for ([\w.]+\(\d+\))", said)
    if missing:
        return VerificationError(
            f"{path.name}: this runtime cannot run operator {missing[1]}; "
            "update onnxruntime, or make the file in another precision"
        )
    if type(error).__name__ in {"InvalidProtobuf", "NoSuchFile"} or "Protobuf parsing" in said:
        return SourceError(f"{path}: neither TFLite nor ONNX, or truncated; make it again")
    return VerificationError(f"{path.name}: does not load: {_first(error)}; make it again")


def _described(path: Path, manifest: dict[str, Any]) -> dict[str, TensorSpec]:
    """The tensors the file's manifest describes; none when it has no manifest."""
    try:
        listed = [*manifest.get("inputs", ()), *manifest.get("outputs", ())]
        return {spec.name: spec for spec in map(TensorSpec.from_dict, listed)}
    except (KeyError, TypeError, ValueError) as error:
        raise damaged_manifest(path, error) from error


def _spec(node: Any, described: dict[str, TensorSpec]) -> TensorSpec:
    inner = re.sub(r"tensor\((\w+)\)", r"\1", node.type)
    dtype = _DTYPES.get(node.type, inner)
    said = described.get(node.name)
    return TensorSpec(
        name=node.name,
        shape=tuple(size if isinstance(size, int) else None for size in node.shape),
        dtype=dtype,
        quantization=said.quantization if said and dtype not in {"float32", "float16"} else None,
    )


def _first(error: Exception) -> str:
    lines = [line for line in str(error).strip().splitlines() if line.strip()] or [
        "no reason given"
    ]
    return re.sub(r"^\[ONNXRuntimeError\] : \d+ : \w+ : ", "", lines[0])[:200]
