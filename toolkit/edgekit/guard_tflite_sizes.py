"""How large the result of a TFLite operator is, where a constant of the file decides it.

A damaged one can ask for more memory than there is, or for less than nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from math import prod

from edgekit.guard_tflite_step import Rule, Step

_MOST_MADE = 1 << 28
"""So many numbers one operator may make: a gibibyte of float32."""


def _makes(count: Callable[[Step], Iterable[int] | None]) -> Rule:
    """A rule for operators the size of whose result stands in the file as a number."""

    def rule(step: Step) -> str | None:
        sizes = list(count(step) or ())
        if any(size < 0 for size in sizes) or prod(sizes) > _MOST_MADE:
            return f"makes shape {sizes}"
        return None

    return rule


def _tiled(step: Step) -> Iterable[int] | None:
    given, times = step.inputs[0], step.constant(1)
    if given is None or times is None:
        return None
    return (size * time for size, time in zip(given.shape, times, strict=False))


def _padded(step: Step) -> Iterable[int] | None:
    given, widths = step.inputs[0], step.constant(1)
    if given is None or widths is None:
        return None
    if min(widths, default=0) < 0:
        return widths
    pairs = zip(given.shape, widths[::2], widths[1::2], strict=False)
    return (size + before + after for size, before, after in pairs)


def _resized(step: Step) -> Iterable[int] | None:
    given, wanted = step.inputs[0], step.constant(1)
    if given is None or wanted is None or len(given.shape) != 4:
        return wanted
    return (given.shape[0], *wanted, given.shape[3])


def _one_hot(step: Step) -> Iterable[int] | None:
    given, depth = step.inputs[0], step.constant(1)
    return None if given is None or depth is None else (*given.shape, *depth)


def _drawn(step: Step) -> Iterable[int] | None:
    given, count = step.inputs[0], step.constant(1)
    return None if given is None or count is None else (*given.shape[:1], *count)


def _range(step: Step) -> Iterable[int] | None:
    first, last, delta = (step.constant(index) for index in range(3))
    if not first or not last or not delta:
        return None
    return (abs((last[0] - first[0]) // delta[0]),) if delta[0] else (-1,)


SIZE_RULES: Mapping[str, Rule] = {
    "BROADCAST_TO": _makes(lambda step: step.constant(1)),
    "FILL": _makes(lambda step: step.constant(0)),
    "MIRROR_PAD": _makes(_padded),
    "MULTINOMIAL": _makes(_drawn),
    "ONE_HOT": _makes(_one_hot),
    "PAD": _makes(_padded),
    "PADV2": _makes(_padded),
    "RANDOM_STANDARD_NORMAL": _makes(lambda step: step.constant(0)),
    "RANDOM_UNIFORM": _makes(lambda step: step.constant(0)),
    "RANGE": _makes(_range),
    "RESIZE_BILINEAR": _makes(_resized),
    "RESIZE_NEAREST_NEIGHBOR": _makes(_resized),
    "TILE": _makes(_tiled),
}
"""By the operator's name."""
