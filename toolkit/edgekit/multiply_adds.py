"""How many multiply-adds one inference takes, from the shapes in the file.

Counted are the operators that multiply by weights, and products of activations: convolutions,
fully connected layers, matrix products, recurrent cells. A free dimension counts as 1, so that
with a free batch the number is for one sample. What a loop runs is counted for one step.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from edgekit.graph import Graph, Operator

Sizes = tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class MultiplyAdds:
    """Multiply-adds of one inference."""

    total: int
    """Outside of loops, once an inference."""
    per_step: int
    """Inside of loops, for one step of each."""
    uncounted: dict[str, int]
    """Operators that do multiply, and whose shapes the file does not tell."""
    kinds: dict[str, int]
    """How many operators multiply which types, e.g. ``int8 x int8``: activations by weights."""


def count(graph: Graph) -> MultiplyAdds:
    """Count the multiply-adds of `graph`, beginning with its main subgraph."""
    if graph.format == "onnx":
        from edgekit.onnx_shapes import infer
    else:
        from edgekit.tflite_shapes import infer
    shapes: Mapping[str, Sizes | None] = infer(graph)
    counters = _ONNX if graph.format == "onnx" else _TFLITE
    totals = [0, 0]
    uncounted: Counter[str] = Counter()
    kinds: Counter[str] = Counter()
    looped, reached = _reached(graph)
    made_by = {key: operator for operator in graph.operators for key in operator.outputs if key}
    for operator in graph.operators:
        counter = counters.get(operator.name)
        if counter is None or operator.is_custom or operator.subgraph not in reached:
            continue
        kinds[_kind(graph, operator, made_by)] += 1
        found = counter(_Sized(operator, shapes, graph))
        if found is None:
            uncounted[operator.name] += 1
        else:
            totals[operator.subgraph in looped] += found
    return MultiplyAdds(
        total=totals[0],
        per_step=totals[1],
        uncounted=dict(uncounted),
        kinds=dict(kinds.most_common()),
    )


def by_operator(graph: Graph) -> tuple[int | None, ...]:
    """What each of `graph.operators` multiplies when it runs once.

    None where it multiplies nothing that is counted, or its shapes are not told.
    """
    if graph.format == "onnx":
        from edgekit.onnx_shapes import infer
    else:
        from edgekit.tflite_shapes import infer
    shapes: Mapping[str, Sizes | None] = infer(graph)
    counters = _ONNX if graph.format == "onnx" else _TFLITE
    return tuple(
        counters[operator.name](_Sized(operator, shapes, graph))
        if operator.name in counters and not operator.is_custom
        else None
        for operator in graph.operators
    )


def _reached(graph: Graph) -> tuple[set[int], set[int]]:
    """Subgraphs that run within loops, and all that run at an inference.

    What runs once, when the model is loaded (``CALL_ONCE``), is no part of an inference.
    """
    calls: dict[int, list[tuple[int, bool]]] = {}
    for operator in graph.operators:
        if operator.name != "CALL_ONCE":
            found = [(number, operator.is_loop) for number in operator.calls]
            calls.setdefault(operator.subgraph, []).extend(found)
    looped: set[int] = set()
    reached = {graph.main_subgraph}
    pending = [(graph.main_subgraph, False)]
    while pending:
        caller, in_loop = pending.pop()
        for number, is_loop in calls.get(caller, []):
            inside = in_loop or is_loop
            if number not in reached or (inside and number not in looped):
                reached.add(number)
                looped.update([number] if inside else [])
                pending.append((number, inside))
    return looped, reached


class _Sized:
    """An operator with its shapes."""

    def __init__(
        self, operator: Operator, shapes: Mapping[str, Sizes | None], graph: Graph
    ) -> None:
        self.operator = operator
        self._shapes = shapes
        self._graph = graph

    def _shape(self, key: str | None) -> Sizes | None:
        return self._shapes.get(key) if key else None

    def input(self, at: int) -> Sizes | None:
        keys = self.operator.inputs
        return self._shape(keys[at]) if at < len(keys) else None

    def output(self, at: int = 0) -> Sizes | None:
        keys = self.operator.outputs
        return self._shape(keys[at]) if at < len(keys) else None

    def matrices(self) -> int:
        """Numbers in all constant inputs of two dimensions: a recurrent cell's kernels."""
        total = 0
        for key in dict.fromkeys(self.operator.inputs):
            tensor = self._graph.tensors.get(key or "")
            if tensor and tensor.constant is not None and tensor.shape and len(tensor.shape) == 2:
                total += tensor.element_count or 0
        return total

    def flag(self, name: str) -> bool:
        return bool(self.operator.attributes.get(name, 0))


def _convolution(sized: _Sized) -> int | None:
    """TFLite: each output takes one filter, stored ``(out, height, width, in)``."""
    filters, made = sized.input(1), sized.output()
    return math.prod(made) * math.prod(filters[1:]) if filters and made else None


def _depthwise(sized: _Sized) -> int | None:
    """TFLite: ``(1, height, width, channels)``; each output takes one channel's window."""
    filters, made = sized.input(1), sized.output()
    return math.prod(made) * math.prod(filters[1:3]) if filters and made else None


def _transposed(sized: _Sized) -> int | None:
    """TFLite: each input is multiplied by ``(out, height, width, in)`` of its channel."""
    filters, given = sized.input(1), sized.input(2)
    return math.prod(given) * math.prod(filters[:3]) if filters and given else None


