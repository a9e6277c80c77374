"""Decide which operators of an ONNX model compute on integers, and which tensors are quantized.

Only operators for which ONNX Runtime has an integer kernel take part, and of those only the ones
that gain by it: matrix products and convolutions, and what stands between them. What comes after
the last product (a softmax, say), constants of element-wise operators (a batch normalisation that
did not fold has channels of very different size) and normalisations stay in float: they cost more
accuracy than they save time.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgekit._lazy import need
from edgekit_converters.onnx_calibrate import Range, limits
from edgekit_converters.onnx_edit import Wiring, settings

PRODUCTS = frozenset({"Conv", "Gemm", "MatMul"})
"""Operators worth computing on integers for their own sake."""
JOINTS = frozenset(
    {"Add", "AveragePool", "Concat", "GlobalAveragePool", "LeakyRelu", "Mul", "Sigmoid"}
)
"""Operators that compute on integers where they stand between products."""
MOVERS = frozenset(
    {
        "Flatten",
        "Gather",
        "MaxPool",
        "Reshape",
        "Resize",
        "Slice",
        "Split",
        "Squeeze",
        "Transpose",
        "Unsqueeze",
    }
)
"""Operators that pass values on, so that their outputs have the scale of their input."""
CLAMPS = frozenset({"Clip", "Relu"})
"""Operators that the limits of an integer already do."""
_LARGEST_KERNEL_RANK = 4
"""3-D convolutions have an integer kernel that takes six times as long as the float one, and so do
grouped convolutions that are not depthwise: two to six times."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What `onnx_pairs.insert_pairs` is to do."""

    integer: frozenset[str]
    """Names of the operators that compute on integers."""
    ranges: Mapping[str, Range]
    """Each tensor to quantize, with the range its integers cover; in execution order."""
    shared: Mapping[str, str]
    """Tensors that take scale and zero point of another one."""
    removable: frozenset[str]
    """Clamps that the integer limits replace."""


def plan(model: Any, ranges: Mapping[str, Range], keep_float: frozenset[str]) -> Plan:
    """Choose the operators that compute on integers.

    Args:
        model: a prepared ``onnx.ModelProto``.
        ranges: of every float tensor, as `onnx_calibrate.observe` gives them.
        keep_float: operators that must not be chosen.
    """
    wiring = Wiring(model)
    possible: dict[str, Any] = {}
    available = {name for name in wiring.inputs if name in ranges}
    for node in model.graph.node:
        if node.name in keep_float or not _can(node, wiring, ranges):
            continue
        data = activations(node, wiring, ranges)
        if node.op_type in PRODUCTS or all(name in available for name in data):
            possible[node.name] = node
            available.update(node.output)
    chosen: dict[str, Any] = {}
    for node in reversed(model.graph.node):
        if node.name in possible and (
            node.op_type in PRODUCTS
            or _ends_convolution(node, wiring, possible)
            or any(
                reader.name in chosen and name in activations(reader, wiring, ranges)
                for name in node.output
                for reader in wiring.readers.get(name, [])
            )
        ):
            chosen[node.name] = node
    return _tensors(model, wiring, ranges, frozenset(chosen))


def activations(node: Any, wiring: Wiring, ranges: Mapping[str, Range]) -> tuple[str, ...]:
    """The inputs of `node` that carry computed floats."""
    names = node.input[:1] if node.op_type in MOVERS | CLAMPS | {"Conv", "Gemm"} else node.input
    return tuple(name for name in names if name in ranges and not wiring.is_constant(name))


def _can(node: Any, wiring: Wiring, ranges: Mapping[str, Range]) -> bool:
    """Whether ONNX Runtime has an integer kernel for `node` as it stands."""
    if node.domain or not all(name in ranges for name in node.output if name):
        return False
    if node.op_type in PRODUCTS:
        return _can_multiply(node, wiring, ranges)
    if node.op_type in JOINTS:
        return all(name in ranges for name in node.input)
    if node.op_type == "Resize":
        mode = settings(node).get("mode", b"nearest")
        return node.input[0] in ranges and mode in (b"nearest", b"linear")
    if node.op_type in MOVERS | CLAMPS:
        return node.input[0] in ranges
    return False


def _can_multiply(node: Any, wiring: Wiring, ranges: Mapping[str, Range]) -> bool:
    onnx = need("onnx", extra="convert")
    if node.input[0] not in ranges:
        return False
    weight = wiring.constants.get(node.input[1])
    if weight is None:
        return node.op_type == "MatMul" and node.input[1] in ranges
    if weight.data_type != onnx.TensorProto.FLOAT:
        return False
    if len(node.input) > 2 and node.input[2]:
        bias = wiring.constants.get(node.input[2])
        by_rows = node.op_type == "Conv" or settings(node).get("transB", 0)
        outputs = weight.dims[0] if by_rows else weight.dims[1]
        if bias is None or list(bias.dims[-1:]) not in ([], [1], [outputs]):
            return False
        if np.prod(bias.dims[:-1]) != 1:
            return False
    if node.op_type == "Gemm":
        given = settings(node)
        return (
            given.get("alpha", 1.0) == 1.0
            and given.get("beta", 1.0) == 1.0
            and not given.get("transA", 0)
        )
    if node.op_type == "Conv":
        groups = settings(node).get("group", 1)
        depthwise = weight.dims[1] == 1 and weight.dims[0] == groups
        return len(weight.dims) <= _LARGEST_KERNEL_RANK and (groups == 1 or depthwise)
    return len(weight.dims) == 2


def _ends_convolution(node: Any, wiring: Wiring, possible: Mapping[str, Any]) -> bool:
    """Whether `node` clamps a convolution, whose output is quantized in any case."""
    if node.op_type not in CLAMPS:
        return False
    maker = wiring.maker.get(node.input[0])
    return (
        maker is not None
        and maker.op_type == "Conv"
        and maker.name in possible
        and wiring.only_reader(node.input[0]) is not None
    )


def _tensors(
    model: Any, wiring: Wiring, ranges: Mapping[str, Range], chosen: frozenset[str]
) -> Plan:
    wanted: set[str] = set()
    for node in model.graph.node:
        if node.name in chosen:
            wanted.update(activations(node, wiring, ranges))
            if node.op_type in CLAMPS | {"Conv"}:
                wanted.add(node.output[0])
    removable = set()
    for node in model.graph.node:
        if node.name in chosen and node.op_type in CLAMPS:
            if _clamps_no_more(node, wiring, ranges[node.output[0]]):
                removable.add(node.name)
            if wiring.only_reader(node.input[0]) is not None and node.input[0] in wiring.maker:
                wanted.discard(node.input[0])  # its maker writes what the clamp would
    order = [*sorted(wiring.inputs), *(name for node in model.graph.node for name in node.output)]
    shared = {
        output: node.input[0]
        for node in model.graph.node
        if node.name in chosen and node.op_type in MOVERS
        for output in node.output
        if output in wanted
    }
    return Plan(
        integer=chosen,
        ranges={name: ranges[name] for name in order if name in wanted},
        shared=shared,
        removable=frozenset(removable),
    )


def _clamps_no_more(node: Any, wiring: Wiring, seen: Range) -> bool:
    """Whether integers that cover `seen` and zero cannot leave the interval `node` clamps to."""
    if any(name and not wiring.is_constant(name) for name in node.input[1:]):
        return False
    low, high = limits(node, wiring.constants)
    return low <= min(seen[0], 0.0) and max(seen[1], 0.0) <= high
