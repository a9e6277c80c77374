"""Check an `.onnx` file before native code sees it.

ONNX Runtime parses with care of its own: none of many thousand damaged files ended its process.
What it cannot do is to say what is wrong with a name that is no text.
"""

from __future__ import annotations

from math import prod

from edgekit.onnx_messages import read_value_info
from edgekit.protobuf import BYTES, WireError, fields

_MESSAGES: dict[str, dict[int, str]] = {
    "Model": {7: "Graph", 8: "Opset", 14: "Pair", 25: "Function"},
    "Graph": {
        1: "Node", 5: "Tensor", 11: "Value", 12: "Value", 13: "Value", 15: "Sparse", 16: "Pair",
    },
    "Node": {5: "Attribute", 9: "Pair"},
    "Attribute": {5: "Tensor", 6: "Graph", 10: "Tensor", 11: "Graph"},
    "Value": {2: "Type"},
    "Type": {1: "TensorType", 4: "Sequence", 9: "Sequence"},
    "TensorType": {2: "Shape"},
    "Sequence": {1: "Type"},
    "Shape": {1: "Dimension"},
    "Sparse": {1: "Tensor", 2: "Tensor"},
    "Tensor": {13: "Pair"},
    "Function": {7: "Node", 9: "Opset", 11: "Attribute", 12: "Value", 14: "Pair"},
}  # fmt: skip
_TEXTS: dict[str, frozenset[int]] = {
    "Model": frozenset({2, 3, 4, 6}),
    "Graph": frozenset({2, 10}),
    "Node": frozenset({1, 2, 3, 4, 6, 7, 8}),
    "Attribute": frozenset({1, 13, 21}),
    "Value": frozenset({1, 3}),
    "Type": frozenset({6}),
    "Dimension": frozenset({2, 3}),
    "Tensor": frozenset({8, 12}),
    "Opset": frozenset({1}),
    "Pair": frozenset({1, 2}),
    "Function": frozenset({1, 4, 5, 6, 8, 10, 13}),
}
_INTERFACE = frozenset({11, 12})
_MOST_ELEMENTS = (1 << 31) - 1
_SMALL_BYTES = 1024
_DEEPEST = 64


def check_onnx(data: memoryview) -> None:
    """Check a whole `.onnx` file.

    Raises:
        WireError: it is truncated or damaged; the message says what is wrong.
    """
    graphs = _check(data, "Model", 0)
    if graphs != 1:
        message = f"it holds {graphs} graphs"
        raise WireError(message)


def _check(data: memoryview, message: str, depth: int) -> int:
    """Check a message and those inside it; return how many graphs it holds itself."""
    if depth > _DEEPEST:
        told = f"messages within messages, more than {_DEEPEST} deep"
        raise WireError(told)
    inner, texts = _MESSAGES.get(message, {}), _TEXTS.get(message, frozenset())
    graphs = 0
    for number, kind, _, content in fields(data):
        if kind != BYTES:
            continue
        if number in inner:
            name = inner[number]
            if number in _INTERFACE and message == "Graph":
                _check_size(content)
            graphs += name == "Graph"
            if name == "Graph" or len(content) > _SMALL_BYTES or not bytes(content).isascii():
                _check(content, name, depth + 1)
        elif number in texts:
            _check_text(content, message)
    return graphs


def _check_size(content: memoryview) -> None:
    tensor = read_value_info(content)
    if prod(size or 1 for size in tensor.shape or ()) > _MOST_ELEMENTS:
        told = f"{tensor.name!r} has shape {tensor.shape}, more than any runtime can hold"
        raise WireError(told)


def _check_text(content: memoryview, message: str) -> None:
    try:
        bytes(content).decode()
    except UnicodeDecodeError:
        shown = ascii(bytes(content[:40]).decode("utf-8", "replace"))
        told = f"a name in a {message.lower()} is no text: {shown}"
        raise WireError(told) from None