def _convolution_3d(sized: _Sized) -> int | None:
    """TFLite: filters are stored ``(depth, height, width, in, out)``."""
    filters, made = sized.input(1), sized.output()
    return math.prod(made) * math.prod(filters[:4]) if filters and made else None


def _transposed_3d(sized: _Sized) -> int | None:
    """TFLite: filters are stored ``(depth, height, width, out, in)``."""
    filters, given = sized.input(1), sized.input(2)
    return math.prod(given) * math.prod(filters[:4]) if filters and given else None


def _fully_connected(sized: _Sized) -> int | None:
    """TFLite: weights are stored ``(out, in)``."""
    given, weights = sized.input(0), sized.input(1)
    return math.prod(given) * weights[0] if given is not None and weights else None


def _batch_matmul(sized: _Sized) -> int | None:
    left, made = sized.input(0), sized.output()
    if not left or made is None or len(left) < 2:
        return None
    return math.prod(made) * left[-2 if sized.flag("adjoint_x") else -1]


def _sequence(sized: _Sized) -> int | None:
    """TFLite recurrent operators over ``(batch, time, in)``, in either order."""
    given = sized.input(0)
    return math.prod(given[:-1]) * sized.matrices() if given else None


def _onnx_conv(sized: _Sized) -> int | None:
    """ONNX: weights are stored ``(out, in / group, …)``, also of ``QLinearConv`` at input 3."""
    at = 3 if sized.operator.name == "QLinearConv" else 1
    weights, made = sized.input(at), sized.output()
    return math.prod(made) * math.prod(weights[1:]) if weights and made else None


def _onnx_transposed(sized: _Sized) -> int | None:
    """ONNX: weights are stored ``(in, out / group, …)``."""
    weights, given = sized.input(1), sized.input(0)
    return math.prod(given) * math.prod(weights[1:]) if weights and given else None


def _onnx_matmul(sized: _Sized) -> int | None:
    left, made = sized.input(0), sized.output()
    if left or made is None:
        return math.prod(made) * left[-1] if left and made is not None else None
    right = sized.input(1) if sized.operator.name == "MatMul" else None
    return math.prod(made) * right[-2] if right and len(right) > 1 else None


def _onnx_gemm(sized: _Sized) -> int | None:
    left, made = sized.input(0), sized.output()
    if not left or len(left) != 2 or made is None:
        return None
    return math.prod(made) * left[0 if sized.flag("transA") else 1]


def _onnx_recurrent(sized: _Sized) -> int | None:
    """ONNX: ``(time, batch, in)`` by ``W`` and ``R``, ``(directions, gates * hidden, …)``."""
    given, weights, recurrent = sized.input(0), sized.input(1), sized.input(2)
    if not given or weights is None or recurrent is None:
        return None
    return math.prod(given[:2]) * (math.prod(weights) + math.prod(recurrent))


_TFLITE = {
    "BATCH_MATMUL": _batch_matmul,
    "BIDIRECTIONAL_SEQUENCE_LSTM": _sequence,
    "BIDIRECTIONAL_SEQUENCE_RNN": _sequence,
    "CONV_2D": _convolution,
    "CONV_3D": _convolution_3d,
    "CONV_3D_TRANSPOSE": _transposed_3d,
    "DEPTHWISE_CONV_2D": _depthwise,
    "FULLY_CONNECTED": _fully_connected,
    "LSTM": _sequence,
    "RNN": _sequence,
    "SVDF": _sequence,
    "TRANSPOSE_CONV": _transposed,
    "UNIDIRECTIONAL_SEQUENCE_LSTM": _sequence,
    "UNIDIRECTIONAL_SEQUENCE_RNN": _sequence,
}
_ONNX = {
    "Conv": _onnx_conv,
    "ConvInteger": _onnx_conv,
    "ConvTranspose": _onnx_transposed,
    "FusedConv": _onnx_conv,
    "FusedMatMul": _onnx_matmul,
    "Gemm": _onnx_gemm,
    "GRU": _onnx_recurrent,
    "LSTM": _onnx_recurrent,
    "MatMul": _onnx_matmul,
    "MatMulInteger": _onnx_matmul,
    "MatMulNBits": _onnx_matmul,
    "QLinearConv": _onnx_conv,
    "QLinearMatMul": _onnx_matmul,
    "RNN": _onnx_recurrent,
}


def _kind(graph: Graph, operator: Operator, made_by: Mapping[str, Operator]) -> str:
    """Types of what is multiplied: activations by weights."""
    at = 3 if operator.name.startswith("QLinear") else 1
    given = 2 if operator.name in {"TRANSPOSE_CONV", "CONV_3D_TRANSPOSE"} else 0
    keys = [operator.inputs[i] if i < len(operator.inputs) else None for i in (given, at)]
    return " x ".join(_type(graph, key, made_by) for key in keys)


def _type(graph: Graph, key: str | None, made_by: Mapping[str, Operator]) -> str:
    """The type of a tensor; of one that is dequantized just before, the type it is stored in."""
    tensor = graph.tensors.get(key or "")
    if tensor is None:
        return "none"
    maker = made_by.get(key or "")
    if maker and maker.inputs and maker.name in {"DequantizeLinear", "QuantizeLinear"}:
        stored = graph.tensors.get(maker.inputs[0] or "")
        if stored and stored.constant is not None:
            return stored.dtype
        zero_point = graph.tensors.get(maker.inputs[2] or "") if len(maker.inputs) > 2 else None
        return zero_point.dtype if zero_point else "uint8"
    return "float32" if tensor.dtype == "unknown" else tensor.dtype
