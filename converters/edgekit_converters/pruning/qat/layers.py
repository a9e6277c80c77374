"""Layers that compute in float what a converted file computes in int8; made when Keras is there.

Gradients pass the rounding as if it were not there (straight through), and stop where a value was
clipped.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from edgekit_converters.pruning.functional_graph import keras

MOMENTUM = 0.99
"""Of the moving average of a batch's smallest and largest value; less in the first batches."""
LARGEST = 1e6
"""Ranges beyond are of masks ("minus infinity" before a softmax), which stay in float."""
_TINY = 1e-9  # the least range ai-edge-quantizer scales by
_ACTIVATION_STEPS = 255
_WEIGHT_STEPS = 127


def rounded(values: Any, smallest: Any, largest: Any) -> Any:
    """`values` as int8 of one scale and zero point that cover `smallest`, `largest` and zero."""
    ops = keras().ops
    low, high = ops.minimum(smallest, 0.0), ops.maximum(largest, 0.0)
    scale = ops.maximum(high - low, _TINY) / _ACTIVATION_STEPS
    zero = ops.round(-low / scale)
    least, most = -zero * scale, (_ACTIVATION_STEPS - zero) * scale
    clipped = ops.minimum(ops.maximum(values, least), most)
    stored = ops.round(clipped / scale) * scale
    return clipped + ops.stop_gradient(stored - clipped)


def rounded_kernel(kernel: Any, axes: tuple[int, ...]) -> Any:
    """`kernel` as int8 with a scale for each channel; a channel runs along `axes`."""
    ops = keras().ops
    bound = ops.max(ops.abs(kernel), axis=axes, keepdims=True)
    scale = ops.maximum(bound, _TINY) / _WEIGHT_STEPS
    return kernel + ops.stop_gradient(ops.round(kernel / scale) * scale - kernel)


def kernel_axes(kind: str, rank: int) -> tuple[int, ...]:
    """The axes of a kernel along which one output channel runs; `kind` is the layer's class."""
    if kind.startswith("Depthwise"):
        return tuple(range(rank - 2))
    if kind.endswith("Transpose"):
        return (*range(rank - 2), rank - 1)
    return tuple(range(rank - 1))


@cache
def learned_range() -> Any:
    """The class of layers that learn the range of a tensor, and round to int8 within it."""
    layers = keras().layers
    ops = keras().ops

    class LearnedRange(layers.Layer):  # type: ignore[misc, name-defined]
        """Learns while training, unless it is `frozen`; does nothing before its first batch."""

        def __init__(self, *, limits: tuple[float, float] | None = None, **settings: Any) -> None:
            super().__init__(**settings)
            self.limits = limits
            self.supports_masking = True
            known = limits or (0.0, 0.0)

            def variable(name: str, value: float) -> Any:
                start = keras().initializers.Constant(value)
                return self.add_weight(name=name, shape=(), initializer=start, trainable=False)

            self.smallest = variable("smallest", known[0])
            self.largest = variable("largest", known[1])
            self.batches = variable("batches", 0.0 if limits is None else 1.0)
            self.frozen = variable("frozen", 0.0 if limits is None else 1.0)

        def call(self, inputs: Any, training: bool | None = None) -> Any:
            if training and self.limits is None:
                self._learn(inputs)
            low, high = ops.convert_to_tensor(self.smallest), ops.convert_to_tensor(self.largest)
            known = ops.convert_to_tensor(self.batches) > 0
            known = ops.logical_and(known, ops.maximum(-low, high) < LARGEST)
            return ops.where(known, rounded(inputs, low, high), inputs)

        def again(self, inputs: Any) -> Any:
            """Round other values of the same scale, without learning from them."""
            low, high = ops.convert_to_tensor(self.smallest), ops.convert_to_tensor(self.largest)
            known = ops.convert_to_tensor(self.batches) > 0
            return ops.where(known, rounded(inputs, low, high), inputs)

        def _learn(self, inputs: Any) -> None:
            batches = ops.convert_to_tensor(self.batches)
            rate = ops.maximum(1.0 / (batches + 1.0), 1.0 - MOMENTUM)
            rate = rate * (1.0 - ops.convert_to_tensor(self.frozen))
            for variable, seen in (
                (self.smallest, ops.min(inputs)),
                (self.largest, ops.max(inputs)),
            ):
                before = ops.convert_to_tensor(variable)
                now = ops.stop_gradient(ops.cast(seen, before.dtype))
                usable = ops.isfinite(now)
                variable.assign(ops.where(usable, before + rate * (now - before), before))
            self.batches.assign(batches + 1.0)

        def compute_output_shape(self, input_shape: Any) -> Any:
            return input_shape

    return LearnedRange


