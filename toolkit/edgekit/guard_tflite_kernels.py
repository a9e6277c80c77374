"""What the kernels of TFLite operators take for granted, where it ends the process to be wrong.

Each rule here answers a crash that was seen in ai-edge-litert or tflite-runtime: divisions by a
stride of zero, lists that are longer than what they are read into, multipliers that cannot be.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from edgekit.flatbuffer import FlatBufferError
from edgekit.flatbuffer_check import Values

_LONGEST_STEP = 1 << 16
_PADDINGS = 2
_ACTIVATIONS = 6
_SMALL_INTEGERS = frozenset({"int8", "uint8", "int4"})


@dataclass(frozen=True, slots=True)
class TensorFacts:
    """What rules need to know of a tensor."""

    shape: tuple[int, ...]
    dtype: str
    at: int
    """Where its constant bytes begin in the file; 0 where it has none."""
    is_variable: bool
    is_free: bool
    """Whether a dimension is known only when the model runs."""
    scales: int
    """How many scales it has; 0 where it is not quantized."""
    axis: int
    scale: float
    """The first scale; 0 where it is not quantized."""
    numbers: tuple[int, ...] | None
    """Its values, where it is a short constant of int32 or int64."""


@dataclass(frozen=True, slots=True)
class Step:
    """One operator in its place."""

    name: str
    inputs: list[TensorFacts | None]
    outputs: list[TensorFacts]
    options: Values

    def option(self, field: int, default: int = 0) -> int:
        """A number of its options."""
        value: int | None = self.options[field] if self.options else None
        return default if value is None else value

    def constant(self, index: int) -> tuple[int, ...] | None:
        """The numbers of an input that the file fixes."""
        tensor = self.inputs[index] if index < len(self.inputs) else None
        return None if tensor is None else tensor.numbers


Rule = Callable[[Step], str | None]
"""Says what is wrong with an operator, or None."""


def check_step(step: Step) -> None:
    """Check one operator.

    Raises:
        FlatBufferError: a kernel could crash on it.
    """
    if step.name in _ARITHMETIC:
        for tensor in (*step.inputs, *step.outputs):
            if tensor is not None and tensor.dtype in _SMALL_INTEGERS and not tensor.scales:
                message = f"{step.name} needs the scale of a {tensor.dtype} tensor, which has none"
                raise FlatBufferError(message)
    rule = _RULES.get(step.name)
    said = rule(step) if rule else None
    if said is not None:
        message = f"{step.name} {said}"
        raise FlatBufferError(message)


def _choices(step: Step, padding: int | None, activation: int | None) -> str | None:
    if padding is not None and not 0 <= step.option(padding) < _PADDINGS:
        return f"has padding {step.option(padding)}"
    if activation is not None and not 0 <= step.option(activation) < _ACTIVATIONS:
        return f"has activation {step.option(activation)}"
    return None


def _steps(step: Step, fields: tuple[int, ...], dilations: tuple[int, ...] = ()) -> str | None:
    sizes = [*(step.option(field) for field in fields), *(step.option(f, 1) for f in dilations)]
    if not all(1 <= size <= _LONGEST_STEP for size in sizes):
        return f"has strides, sizes and dilations {sizes}"
    return None


def _window(
    fields: tuple[int, ...], dilations: tuple[int, ...], padding: int, activation: int | None
) -> Rule:
    def rule(step: Step) -> str | None:
        return _steps(step, fields, dilations) or _choices(step, padding, activation)

    return rule


def _split(step: Step) -> str | None:
    count = step.option(0)
    if count != len(step.outputs):
        return f"into {count} has {len(step.outputs)} outputs"
    return None


def _pack(step: Step) -> str | None:
    count = step.option(0)
    if count != len(step.inputs):
        return f"of {count} has {len(step.inputs)} inputs"
    return None


def _transpose_conv(step: Step) -> str | None:
    said = _window((1, 2), (), 0, 3)(step)
    wanted, made = step.constant(0), step.outputs[0]
    weights, given = step.inputs[1], step.inputs[2]
    assert weights is not None
    assert given is not None
    if wanted is None and not made.is_free and not given.is_free:
        wanted = made.shape
    if said or wanted is None:
        return said
    if len(wanted) != 4 or len(weights.shape) != 4 or len(given.shape) != 4:
        return f"of shapes {given.shape} and {weights.shape} makes shape {wanted}"
    for axis, field in ((1, 2), (2, 1)):
        stride, kernel = step.option(field), weights.shape[axis]
        least = wanted[axis] if step.option(0) == 0 else wanted[axis] - kernel + 1
        if given.shape[axis] != -(-least // stride):
            return f"of shape {given.shape} with stride {stride} cannot make shape {wanted}"
    return None


def _same_shape(step: Step) -> str | None:
    given, made = step.inputs[0], step.outputs[0]
    if given is not None and given.at and given.shape != made.shape:
        return f"makes shape {made.shape} of shape {given.shape}"
    return None


def _sum(step: Step) -> str | None:
    """Both sides are brought to a common scale, which must not be far above the result's."""
    left, right, made = step.inputs[0], step.inputs[1], step.outputs[0]
    assert left is not None
    assert right is not None
    if not left.dtype == right.dtype == made.dtype:
        return f"of {left.dtype} and {right.dtype} makes {made.dtype}"
    if not (left.scales and right.scales and made.scales):
        some = made.dtype == "int16" and (left.scales or right.scales or made.scales)
        return "needs the scales of all its tensors, or of none" if some else None
    shift = {"int8": 20, "uint8": 20, "int16": 15}.get(made.dtype)
    if shift and 2 * max(left.scale, right.scale) >= (1 << shift) * made.scale:
        return f"of scales {left.scale:g} and {right.scale:g} makes scale {made.scale:g}"
    return None


_ARITHMETIC = frozenset(
    {
        "ABS", "ADD", "BATCH_MATMUL", "CONV_2D", "CONV_3D", "DEPTHWISE_CONV_2D", "DEQUANTIZE",
        "DIV", "ELU", "EXP", "FULLY_CONNECTED", "GELU", "HARD_SWISH", "LEAKY_RELU", "LOG",
        "LOGISTIC", "LOG_SOFTMAX", "MEAN", "MUL", "PRELU", "QUANTIZE", "RSQRT", "SOFTMAX", "SQRT",
        "SQUARED_DIFFERENCE", "SUB", "SUM", "TANH", "TRANSPOSE_CONV",
    }
)  # fmt: skip
"""Operators that do not run on 8-bit and 4-bit integers without their scales."""

_RULES: Mapping[str, Rule] = {
    "ADD": _sum,
    "AVERAGE_POOL_2D": _window((1, 2, 3, 4), (), 0, 5),
    "CONV_2D": _window((1, 2), (4, 5), 0, 3),
    "CONV_3D": _window((1, 2, 3), (5, 6, 7), 0, 4),
    "CONV_3D_TRANSPOSE": _window((1, 2, 3), (5, 6, 7), 0, 4),
    "DEPTHWISE_CONV_2D": _window((1, 2), (5, 6), 0, 4),
    "DEQUANTIZE": _same_shape,
    "L2_POOL_2D": _window((1, 2, 3, 4), (), 0, 5),
    "MAX_POOL_2D": _window((1, 2, 3, 4), (), 0, 5),
    "PACK": _pack,
    "SPLIT": _split,
    "SPLIT_V": _split,
    "SUB": _sum,
    "TRANSPOSE_CONV": _transpose_conv,
    "UNPACK": _split,
}
