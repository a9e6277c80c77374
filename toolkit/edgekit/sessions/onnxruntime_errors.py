"""What ONNX Runtime says when it refuses, in one line that names the operator."""

from __future__ import annotations

import re
from collections.abc import Sequence

from edgekit.errors import DataError, EdgekitError, SourceError, VerificationError
from edgekit.mapped_file import file_name
from edgekit.tensors import TensorSpec

_OF_DATA = "out of data bounds"


def refused(path: str, error: Exception) -> EdgekitError:
    """The reason not to load a file."""
    said, name = str(error), file_name(path)
    unknown = re.search(r"No Op registered for (\w+) with domain_version of (\d+)", said)
    if unknown:
        return VerificationError(
            f"{name}: ONNX has no operator {unknown[1]} (opset {unknown[2]}); "
            "replace the layer that makes it, or try another opset"
        )
    missing = re.search(r"Could not find an implementation for ([\w.]+\(\d+\))", said)
    if missing:
        return VerificationError(
            f"{name}: this runtime cannot run operator {missing[1]}; "
            "update onnxruntime, or make the file in another precision"
        )
    custom = re.search(r"([\w.]*):(\w+)\(-?\d+\) is not a registered function", said)
    if custom:
        return VerificationError(
            f"{name}: operator {custom[1]}:{custom[2]} is unknown to this runtime; "
            "replace the layer that makes it"
        )
    opset = re.search(r"Opset (\d+) is under development", said)
    newest = re.search(r"support for domain [\w.]+ is till opset (\d+)", said)
    if opset and newest:
        return VerificationError(
            f"{name}: this runtime is too old for opset {opset[1]}, it knows {newest[1]}; "
            "update onnxruntime, or export the model with an older opset"
        )
    version = re.search(r"Unsupported model IR version: (\d+), max supported .*?: (\d+)", said)
    if version:
        return VerificationError(
            f"{name}: this runtime is too old for IR version {version[1]}, it knows {version[2]}; "
            "update onnxruntime, or export the model with an older one"
        )
    if type(error).__name__ in {"InvalidProtobuf", "NoSuchFile"} or "Protobuf parsing" in said:
        return SourceError(f"{path}: neither TFLite nor ONNX, or truncated; make it again")
    return VerificationError(f"{name}: does not load: {reason(error)}; make it again")


def failed(name: str, error: Exception, inputs: Sequence[TensorSpec]) -> EdgekitError:
    """Why the file `name` loads, and does not run on what it was given."""
    told = reason(error)
    if _OF_DATA in told:
        return DataError(
            f"{name}: {told}; give whole numbers that the model knows, as ids of its vocabulary"
        )
    if any(None in spec.shape for spec in inputs):
        return DataError(f"{name}: {told}; use the shapes it was made with")
    return VerificationError(f"{name}: {told}; make it in another precision")


def reason(error: Exception) -> str:
    """The complaint, without the place in the runtime's own source.

    >>> reason(RuntimeError("Error in execution: Non-zero status code returned while running Add "
    ...     "node. Name:'sum' Status Message: /src/ops.h:583 void Append(long) 2 by 3"))
    'operator Add: 2 by 3'
    """
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    said = re.sub(r"^\[ONNXRuntimeError\] : \d+ : \w+ : ", "", lines[0] if lines else "")
    node = re.search(r"while running (\w+) node\.", said)
    said = re.sub(r"^.*?Status Message: ", "", said)
    said = re.sub(r"\S*/\S+\.(?:cc|h):\d+ (?:.*?\)(?: const)?(?: |$))?", "", said).strip(". ")
    told = said[:200] or "no reason given"
    return f"operator {node[1]}: {told}" if node else told