@cache
def same_range() -> Any:
    """The class of layers that round to the range of another one."""

    class SameRange(keras().layers.Layer):  # type: ignore[misc]
        def __init__(self, *, source: Callable[[], Any], **settings: Any) -> None:
            super().__init__(**settings)
            self._source = source  # a function hides the layer: its variables are not ours
            self.supports_masking = True

        def call(self, inputs: Any) -> Any:
            return self._source().again(inputs)

        def compute_output_shape(self, input_shape: Any) -> Any:
            return input_shape

    return SameRange


@cache
def integer_normalisation() -> Any:
    """The class of batch normalisations as a file computes them: a product, then a sum.

    The two constants have one scale for all channels, which is what costs accuracy; where the
    product is by 1, there is only the sum.
    """
    ops = keras().ops

    class IntegerNormalisation(keras().layers.BatchNormalization):  # type: ignore[misc]
        only_adds = False
        """Whether the product is by 1 in every channel, and so not computed."""

        def build(self, input_shape: Any) -> None:
            super().build(input_shape)
            if not self.only_adds:
                self.product = learned_range()(name=f"{self.name}_product_range")

        def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
            del mask  # it only says what to learn from
            deviation = ops.sqrt(ops.convert_to_tensor(self.moving_variance) + self.epsilon)
            gamma = ops.convert_to_tensor(self.gamma) if self.scale else 1.0
            beta = ops.convert_to_tensor(self.beta) if self.center else 0.0
            scale = gamma / deviation  # of the shape (channels,)
            shift = beta - ops.convert_to_tensor(self.moving_mean) * scale
            shape = [1] * len(inputs.shape)
            shape[self.axis] = inputs.shape[self.axis]
            if not self.only_adds:
                inputs = self.product(
                    inputs * ops.reshape(_constant(scale), shape), training=training
                )
            return inputs + ops.reshape(_constant(shift), shape)

    return IntegerNormalisation


def _constant(values: Any) -> Any:
    ops = keras().ops
    return rounded(values, ops.stop_gradient(ops.min(values)), ops.stop_gradient(ops.max(values)))


@cache
def with_integer_kernel(kind: type) -> type:
    """A layer class like `kind` that computes with its kernel rounded to int8.

    The variable ``kernel`` itself keeps its full precision: training moves it, and whoever prunes
    or clusters holds it, as that of any other layer.
    """

    def call(self: Any, inputs: Any) -> Any:
        kernel = self.kernel
        axes = kernel_axes(kind.__name__, len(kernel.shape))
        stored = rounded_kernel(keras().ops.convert_to_tensor(kernel), axes)
        with keras().StatelessScope(state_mapping=[(kernel, stored)]):
            return kind.call(self, inputs)  # type: ignore[attr-defined]

    return type(kind.__name__, (kind,), {"call": call, "__module__": __name__})


def scales_of(low: float, high: float) -> tuple[float, int]:
    """Scale and zero point (from -128) of a range: real = scale * (stored - zero point)."""
    low, high = min(low, 0.0), max(high, 0.0)
    scale = max(high - low, _TINY) / _ACTIVATION_STEPS
    return scale, int(np.rint(-128 - low / scale))
