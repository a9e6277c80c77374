"""What the kernels of TFLite operators take for granted, where it ends the process to be wrong.

Each rule here answers a crash that was seen in ai-edge-litert or tflite-runtime: divisions by a
stride of zero, lists that are longer than what they are read into, multipliers that cannot be.
"""

from __future__ import annotations

from collections.abc import Mapping

from edgekit.flatbuffer import FlatBufferError
from edgekit.guard_tflite_sizes import SIZE_RULES
from edgekit.guard_tflite_step import Rule, Step, TensorFacts

_LONGEST_STEP = 1 << 16
_PADDINGS = 2
_ACTIVATIONS = 6
_MOST_RESCALED = 256
_BYTES = frozenset({"int8", "uint8"})
_SMALL_INTEGERS = frozenset({"int8", "uint8", "int4"})


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


def _rescaled(step: Step, given: TensorFacts | None, weights: TensorFacts | None) -> str | None:
    """A product of two scales must not be far above the result's."""
    made = step.outputs[0]
    if given is None or weights is None or made.dtype not in _BYTES or given.dtype not in _BYTES:
        return None
    largest = given.largest_scale * weights.largest_scale
    if largest >= _MOST_RESCALED * made.scale:
        return f"of scales {given.scale:g} and {weights.largest_scale:g} makes scale {made.scale:g}"
    return None


def _fully_connected(step: Step) -> str | None:
    return _choices(step, None, 0) or _rescaled(step, step.inputs[0], step.inputs[1])


