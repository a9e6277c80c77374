"""TensorFlow functions that Keras 2 models call on their tensors, as layers of Keras 3."""

from __future__ import annotations

from typing import Any

import numpy as np

_JOINS = {
    "add": "Add",
    "maximum": "Maximum",
    "minimum": "Minimum",
    "multiply": "Multiply",
    "mul": "Multiply",
    "subtract": "Subtract",
    "sub": "Subtract",
}
_ACTIVATIONS = (
    "elu",
    "gelu",
    "leaky_relu",
    "relu",
    "relu6",
    "selu",
    "sigmoid",
    "silu",
    "softmax",
    "softplus",
    "softsign",
    "tanh",
)


def translated_function(layer: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """What a Keras 3 layer gives for the arguments of the TFOpLambda `layer`.

    Sums and the like of two tensors, or of one and a number, and activations without options.

    Raises:
        ValueError: it is another function, or called in another way.
    """
    import keras

    symbol = str(getattr(layer, "symbol", "") or layer.get_config().get("function", ""))
    function = symbol.rpartition(".")[2]
    name = str(layer.name).replace("/", "_")
    given = {"x": None, "y": None, **dict(zip(("x", "y"), args, strict=False)), **kwargs}
    given.pop("name", None)
    first, second = given.pop("x"), given.pop("y")
    if first is None:
        first = given.pop("features", None)
    made = None
    if not any(value is not None for value in given.values()):
        if function in _JOINS and _is_tensor(first) and _is_tensor(second):
            if tuple(first.shape) == tuple(second.shape) or function in ("add", "mul", "multiply"):
                made = getattr(keras.layers, _JOINS[function])(name=name)([first, second])
        elif function in _JOINS or function in ("truediv", "divide"):
            made = _scaled(function, first, second, name)
        elif function in _ACTIVATIONS and second is None and function != "leaky_relu":
            made = keras.layers.Activation(function, name=name)(first)
    if made is None:
        message = f"it is the TensorFlow function {symbol or function!r} called on Keras tensors"
        raise ValueError(message)
    return made


def _scaled(function: str, first: Any, second: Any, name: str) -> Any:
    """The tensor among the two times a number, plus a number; None where that is not it.

    Raises:
        ValueError: it divides by 0.
    """
    import keras

    if _is_tensor(first) == _is_tensor(second):
        return None
    tensor, other = (first, second) if _is_tensor(first) else (second, first)
    if np.ndim(other) != 0 or isinstance(other, str):
        return None
    number, reverse = float(other), tensor is second
    scale, offset = 1.0, 0.0
    if function == "add":
        offset = number
    elif function in ("multiply", "mul"):
        scale = number
    elif function in ("subtract", "sub"):
        scale, offset = (-1.0, number) if reverse else (1.0, -number)
    elif function in ("truediv", "divide") and not reverse:
        if number == 0:
            message = "it divides by 0"
            raise ValueError(message)
        scale = 1 / number
    else:
        return None
    return keras.layers.Rescaling(scale, offset, name=name)(tensor)


def _is_tensor(value: Any) -> bool:
    import keras

    return isinstance(value, keras.KerasTensor)
