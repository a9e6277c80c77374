"""Work out the shapes inside a TFLite graph where the file leaves dimensions free.

A free dimension of an input is taken as 1. Free dimensions inside the graph follow from that, also
where they are more than the batch: folded into it by a reshape, or computed from a shape. Small
integer vectors are followed by value for this.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from edgekit.graph import Graph, Operator, Tensor

Sizes = tuple[int, ...]
_LONGEST_VALUE = 64
"""Shapes are short; longer integer vectors are not followed."""


class _Known:
    """What is known of each tensor, while walking through the operators in order."""

    def __init__(self, graph: Graph) -> None:
        self.tensors = graph.tensors
        self.sizes: dict[str, Sizes] = {}
        self.values: dict[str, list[int]] = {}
        for key, tensor in graph.tensors.items():
            if tensor.shape is not None and None not in tensor.shape:
                self.sizes[key] = tuple(size for size in tensor.shape if size is not None)
            value = _constant_value(tensor)
            if value is not None:
                self.values[key] = value

    def value(self, operator: Operator, at: int) -> list[int] | None:
        key = operator.inputs[at] if at < len(operator.inputs) else None
        return self.values.get(key) if key else None

    def of(self, operator: Operator, at: int) -> Sizes | None:
        """The shape of an input; of one that nothing was worked out for, free dimensions are 1."""
        key = operator.inputs[at] if at < len(operator.inputs) else None
        if key is None:
            return None
        shape = self.tensors[key].shape
        if key not in self.sizes and shape is not None:
            self.sizes[key] = tuple(1 if size is None else size for size in shape)
        return self.sizes.get(key)


_Value = Callable[[_Known, Operator], list[int] | None]


def infer(graph: Graph) -> dict[str, Sizes | None]:
    """The shape of every tensor of a TFLite graph; free dimensions of inputs are 1."""
    known = _Known(graph)
    for operator in graph.operators:
        made = operator.outputs[0] if operator.outputs else None
        if made is None or operator.is_custom:
            continue
        value = _VALUES[operator.name](known, operator) if operator.name in _VALUES else None
        if value is not None and len(value) <= _LONGEST_VALUE:
            known.values[made] = value
        for key in operator.outputs:
            shape = graph.tensors[key].shape if key else None
            if key and shape is not None and key not in known.sizes:
                known.sizes[key] = _resolved(known, operator, shape)
    return {
        key: known.sizes.get(key)
        or (tuple(size or 1 for size in tensor.shape) if tensor.shape is not None else None)
        for key, tensor in graph.tensors.items()
    }


def _resolved(known: _Known, operator: Operator, shape: tuple[int | None, ...]) -> Sizes:
    """Fill the free dimensions of an output, by the operator's rule or by its first input."""
    rule = _RULES.get(operator.name)
    found = rule(known, operator) if rule else None
    at = 2 if operator.name == "TRANSPOSE_CONV" else 0
    alike = found or known.of(operator, at) or ()
    if found is None and operator.name in _STRETCHING:
        for other in range(1, len(operator.inputs)):
            more = known.of(operator, other) or ()
            alike = more if len(more) > len(alike) or max(more, default=0) > max(alike) else alike
    fits = len(alike) == len(shape)
    filled = [size if size is not None else alike[i] if fits else 1 for i, size in enumerate(shape)]
    if found is None and not fits and shape.count(None) == 1 and operator.name in _KEEPING:
        rest = math.prod(size for size in shape if size is not None)
        filled[shape.index(None)] = max(1, math.prod(alike) // rest) if rest else 1
    return tuple(filled)


def _constant_value(tensor: Tensor) -> list[int] | None:
    """A short integer weight, flat."""
    letter = {"int32": "i", "int64": "q"}.get(tensor.dtype)
    stored = tensor.constant
    if letter is None or stored is None or (tensor.element_count or 0) > _LONGEST_VALUE:
        return None
    width = 4 if letter == "i" else 8
    if len(stored) != (tensor.element_count or 0) * width:
        return None
    return [
        int.from_bytes(stored[at : at + width], "little", signed=True)
        for at in range(0, len(stored), width)
    ]


# ---- operators whose result is a short integer vector ---------------------------------------


def _shape_value(known: _Known, operator: Operator) -> list[int] | None:
    sizes = known.of(operator, 0)
    return None if sizes is None else list(sizes)


def _same_value(known: _Known, operator: Operator) -> list[int] | None:
    return known.value(operator, 0)


def _gather_value(known: _Known, operator: Operator) -> list[int] | None:
    given, at = known.value(operator, 0), known.value(operator, 1)
    if given is None or at is None or not all(0 <= index < len(given) for index in at):
        return None
    return [given[index] for index in at]


def _joined_value(known: _Known, operator: Operator) -> list[int] | None:
    parts = [known.value(operator, at) for at in range(len(operator.inputs))]
    if any(part is None for part in parts):
        return None
    return [number for part in parts if part for number in part]


def _product_value(known: _Known, operator: Operator) -> list[int] | None:
    given = known.value(operator, 0)
    return None if given is None else [math.prod(given)]


def _slice_value(known: _Known, operator: Operator) -> list[int] | None:
    given, begin, end, step = (known.value(operator, at) for at in range(4))
    if given is None or not begin or not end or not step or step[0] == 0:
        return None
    first = None if operator.attributes.get("begin_mask") else begin[0]
    last = None if operator.attributes.get("end_mask") else end[0]
    return given[first : last : step[0]]


def _arithmetic_value(combine: Callable[[int, int], int]) -> _Value:
    def value(known: _Known, operator: Operator) -> list[int] | None:
        left, right = known.value(operator, 0), known.value(operator, 1)
        if not left or not right or (1 not in {len(left), len(right)} and len(left) != len(right)):
            return None
        length = max(len(left), len(right))
        pairs = zip((left * length)[:length], (right * length)[:length], strict=True)
        return [combine(a, b) for a, b in pairs]

    return value


_VALUES: Mapping[str, _Value] = {
    "ADD": _arithmetic_value(lambda a, b: a + b),
    "CAST": _same_value,
    "CONCATENATION": _joined_value,
    "EXPAND_DIMS": _same_value,
    "GATHER": _gather_value,
    "MAXIMUM": _arithmetic_value(max),
    "MINIMUM": _arithmetic_value(min),
    "MUL": _arithmetic_value(lambda a, b: a * b),
    "PACK": _joined_value,
    "REDUCE_PROD": _product_value,
    "RESHAPE": _same_value,
    "SHAPE": _shape_value,
    "SQUEEZE": _same_value,
    "STRIDED_SLICE": _slice_value,
    "SUB": _arithmetic_value(lambda a, b: a - b),
}


# ---- operators whose shape is not that of their first input ---------------------------------


def _reshape(known: _Known, operator: Operator) -> Sizes | None:
    given, target = known.of(operator, 0), known.value(operator, 1)
    if given is None or not target:
        return None
    rest = math.prod(size for size in target if size != -1)
    return tuple(math.prod(given) // max(rest, 1) if size == -1 else size for size in target)


def _transpose(known: _Known, operator: Operator) -> Sizes | None:
    given, order = known.of(operator, 0), known.value(operator, 1)
    if given is None or order is None or sorted(order) != list(range(len(given))):
        return None
    return tuple(given[axis] for axis in order)


def _blocks(known: _Known, operator: Operator) -> Sizes | None:
    """The batch takes what space gives, or gives it back; space itself stands in the file."""
    given, block = known.of(operator, 0), known.value(operator, 1)
    if not given or not block or 0 in block:
        return None
    times = math.prod(block)
    batch = given[0] * times if operator.name == "SPACE_TO_BATCH_ND" else given[0] // times
    return (max(1, batch), *given[1:])


def _expanded(known: _Known, operator: Operator) -> Sizes | None:
    given, axis = known.of(operator, 0), known.value(operator, 1)
    if given is None or not axis:
        return None
    at = axis[0] % (len(given) + 1)
    return (*given[:at], 1, *given[at:])


def _stretched(known: _Known, operator: Operator) -> Sizes | None:
    target = known.value(operator, 1)
    return tuple(target) if target else None


def _filled(known: _Known, operator: Operator) -> Sizes | None:
    target = known.value(operator, 0)
    return tuple(target) if target else None


_RULES: Mapping[str, Callable[[_Known, Operator], Sizes | None]] = {
    "BATCH_TO_SPACE_ND": _blocks,
    "BROADCAST_TO": _stretched,
    "EXPAND_DIMS": _expanded,
    "FILL": _filled,
    "RESHAPE": _reshape,
    "SPACE_TO_BATCH_ND": _blocks,
    "TRANSPOSE": _transpose,
}
_STRETCHING = frozenset({"ADD", "MUL", "SUB", "DIV", "MAXIMUM", "MINIMUM", "BATCH_MATMUL"})
_KEEPING = frozenset({"RESHAPE", "SQUEEZE"})
"""Operators after which there are as many numbers as before."""