def _slides(
    step: Step, strides: tuple[int, int], kernel: tuple[int, int], dilations: tuple[int, int]
) -> str | None:
    """Height and width of the result follow from those of the input."""
    given, made = step.inputs[0], step.outputs[0]
    if given is None or not len(given.shape) == len(made.shape) == 4:
        return None
    for axis in (0, 1):
        if 1 + axis in (*given.free, *made.free):
            continue
        reach = given.shape[1 + axis]
        if step.option(0):
            reach -= (kernel[axis] - 1) * dilations[axis]
        if made.shape[1 + axis] != -(-reach // strides[axis]):
            return f"of shape {given.shape} with strides {strides} makes shape {made.shape}"
    return None


def _pool(step: Step) -> str | None:
    said = _window((1, 2, 3, 4), (), 0, 5)(step)
    strides, kernel = (step.option(2), step.option(1)), (step.option(4), step.option(3))
    return said or _slides(step, strides, kernel, (1, 1))


def _convolution(step: Step) -> str | None:
    said = _window((1, 2), (4, 5), 0, 3)(step)
    given, weights, made = step.inputs[0], step.inputs[1], step.outputs[0]
    assert given is not None
    assert weights is not None
    if not said and len(weights.shape) == 4:
        strides, dilations = (
            (step.option(2), step.option(1)),
            (step.option(5, 1), step.option(4, 1)),
        )
        said = _slides(step, strides, (weights.shape[1], weights.shape[2]), dilations)
    if said or 3 in given.free or not len(given.shape) == len(weights.shape) == 4:
        return said or _rescaled(step, given, weights)
    groups, left = divmod(given.shape[3], weights.shape[3]) if weights.shape[3] else (0, 0)
    if left or groups < 1 or weights.shape[0] % groups:
        return f"of shape {given.shape} has weights {weights.shape}"
    if made.shape and made.shape[-1] != weights.shape[0]:
        return f"of weights {weights.shape} makes shape {made.shape}"
    return _rescaled(step, given, weights)


def _depthwise(step: Step) -> str | None:
    said = _window((1, 2), (5, 6), 0, 4)(step)
    given, weights = step.inputs[0], step.inputs[1]
    assert given is not None
    assert weights is not None
    if not said and len(weights.shape) == 4:
        strides, dilations = (
            (step.option(2), step.option(1)),
            (step.option(6, 1), step.option(5, 1)),
        )
        said = _slides(step, strides, (weights.shape[1], weights.shape[2]), dilations)
    if said or 3 in given.free or not len(given.shape) == len(weights.shape) == 4:
        return said or _rescaled(step, given, weights)
    if weights.shape[0] != 1 or weights.shape[3] != given.shape[3] * step.option(3):
        return f"of shape {given.shape} has weights {weights.shape}"
    return _rescaled(step, given, weights)


def _transpose_conv(step: Step) -> str | None:
    said = _window((1, 2), (), 0, 3)(step)
    wanted, made = step.constant(0), step.outputs[0]
    weights, given = step.inputs[1], step.inputs[2]
    assert weights is not None
    assert given is not None
    if wanted is None and not {1, 2, 3} & {*made.free, *given.free}:
        wanted = made.shape
    said = said or _rescaled(step, given, weights)
    if said or wanted is None:
        return said
    if len(wanted) != 4 or len(weights.shape) != 4 or len(given.shape) != 4:
        return f"of shapes {given.shape} and {weights.shape} makes shape {wanted}"
    if wanted[0] != given.shape[0] or wanted[3] != weights.shape[0]:
        return f"of shapes {given.shape} and {weights.shape} makes shape {wanted}"
    for axis, field in ((1, 2), (2, 1)):
        stride, kernel = step.option(field), weights.shape[axis]
        least = wanted[axis] if step.option(0) == 0 else wanted[axis] - kernel + 1
        if given.shape[axis] != -(-least // stride):
            return f"of shape {given.shape} with stride {stride} cannot make shape {wanted}"
    return None


def _same_shape(step: Step) -> str | None:
    given, made = step.inputs[0], step.outputs[0]
    if given is None or given.is_free or made.is_free:
        return None
    if made.shape and given.shape != made.shape:  # () may stand for unknown
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


def _comparison(step: Step) -> str | None:
    """Numbers are compared after a multiplication by their scales, which must be below 1."""
    for given in step.inputs:
        if given is not None and given.dtype in _BYTES and given.scale >= 1:
            return f"of a tensor of scale {given.scale:g} cannot be computed"
    return None


def _slice(step: Step) -> str | None:
    given, begin, size = step.inputs[0], step.constant(1), step.constant(2)
    made, parts = step.outputs[0], step.inputs[2]
    is_known = size is not None and (begin is not None or -1 not in size)
    if parts is not None and not is_known and made.shape and not made.is_free:
        return f"makes shape {made.shape}, though its size is known only when it runs"
    if given is None or given.is_free or begin is None:
        return None
    if len(begin) != len(given.shape) or (size is not None and len(size) != len(begin)):
        return f"of shape {given.shape} begins at {begin}"
    sizes = size or (0,) * len(begin)
    for whole, first, part in zip(given.shape, begin, sizes, strict=True):
        if not 0 <= first <= whole or part < -1 or part > whole - first:
            return f"takes {size} at {begin} of shape {given.shape}"
    return None


def _scattered(step: Step) -> str | None:
    """Values go to places that are not looked at again."""
    places, shape, given = step.constant(0), step.constant(1), step.inputs[0]
    if places is None or shape is None or given is None or not shape:
        return None
    width = given.shape[-1] if len(given.shape) == 2 else 1
    if width != len(shape):
        return f"puts numbers at {width} of {len(shape)} axes"
    if any(not 0 <= place < shape[index % width] for index, place in enumerate(places)):
        return f"puts numbers at {places} into shape {shape}"
    return None


def _top(step: Step) -> str | None:
    given, count = step.inputs[0], step.constant(1)
    if given is None or given.is_free or not count:
        return None
    if not given.shape or not 1 <= count[0] <= given.shape[-1]:
        return f"takes {count[0]} of shape {given.shape}"
    return None


def _permuted(step: Step) -> str | None:
    given, order = step.inputs[0], step.constant(1)
    if given is None or order is None:
        return None
    rank = len(given.shape)
    if sorted(axis + rank if axis < 0 else axis for axis in order) == list(range(rank)):
        return None
    return f"of shape {given.shape} puts axes in the order {order}"


def _reduced(step: Step) -> str | None:
    given, axes = step.inputs[0], step.constant(1)
    if given is None or axes is None:
        return None
    rank = len(given.shape)
    if len(axes) > max(rank, 1) or not all(-rank <= axis < rank for axis in axes if rank):
        return f"of shape {given.shape} over axes {axes}"
    return None


def _has_axes(step: Step) -> str | None:
    given = step.inputs[0]
    return "of a single number" if given is not None and not given.shape else None


def _neighbours(step: Step) -> str | None:
    radius = step.option(0)
    return f"has radius {radius}" if not 0 <= radius <= _LONGEST_STEP else _has_axes(step)


_ARITHMETIC = frozenset(
    {
        "ABS", "ADD", "BATCH_MATMUL", "CONV_2D", "CONV_3D", "DEPTHWISE_CONV_2D", "DEQUANTIZE",
        "DIV", "ELU", "EQUAL", "EXP", "FULLY_CONNECTED", "GELU", "GREATER", "GREATER_EQUAL",
        "HARD_SWISH", "LEAKY_RELU", "LESS", "LESS_EQUAL", "LOG", "LOGISTIC", "LOG_SOFTMAX", "MEAN",
        "MUL", "NOT_EQUAL", "PRELU", "QUANTIZE", "RSQRT", "SOFTMAX", "SQRT", "SQUARED_DIFFERENCE",
        "SUB", "SUM", "TANH", "TRANSPOSE_CONV",
    }
)  # fmt: skip
"""Operators that do not run on 8-bit and 4-bit integers without their scales."""

_RULES: Mapping[str, Rule] = {
    **SIZE_RULES,
    "ADD": _sum,
    "AVERAGE_POOL_2D": _pool,
    "CONV_2D": _convolution,
    "CONV_3D": _window((1, 2, 3), (5, 6, 7), 0, 4),
    "CONV_3D_TRANSPOSE": _window((1, 2, 3), (5, 6, 7), 0, 4),
    "DEPTHWISE_CONV_2D": _depthwise,
    "DEQUANTIZE": _same_shape,
    "FULLY_CONNECTED": _fully_connected,
    "EQUAL": _comparison,
    "NOT_EQUAL": _comparison,
    "GREATER": _comparison,
    "GREATER_EQUAL": _comparison,
    "LESS": _comparison,
    "LESS_EQUAL": _comparison,
    "L2_NORMALIZATION": _has_axes,
    "L2_POOL_2D": _pool,
    "LOCAL_RESPONSE_NORMALIZATION": _neighbours,
    "LOG_SOFTMAX": _has_axes,
    "MAX_POOL_2D": _pool,
    "PACK": _pack,
    "QUANTIZE": _same_shape,
    "MEAN": _reduced,
    "SUM": _reduced,
    "REDUCE_PROD": _reduced,
    "REDUCE_MAX": _reduced,
    "REDUCE_MIN": _reduced,
    "REDUCE_ANY": _reduced,
    "REDUCE_ALL": _reduced,
    "SLICE": _slice,
    "SOFTMAX": _has_axes,
    "SPARSE_TO_DENSE": _scattered,
    "SPLIT": _split,
    "SPLIT_V": _split,
    "SUB": _sum,
    "TOPK_V2": _top,
    "TRANSPOSE": _permuted,
    "TRANSPOSE_CONV": _transpose_conv,
    "UNPACK": _split,
}
