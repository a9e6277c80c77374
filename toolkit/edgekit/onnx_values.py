"""Follow small integer tensors of an ONNX graph by value: shapes are computed from shapes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.graph import Graph, Operator, Tensor

Sizes = tuple[int, ...]
LARGEST_VALUE = 4096
"""Integer tensors with more numbers than this are not followed by value."""
LARGEST_SIZE = 1 << 48
_INTEGER_TYPES = frozenset({2, 3, 4, 5, 6, 7, 9, 12, 13})  # TensorProto.DataType


class Shapes:
    """What is known of each tensor, while walking through the operators in order."""

    def __init__(self, graph: Graph) -> None:
        """Begin with what the file tells."""
        self.sizes: dict[str, Sizes] = {}
        self.values: dict[str, NDArray[np.int64]] = {}
        self.graph = graph
        self.rough: dict[str, Sizes] = {}
        """Shapes that the file tells of computed tensors with some dimensions left free."""
        computed = {key for operator in graph.operators for key in operator.outputs}
        for key, tensor in graph.tensors.items():
            if tensor.shape is not None:
                is_rough = None in tensor.shape and key in computed
                filled = tuple(1 if size is None else size for size in tensor.shape)
                (self.rough if is_rough else self.sizes)[key] = filled
            value = _constant_value(tensor)
            if value is not None:
                self.values[key] = value

    def of(self, operator: Operator, at: int) -> Sizes | None:
        """The shape of input `at`; None when unknown or left out."""
        key = operator.inputs[at] if at < len(operator.inputs) else None
        return self.sizes.get(key) if key else None

    def value(self, operator: Operator, at: int) -> NDArray[np.int64] | None:
        """The integers in input `at`; None when they are not known before it runs."""
        key = operator.inputs[at] if at < len(operator.inputs) else None
        return self.values.get(key) if key else None

    def factors(self, operator: Operator, at: int) -> list[float] | None:
        """A short stored list of floats in input `at`."""
        key = operator.inputs[at] if at < len(operator.inputs) else None
        tensor = self.graph.tensors.get(key or "")
        if tensor is None or tensor.constant is None or tensor.dtype != "float32":
            return None
        if len(tensor.constant) > 4 * LARGEST_VALUE or len(tensor.constant) % 4:
            return None
        return [float(value) for value in np.frombuffer(tensor.constant, "<f4")]

    def axes(self, operator: Operator, at: int) -> list[int] | None:
        """Axes, which were an attribute in old operator sets and are an input in new ones."""
        value = self.value(operator, at)
        return value.reshape(-1).tolist() if value is not None else integers(operator, "axes")


def _constant_value(tensor: Tensor) -> NDArray[np.int64] | None:
    """A small integer weight as an array."""
    kind = {"int64": "<i8", "int32": "<i4", "bool": "?"}.get(tensor.dtype)
    count = tensor.element_count
    if kind is None or tensor.constant is None or count is None or count > LARGEST_VALUE:
        return None
    if len(tensor.constant) != count * np.dtype(kind).itemsize:
        return None
    return np.frombuffer(tensor.constant, kind).astype(np.int64).reshape(_sizes(tensor))


def _sizes(tensor: Tensor) -> Sizes:
    return tuple(size or 0 for size in tensor.shape or ())


def integers(operator: Operator, name: str) -> list[int] | None:
    """An attribute that is a list of integers."""
    found = operator.attributes.get(name)
    return list(found) if isinstance(found, tuple) else None


def integer(operator: Operator, name: str, default: int) -> int:
    """An attribute that is an integer."""
    found = operator.attributes.get(name, default)
    return found if isinstance(found, int) else default


def _shape_value(known: Shapes, operator: Operator) -> NDArray[np.int64] | None:
    sizes = known.of(operator, 0)
    if sizes is None:
        return None
    end = integer(operator, "end", len(sizes))
    return np.array(sizes[integer(operator, "start", 0) : end], np.int64)


def _same_value(known: Shapes, operator: Operator) -> NDArray[np.int64] | None:
    return known.value(operator, 0)


def _cast_value(known: Shapes, operator: Operator) -> NDArray[np.int64] | None:
    return known.value(operator, 0) if integer(operator, "to", 0) in _INTEGER_TYPES else None


def _gather_value(known: Shapes, operator: Operator) -> NDArray[np.int64] | None:
    given, at = known.value(operator, 0), known.value(operator, 1)
    if given is None or at is None:
        return None
    return np.take(given, at, axis=integer(operator, "axis", 0))


def _concat_value(known: Shapes, operator: Operator) -> NDArray[np.int64] | None:
    parts = [known.value(operator, at) for at in range(len(operator.inputs))]
    found = [part for part in parts if part is not None]
    if len(found) < len(parts) or sum(part.size for part in found) > LARGEST_VALUE:
        return None
    return np.concatenate(found, axis=integer(operator, "axis", 0))


def _unsqueeze_value(known: Shapes, operator: Operator) -> NDArray[np.int64] | None:
    given, axes = known.value(operator, 0), known.axes(operator, 1)
    return np.expand_dims(given, tuple(axes)) if given is not None and axes is not None else None


def _squeeze_value(known: Shapes, operator: Operator) -> NDArray[np.int64] | None:
    given, axes = known.value(operator, 0), known.axes(operator, 1)
    return np.squeeze(given, tuple(axes) if axes else None) if given is not None else None


def _reshape_value(known: Shapes, operator: Operator) -> NDArray[np.int64] | None:
    given, target = known.value(operator, 0), known.value(operator, 1)
    return given.reshape(target.tolist()) if given is not None and target is not None else None


def _slice_value(known: Shapes, operator: Operator) -> NDArray[np.int64] | None:
    given = known.value(operator, 0)
    found = cuts(known, operator, given.ndim) if given is not None else None
    return given[tuple(found)] if given is not None and found is not None else None


def cuts(known: Shapes, operator: Operator, rank: int) -> list[slice] | None:
    """What a Slice cuts of each axis."""
    starts, ends = known.value(operator, 1), known.value(operator, 2)
    begin = starts.tolist() if starts is not None else integers(operator, "starts")
    end = ends.tolist() if ends is not None else integers(operator, "ends")
    if begin is None or end is None:
        return None
    axes = known.axes(operator, 3) or list(range(len(begin)))
    steps = known.value(operator, 4)
    step = steps.tolist() if steps is not None else [1] * len(begin)
    cuts = [slice(None)] * rank
    for axis, first, last, by in zip(axes, begin, end, step, strict=True):
        far = by < 0 and last <= -LARGEST_SIZE
        cuts[axis] = slice(first, None if far else last, by)
    return cuts


def _reduced_value(reduce: Callable[..., Any]) -> Callable[[Shapes, Operator], Any]:
    def value(known: Shapes, operator: Operator) -> NDArray[np.int64] | None:
        given = known.value(operator, 0)
        if given is None:
            return None
        axes = known.axes(operator, 1)
        keep = bool(integer(operator, "keepdims", 1))
        return np.asarray(reduce(given, axis=tuple(axes) if axes else None, keepdims=keep))

    return value


def _arithmetic_value(combine: Callable[..., Any]) -> Callable[[Shapes, Operator], Any]:
    def value(known: Shapes, operator: Operator) -> NDArray[np.int64] | None:
        given = [known.value(operator, at) for at in range(len(operator.inputs))]
        if not given or any(array is None for array in given):
            return None
        result = given[0]
        for other in given[1:]:
            result = combine(result, other)
        return np.asarray(result, np.int64)

    return value


def _negated(known: Shapes, operator: Operator) -> NDArray[np.int64] | None:
    given = known.value(operator, 0)
    return -given if given is not None else None


VALUES: Mapping[str, Callable[[Shapes, Operator], NDArray[np.int64] | None]] = {
    "Add": _arithmetic_value(np.add),
    "Cast": _cast_value,
    "Concat": _concat_value,
    "Div": _arithmetic_value(np.floor_divide),
    "Gather": _gather_value,
    "Identity": _same_value,
    "Max": _arithmetic_value(np.maximum),
    "Min": _arithmetic_value(np.minimum),
    "Mul": _arithmetic_value(np.multiply),
    "Neg": _negated,
    "ReduceMax": _reduced_value(np.max),
    "ReduceMin": _reduced_value(np.min),
    "ReduceProd": _reduced_value(np.prod),
    "ReduceSum": _reduced_value(np.sum),
    "Reshape": _reshape_value,
    "Shape": _shape_value,
    "Slice": _slice_value,
    "Squeeze": _squeeze_value,
    "Sub": _arithmetic_value(np.subtract),
    "Unsqueeze": _unsqueeze_value,
}
