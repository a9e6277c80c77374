"""Work out the shapes inside an ONNX graph, as far as counting multiplications needs them.

Exporters leave the shapes of intermediate tensors out. A free dimension is taken as 1. Small
integer tensors are followed by value too. What is not understood stays None: nothing is guessed.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from edgekit import onnx_windows
from edgekit.graph import Graph, Operator
from edgekit.onnx_values import (
    LARGEST_SIZE,
    LARGEST_VALUE,
    VALUES,
    Shapes,
    Sizes,
    cuts,
    integer,
    integers,
)

_MOST_PASSES = 6


def infer(graph: Graph) -> dict[str, Sizes | None]:
    """The shape of every tensor of an ONNX graph, or None; free dimensions are 1."""
    known = Shapes(graph)
    for _ in range(_MOST_PASSES):  # loops come before their bodies, and files may be unsorted
        before = len(known.sizes)
        for operator in graph.operators:
            if operator.domain in {"", "com.microsoft"}:
                try:
                    with np.errstate(all="ignore"):  # sizes that make no sense may overflow
                        _follow(known, operator)
                except (ValueError, IndexError, TypeError, OverflowError, ZeroDivisionError):
                    continue  # a graph that makes no sense here: its shapes stay unknown
        if len(known.sizes) == before:
            if not known.rough:
                break
            known.sizes = known.rough | known.sizes
            known.rough = {}
    return {key: known.sizes.get(key) for key in graph.tensors}


def _follow(known: Shapes, operator: Operator) -> None:
    made = operator.outputs[0] if operator.outputs else None
    if made is None:
        return
    value = VALUES[operator.name](known, operator) if operator.name in VALUES else None
    if value is not None and value.size <= LARGEST_VALUE:
        known.values[made] = value
        known.sizes[made] = value.shape
        return
    if made in known.sizes and operator.name not in {"Split", "Loop", "LSTM", "GRU", "RNN"}:
        return
    rule = _RULES.get(operator.name)
    found = rule(known, operator) if rule else None
    if found is None:
        return
    for key, sizes in zip(operator.outputs, found, strict=False):
        if key and key not in known.sizes and math.prod(sizes) < LARGEST_SIZE:
            known.sizes[key] = sizes


def _elementwise(known: Shapes, operator: Operator) -> list[Sizes] | None:
    """Inputs stretched to one another; also of a single input."""
    given = [known.of(operator, at) for at, key in enumerate(operator.inputs) if key]
    if not given or any(sizes is None for sizes in given):
        return None
    return [np.broadcast_shapes(*(sizes for sizes in given if sizes is not None))]


def _same(known: Shapes, operator: Operator) -> list[Sizes] | None:
    sizes = known.of(operator, 0)
    return None if sizes is None else [sizes]


def _matmul(known: Shapes, operator: Operator) -> list[Sizes] | None:
    at = 3 if operator.name == "QLinearMatMul" else 1
    left, right = known.of(operator, 0), known.of(operator, at)
    if not left or not right:
        return None
    rows = left[-2:-1] if len(left) > 1 else ()
    columns = right[-1:] if len(right) > 1 else ()
    return [(*np.broadcast_shapes(left[:-2], right[:-2]), *rows, *columns)]


def _gemm(known: Shapes, operator: Operator) -> list[Sizes] | None:
    left, right = known.of(operator, 0), known.of(operator, 1)
    if left is None or right is None:
        return None
    rows = left[1 if integer(operator, "transA", 0) else 0]
    return [(rows, right[0 if integer(operator, "transB", 0) else 1])]


def _matmul_bits(known: Shapes, operator: Operator) -> list[Sizes] | None:
    left = known.of(operator, 0)
    return [(*left[:-1], integer(operator, "N", 0))] if left else None


def _transpose(known: Shapes, operator: Operator) -> list[Sizes] | None:
    given = known.of(operator, 0)
    if given is None:
        return None
    order = integers(operator, "perm") or list(range(len(given)))[::-1]
    return [tuple(given[axis] for axis in order)]


def _reshape(known: Shapes, operator: Operator) -> list[Sizes] | None:
    given, target = known.of(operator, 0), known.value(operator, 1)
    wanted = target.tolist() if target is not None else integers(operator, "shape")
    if given is None or wanted is None:
        return None
    if not integer(operator, "allowzero", 0):
        wanted = [given[at] if size == 0 else size for at, size in enumerate(wanted)]
    rest = math.prod(size for size in wanted if size != -1)
    return [tuple(math.prod(given) // rest if size == -1 else size for size in wanted)]


def _flatten(known: Shapes, operator: Operator) -> list[Sizes] | None:
    given = known.of(operator, 0)
    if given is None:
        return None
    axis = integer(operator, "axis", 1) % (len(given) + 1)
    return [(math.prod(given[:axis]), math.prod(given[axis:]))]


def _squeeze(known: Shapes, operator: Operator) -> list[Sizes] | None:
    given, axes = known.of(operator, 0), known.axes(operator, 1)
    if given is None or (axes is None and len(operator.inputs) > 1):
        return None
    gone = {axis % len(given) for axis in axes} if axes else None
    return [tuple(s for at, s in enumerate(given) if (at not in gone if gone else s != 1))]


def _unsqueeze(known: Shapes, operator: Operator) -> list[Sizes] | None:
    given, axes = known.of(operator, 0), known.axes(operator, 1)
    if given is None or axes is None:
        return None
    rank = len(given) + len(axes)
    new, rest = {axis % rank for axis in axes}, iter(given)
    return [tuple(1 if at in new else next(rest) for at in range(rank))]


def _concat(known: Shapes, operator: Operator) -> list[Sizes] | None:
    given = [known.of(operator, at) for at in range(len(operator.inputs))]
    parts = [sizes for sizes in given if sizes]
    if not parts or len(parts) < len(given):
        return None
    axis = integer(operator, "axis", 0) % len(parts[0])
    total = sum(sizes[axis] for sizes in parts)
    return [(*parts[0][:axis], total, *parts[0][axis + 1 :])]


def _gather(known: Shapes, operator: Operator) -> list[Sizes] | None:
    given, at = known.of(operator, 0), known.of(operator, 1)
    if not given or at is None:
        return None
    axis = integer(operator, "axis", 0) % len(given)
    return [(*given[:axis], *at, *given[axis + 1 :])]


def _slice(known: Shapes, operator: Operator) -> list[Sizes] | None:
    given = known.of(operator, 0)
    found = cuts(known, operator, len(given)) if given is not None else None
    if given is None or found is None:
        return None
    return [tuple(len(range(size)[cut]) for size, cut in zip(given, found, strict=True))]


def _split(known: Shapes, operator: Operator) -> list[Sizes] | None:
    given, told = known.of(operator, 0), known.value(operator, 1)
    if not given:
        return None
    axis = integer(operator, "axis", 0) % len(given)
    parts = told.tolist() if told is not None else integers(operator, "split")
    if parts is None:
        if len(operator.inputs) > 1:
            return None
        step = -(-given[axis] // len(operator.outputs))
        parts = [step] * (len(operator.outputs) - 1)
        parts.append(given[axis] - sum(parts))
    return [(*given[:axis], part, *given[axis + 1 :]) for part in parts]


def _reduce(known: Shapes, operator: Operator) -> list[Sizes] | None:
    given, axes = known.of(operator, 0), known.axes(operator, 1)
    if operator.name.startswith("Arg"):
        axes = [integer(operator, "axis", 0)]
    elif axes is None and len(operator.inputs) > 1:
        return None
    if given is None:
        return None
    if not axes and integer(operator, "noop_with_empty_axes", 0):
        return [given]
    gone = {axis % len(given) for axis in axes} if axes else set(range(len(given)))
    if integer(operator, "keepdims", 1):
        return [tuple(1 if at in gone else size for at, size in enumerate(given))]
    return [tuple(size for at, size in enumerate(given) if at not in gone)]


def _pad(known: Shapes, operator: Operator) -> list[Sizes] | None:
    given, told = known.of(operator, 0), known.value(operator, 1)
    pads = told.tolist() if told is not None else integers(operator, "pads")
    if given is None or pads is None:
        return None
    axes = known.axes(operator, 3) or list(range(len(given)))
    made = list(given)
    for at, axis in enumerate(axes):
        made[axis] += pads[at] + pads[at + len(axes)]
    return [tuple(made)]


def _expand(known: Shapes, operator: Operator) -> list[Sizes] | None:
    given, target = known.of(operator, 0), known.value(operator, 1)
    if given is None or target is None:
        return None
    return [np.broadcast_shapes(given, tuple(target.tolist()))]


def _filled(known: Shapes, operator: Operator) -> list[Sizes] | None:
    target = known.value(operator, 0)
    return None if target is None else [tuple(target.tolist())]


def _tile(known: Shapes, operator: Operator) -> list[Sizes] | None:
    given, times = known.of(operator, 0), known.value(operator, 1)
    if given is None or times is None:
        return None
    return [tuple(size * by for size, by in zip(given, times.tolist(), strict=True))]


def _dynamic_quantize(known: Shapes, operator: Operator) -> list[Sizes] | None:
    sizes = known.of(operator, 0)
    return None if sizes is None else [sizes, (), ()]


def _recurrent(known: Shapes, operator: Operator) -> list[Sizes] | None:
    given, weights = known.of(operator, 0), known.of(operator, 2)
    if given is None or weights is None:
        return None
    directions, hidden = weights[0], weights[2]
    if integer(operator, "layout", 0):
        return [(given[0], given[1], directions, hidden), *[(given[0], directions, hidden)] * 2]
    return [(given[0], directions, given[1], hidden), *[(directions, given[1], hidden)] * 2]


def _loop(known: Shapes, operator: Operator) -> list[Sizes] | None:
    """What a loop carries comes out as it went in; what it collects, once for each step."""
    given = [known.of(operator, at) for at in range(2, len(operator.inputs))]
    made = [sizes for sizes in given if sizes is not None]
    steps = known.value(operator, 0)
    if len(made) < len(given):
        return None
    results = known.graph.results.get(operator.calls[0], ()) if operator.calls else ()
    for key in results[1 + len(given) :]:
        collected = known.sizes.get(key)
        if collected is None or steps is None or steps.size != 1:
            break
        made.append((max(0, int(steps.reshape(-1)[0])), *collected))
    return made


_ONE_FOR_ONE = """
Abs Acos Acosh Asin Asinh Atan Atanh BatchNormalization Bernoulli Cast CastLike Ceil Celu Clip Cos
Cosh CumSum DequantizeLinear Dropout Elu Erf Exp FastGelu Floor Gelu GroupNormalization
HardSigmoid HardSwish Hardmax Identity InstanceNormalization IsInf IsNaN LRN LayerNormalization
LeakyRelu Log LogSoftmax LpNormalization MeanVarianceNormalization Mish Neg Not QuantizeLinear
QuickGelu RMSNormalization Reciprocal Relu ReverseSequence Round ScatterElements ScatterND Selu
Shrink Sigmoid Sign SimplifiedLayerNormalization Sin Sinh SkipLayerNormalization Softmax Softplus
Softsign Sqrt Swish Tan Tanh ThresholdedRelu Trilu BiasGelu Erfc
"""
_STRETCHED = """
Add And BitShift Div Equal Greater GreaterOrEqual Less LessOrEqual Max Mean Min Mod Mul Or PRelu Pow
Sub Sum Where Xor
"""
_REDUCING = """
ArgMax ArgMin ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin
ReduceProd ReduceSum ReduceSumSquare
"""
_Rule = Callable[[Shapes, Operator], list[Sizes] | None]
_RULES: dict[str, _Rule] = {
    **dict.fromkeys(_ONE_FOR_ONE.split(), _same),
    **dict.fromkeys(_STRETCHED.split(), _elementwise),
    **dict.fromkeys(_REDUCING.split(), _reduce),
    **dict.fromkeys(("AveragePool", "LpPool", "MaxPool"), onnx_windows.pool),
    **dict.fromkeys(("Conv", "ConvInteger", "FusedConv", "QLinearConv"), onnx_windows.conv),
    **dict.fromkeys(("DepthToSpace", "SpaceToDepth"), onnx_windows.depth_to_space),
    **dict.fromkeys(
        ("GlobalAveragePool", "GlobalLpPool", "GlobalMaxPool"), onnx_windows.global_pool
    ),
    **dict.fromkeys(("GRU", "LSTM", "RNN"), _recurrent),
    **dict.fromkeys(("MatMul", "MatMulInteger", "QLinearMatMul"), _matmul),
    "Concat": _concat,
    "ConstantOfShape": _filled,
    "ConvTranspose": onnx_windows.conv_transpose,
    "DynamicQuantizeLinear": _dynamic_quantize,
    "Expand": _expand,
    "Flatten": _flatten,
    "Gather": _gather,
    "Gemm": _gemm,
    "Loop": _loop,
    "MatMulNBits": _matmul_bits,
    "Pad": _pad,
    "Reshape": _reshape,
    "Resize": onnx_windows.resize,
    "Upsample": onnx_windows.resize,
    "Slice": _slice,
    "Split": _split,
    "Squeeze": _squeeze,
    "Tile": _tile,
    "Transpose": _transpose,
    "Unsqueeze": _unsqueeze,
}
