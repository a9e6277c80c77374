"""Shapes after the ONNX operators that work on space: convolutions, pools, resizes."""

from __future__ import annotations

import numpy as np

from edgekit.graph import Operator
from edgekit.onnx_values import Shapes, Sizes, integer, integers


def _windows(
    operator: Operator, spatial: Sizes, kernel: list[int], *, transposed: bool = False
) -> Sizes:
    """Sizes after a window slides over `spatial`."""
    rank = len(spatial)
    strides = integers(operator, "strides") or [1] * rank
    dilations = integers(operator, "dilations") or [1] * rank
    pads = integers(operator, "pads") or [0] * (2 * rank)
    extra = integers(operator, "output_padding") or [0] * rank
    automatic = operator.attributes.get("auto_pad", "NOTSET")
    upward = bool(integer(operator, "ceil_mode", 0))
    told = integers(operator, "output_shape")
    if transposed and told:
        return tuple(told[-rank:])
    made: list[int] = []
    for at, size in enumerate(spatial):
        reach = dilations[at] * (kernel[at] - 1) + 1
        if automatic in {"SAME_UPPER", "SAME_LOWER"}:
            made.append(size * strides[at] if transposed else -(-size // strides[at]))
            continue
        padding = 0 if automatic == "VALID" else pads[at] + pads[at + rank]
        if transposed:
            made.append(strides[at] * (size - 1) + extra[at] + reach - padding)
        else:
            room = size + padding - reach
            made.append((-(-room // strides[at]) if upward else room // strides[at]) + 1)
    return tuple(made)


def conv(known: Shapes, operator: Operator) -> list[Sizes] | None:
    """Weights are stored ``(out, in / group, …)``."""
    at = 3 if operator.name == "QLinearConv" else 1
    given, weights = known.of(operator, 0), known.of(operator, at)
    if given is None or weights is None:
        return None
    spatial = _windows(operator, given[2:], list(weights[2:]))
    return [(given[0], weights[0], *spatial)]


def conv_transpose(known: Shapes, operator: Operator) -> list[Sizes] | None:
    """Weights are stored ``(in, out / group, …)``."""
    given, weights = known.of(operator, 0), known.of(operator, 1)
    if given is None or weights is None:
        return None
    channels = weights[1] * integer(operator, "group", 1)
    spatial = _windows(operator, given[2:], list(weights[2:]), transposed=True)
    return [(given[0], channels, *spatial)]


def pool(known: Shapes, operator: Operator) -> list[Sizes] | None:
    """Channels stay as they are."""
    given, kernel = known.of(operator, 0), integers(operator, "kernel_shape")
    if given is None or kernel is None:
        return None
    return [(*given[:2], *_windows(operator, given[2:], kernel))]


def global_pool(known: Shapes, operator: Operator) -> list[Sizes] | None:
    """One number is left of each channel."""
    given = known.of(operator, 0)
    return None if given is None else [(*given[:2], *([1] * (len(given) - 2)))]


def resize(known: Shapes, operator: Operator) -> list[Sizes] | None:
    """To sizes, or by factors."""
    given, target = known.of(operator, 0), known.value(operator, 3)
    if target is not None and target.size:
        return [tuple(target.tolist())]
    factors = known.factors(operator, 1 if operator.name == "Upsample" else 2)
    if given is None or not factors:
        return None
    pairs = zip(given, factors, strict=True)
    return [tuple(int(np.float32(size) * np.float32(by)) for size, by in pairs)]


def depth_to_space(known: Shapes, operator: Operator) -> list[Sizes] | None:
    """Channels become blocks of pixels, or, as SpaceToDepth, the other way."""
    given, block = known.of(operator, 0), integer(operator, "blocksize", 1)
    if given is None:
        return None
    if operator.name == "SpaceToDepth":
        return [(given[0], given[1] * block**2, given[2] // block, given[3] // block)]
    return [(given[0], given[1] // block**2, given[2] * block, given[3] * block)]
