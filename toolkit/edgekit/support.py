"""What would stop a model file on a target: operators it lacks, versions it does not know."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, get_args

from edgekit.graph import Graph, Operator

Target = Literal["tflite-micro", "litert", "tflite-runtime", "onnxruntime", "onnxruntime-web"]
TARGETS: tuple[Target, ...] = get_args(Target)

_FORMAT = {
    "tflite-micro": "tflite",
    "litert": "tflite",
    "tflite-runtime": "tflite",
    "onnxruntime": "onnx",
    "onnxruntime-web": "onnx",
}
_WEIGHTED = frozenset(
    {"BATCH_MATMUL", "CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "SVDF", "TRANSPOSE_CONV"}
    | {"UNIDIRECTIONAL_SEQUENCE_LSTM"}
)
_INTEGERS = frozenset({"int2", "int4", "int8", "uint4", "uint8"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Obstacle:
    """One reason why a file would not run on a target."""

    operator: str
    """Empty where it is about the whole file."""
    count: int
    """How many operators it concerns."""
    reason: str

    def __str__(self) -> str:
        """One line, as the command prints it."""
        times = f" ({self.count} times)" if self.count > 1 else ""
        return f"{self.operator}{times}: {self.reason}" if self.operator else self.reason


def obstacles(graph: Graph, target: Target) -> tuple[Obstacle, ...]:
    """Everything known to keep `graph` from running on `target`; empty when nothing is.

    An empty answer is no promise: operators may still refuse a shape or a data type.
    """
    if graph.format != _FORMAT[target]:
        reason = f"it runs .{_FORMAT[target]} files, and this is .{graph.format}"
        return (Obstacle(operator="", count=1, reason=reason),)
    if graph.format == "onnx":
        whole = tuple(_too_new(graph))
        found = Counter((op.name, reason) for op in graph.operators if (reason := _onnx(op)))
    else:
        whole = ()
        found = Counter(
            (op.name, reason) for op in graph.operators if (reason := _tflite(graph, op, target))
        )
    return whole + tuple(
        Obstacle(operator=name, count=count, reason=reason)
        for (name, reason), count in sorted(found.items())
    )


def _tflite(graph: Graph, operator: Operator, target: Target) -> str:
    """Why `target` would refuse one TFLite operator; empty when it would not."""
    from edgekit import support_tflite

    if operator.is_custom:
        if operator.name.startswith("Flex"):
            return "a TensorFlow operator (Flex); no runtime for devices has them"
        micro = target == "tflite-micro"
        brought = support_tflite.CUSTOM_MICRO if micro else support_tflite.CUSTOM
        return (
            "" if operator.name in brought else "a custom operator; it must be added to the build"
        )
    newest = support_tflite.NEWEST[target].get(operator.name)
    if newest is None:
        return "not known there"
    if operator.version > newest:
        return f"version {operator.version} is too new there, the newest known is {newest}"
    return _data_type(graph, operator, target)


def _data_type(graph: Graph, operator: Operator, target: Target) -> str:
    """Refusals that hang on data types."""
    dtypes = [graph.tensors[key].dtype if key else "" for key in operator.inputs]
    if not dtypes:
        return ""
    activations = dtypes[2 if operator.name == "TRANSPOSE_CONV" and len(dtypes) > 2 else 0]
    hybrid = activations == "float32" and bool(_INTEGERS & set(dtypes[1:]))
    if target == "tflite-micro":
        if operator.name == "DEQUANTIZE" and dtypes[0] not in {"int8", "int16", "uint8"}:
            return f"does not take {dtypes[0]} there, which {dtypes[0]} weights need"
        if operator.name in _WEIGHTED and hybrid:
            return "float inputs with integer weights (dynamic range) are not supported there"
    elif operator.name == "SQUARED_DIFFERENCE" and dtypes[0] == "int16":
        return "does not take int16 there"
    if target == "tflite-runtime":
        if operator.name == "DEQUANTIZE" and dtypes[0] in {"int4", "int2", "uint4"}:
            return f"does not take {dtypes[0]} there"
        if operator.name == "RSQRT" and dtypes[0] == "int16":
            return "does not take int16 there"
        if operator.name == "TRANSPOSE_CONV" and hybrid:
            return "float inputs with integer weights (dynamic range) are not supported there"
    return ""


def _onnx(operator: Operator) -> str:
    """Why ONNX Runtime would refuse one operator; empty when it would not."""
    from edgekit import support_onnx

    if operator.calls and operator.domain not in support_onnx.OPERATORS:
        return ""  # the file brings it along
    known = support_onnx.OPERATORS.get(operator.domain)
    if known is None:
        return f"of the domain {operator.domain!r}; its library must be registered"
    versions = known.get(operator.name)
    if versions is None:
        return "not known there"
    first, last = versions
    if operator.version < first:
        return f"operator set {operator.version} is too old there, the oldest known is {first}"
    if operator.version > last:
        return f"no longer in operator set {operator.version}, the last one was {last}"
    return ""


def _too_new(graph: Graph) -> Iterator[Obstacle]:
    from edgekit import support_onnx

    limits = (("ir", support_onnx.NEWEST_IR), ("opset ai.onnx", support_onnx.NEWEST_OPSET))
    for name, newest in limits:
        version = int(graph.versions.get(name, "0"))
        if version > newest:
            reason = f"{name} version {version} is too new there, the newest known is {newest}"
            yield Obstacle(operator="", count=1, reason=reason)
