"""Where a converted int8 file quantizes activations, said of the layers of a Keras 3 model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from edgekit_converters.pruning.qat.fold import activation_name
from edgekit_converters.pruning.qat.graph import PRODUCTS, Readers

UNIT = (0.0, 255 / 256)
SYMMETRIC = (-1.0, 127 / 128)
"""What TFLite prescribes for the outputs of softmax and sigmoid, and of tanh."""

_MOVERS = frozenset(
    {
        "ActivityRegularization",
        "AlphaDropout",
        "Cropping1D",
        "Cropping2D",
        "Dropout",
        "ExpandDims",
        "Flatten",
        "Flip",
        "GaussianDropout",
        "GaussianNoise",
        "GetItem",
        "GlobalMaxPooling1D",
        "GlobalMaxPooling2D",
        "Identity",
        "InputLayer",
        "MaxPooling1D",
        "MaxPooling2D",
        "Permute",
        "RepeatVector",
        "Reshape",
        "SpatialDropout1D",
        "SpatialDropout2D",
        "Squeeze",
        "Transpose",
        "ZeroPadding1D",
        "ZeroPadding2D",
    }
)
"""Layers that pass values on: those of the integers before them."""
_SAME_SCALE = frozenset({"AveragePooling1D", "AveragePooling2D", "UpSampling2D"})
"""Layers that make new values on the scale of those before them."""
_TAKE_A_RELU = PRODUCTS | {"Add", "BatchNormalization", "Multiply", "Subtract"}
"""Layers whose operator has a ReLU inside where one stands behind it."""

Kind = Literal["learned", "fixed", "same", "none"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """What stands behind one call of a layer."""

    kind: Kind
    limits: tuple[float, float] | None = None


_NONE = Place(kind="none")


def place_of(node: Any, readers: Readers) -> Place:
    """What is to stand behind `node`, a call of a layer in a model without nested ones."""
    operation = node.operation
    kind = type(operation).__name__
    if len(node.outputs) != 1 or not str(node.outputs[0].dtype).startswith(("float", "bfloat")):
        return _NONE
    last = activation_name(operation)
    if kind in _MOVERS or (kind == "Activation" and last == "linear"):
        return _NONE
    if kind in _SAME_SCALE:
        return Place(kind="same")
    prescribed = _prescribed(kind, last)
    if prescribed is not None:
        # a loss wants the scores as they are: one of 0 would be infinitely wrong
        is_output = id(node.outputs[0]) in readers.outputs
        return _NONE if is_output else Place(kind="fixed", limits=prescribed)
    reader = readers.only_reader(node.outputs[0])
    if (
        kind in _TAKE_A_RELU
        and last == "linear"
        and reader is not None
        and is_fused_relu(reader.operation)
    ):
        return _NONE
    return Place(kind="learned")


def _prescribed(kind: str, last: str) -> tuple[float, float] | None:
    """The range that a file prescribes for the output of a layer."""
    if kind == "Softmax" or (kind == "Activation" and last in {"softmax", "sigmoid"}):
        return UNIT
    return SYMMETRIC if kind == "Activation" and last == "tanh" else None


def is_fused_relu(layer: Any) -> bool:
    """Whether `layer` is a ReLU that becomes part of the operator before it."""
    kind = type(layer).__name__
    if kind == "ReLU":
        limit = layer.max_value
        return (
            not float(layer.negative_slope)
            and not float(layer.threshold)
            and (limit is None or float(limit) == 6.0)
        )
    return kind == "Activation" and activation_name(layer) in {"relu", "relu6"}


def why_in_float(layer: Any) -> str:
    """Why training cannot say what int8 does to the weights of `layer`; empty where it can."""
    kind = type(layer).__name__
    if kind in PRODUCTS or not getattr(layer, "weights", None):
        return ""
    if kind in {"BatchNormalization", "Normalization"}:
        return ""
    if kind in {"GRU", "LSTM", "SimpleRNN", "Bidirectional", "RNN"}:
        return "a recurrent layer, which an int8 file computes step by step"
    if kind in {"Conv3D", "Conv3DTranspose"}:
        return "int8 has no 3-D convolution"
    return "there is no int8 form of it to train with"
