"""What the TFLite interpreter says when it refuses, in one line that names the operator."""

from __future__ import annotations

import re
from collections.abc import Sequence

from edgekit.errors import DataError, EdgekitError, SourceError, VerificationError
from edgekit.mapped_file import file_name
from edgekit.tensors import TensorSpec

_NODE = re.compile(r"(.*?)Node number (\d+) \((\w+)\) failed to (\w+)\.?", re.DOTALL)
_PLACE = re.compile(r"^\S+\.(?:cc|h|c):\d+:? ")
_DELEGATE = "TfLiteXNNPackDelegate"
_OF_DATA = "out of bounds"


def refused(path: str, error: Exception, operators: Sequence[str]) -> EdgekitError:
    """The reason not to load a file of these `operators`."""
    said, name = str(error), file_name(path)
    if "Select TensorFlow op" in said:
        flex = sorted({one for one in operators if one.startswith("Flex")})
        return VerificationError(
            f"{name}: needs TensorFlow's own operators ({', '.join(flex) or 'Flex'}), which "
            "no device runtime has; convert again without allowing Flex"
        )
    version = re.search(r"builtin opcode '(\w+)' version '(\d+)'", said)
    if version:
        return VerificationError(
            f"{name}: this runtime is too old for operator {version[1]} version {version[2]}; "
            "use a current ai-edge-litert, or make the file in another precision"
        )
    custom = re.search(r"unresolved custom op: ?([\w.:>-]*)", said)
    if custom:
        return VerificationError(
            f"{name}: operator {custom[1].rstrip('.') or '?'} is unknown to this runtime; "
            "replace the layer that makes it"
        )
    if _NODE.search(said):
        return VerificationError(f"{name}: {reason(error)}; make the file in another precision")
    return SourceError(f"{path}: not a usable TFLite file ({reason(error)}); make it again")


def is_of_shapes(error: Exception) -> bool:
    """Whether an operator that is there could not be prepared for the shapes of its inputs."""
    said = str(error)
    return "unresolved" not in said and _NODE.search(said) is not None


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
    """The latest complaint, without the place in the runtime's own source.

    >>> reason(ValueError("a.cc:92 n != 8 (12 != 8)Node number 0 (RESHAPE) failed to prepare."))
    'operator RESHAPE (number 0) failed to prepare: n != 8 (12 != 8)'
    """
    said = str(error).strip()
    complaints = _NODE.findall(said)  # those of earlier calls come first
    if not complaints:
        return (said.splitlines() or ["no reason given"])[0][:200]
    why, number, operator, verb = complaints[-1]
    who = "the graph" if operator == _DELEGATE else f"operator {operator} (number {number})"
    why = _PLACE.sub("", why.strip().replace("\n", " ")).rstrip(".")
    return f"{who} failed to {verb}" + (f": {why[:200]}" if why else "")
