"""Configurations of Keras 2 layers as Keras 3 takes them."""

from __future__ import annotations

import inspect
from typing import Any

_RENAMED = {
    "LeakyReLU": {"alpha": "negative_slope"},
}
_DROPPED: dict[str, tuple[Any, ...]] = {
    "batch_input_shape": (),  # () is: whatever its value
    "fused": (),
    "groups": (1,),
    "kernel_initializer": (),  # of separable and depthwise convolutions, which have their own
    "key_shape": (),
    "query_shape": (),
    "rng_type": (),
    "value_shape": (),
    "vocabulary_size": (),
    "implementation": (),
    "input_length": (),
    "input_dim": (),
    "causal": (False,),
    "ragged": (False,),
    "renorm": (False,),
    "softmax_robust_masking": (False,),
    "sparse": (False,),
    "synchronized": (False,),
    "time_major": (False,),
    "trainable": (),  # set afterwards
    "virtual_batch_size": (None,),
}
"""Options that layers of Keras 3 lack, and the values with which they do nothing."""


def translated_layer(layer: Any) -> Any:
    """A Keras 3 layer for the tf_keras `layer`, without its weights.

    Raises:
        ValueError: Keras 3 has no such layer, or not its options.
    """
    import keras

    name = type(layer).__name__
    kind = getattr(keras.layers, name, None)
    if name == "Lambda":
        message = "it is Python code"
        raise ValueError(message)
    if kind is None:
        message = "Keras 3 has no such layer"
        raise ValueError(message)
    return kind.from_config(_config(name, layer.get_config(), kind))


def is_object(value: Any) -> bool:
    """Whether `value` is the configuration of an object: its class, and its own configuration."""
    return isinstance(value, dict) and "class_name" in value


def _config(name: str, config: dict[str, Any], kind: Any) -> dict[str, Any]:
    known = _parameters(kind)
    made: dict[str, Any] = {}
    for old, value in config.items():
        key = _RENAMED.get(name, {}).get(old, old)
        if value == "hard_sigmoid":
            message = f"{key}='hard_sigmoid' has another slope in Keras 3"
            raise ValueError(message)
        if key == "dtype":
            made[key] = _policy(value)
        elif key in known:
            made[key] = _value(value)
        elif value is not None and (
            key not in _DROPPED or (_DROPPED[key] and value not in _DROPPED[key])
        ):
            message = f"its option {key}={value!r} is not there"
            raise ValueError(message)
    if name == "BatchNormalization" and isinstance(made["axis"], list):
        (made["axis"],) = made["axis"]
    made["name"] = str(made["name"]).replace("/", "_")  # Keras 3 allows no slashes
    return made


def _parameters(kind: Any) -> set[str]:
    """What a layer class takes: by all of its constructors, which hand the rest upwards."""
    import keras

    found = {"name", "dtype"}
    for base in kind.__mro__:
        if base is keras.layers.Layer or not issubclass(base, keras.layers.Layer):
            continue
        parameters = inspect.signature(base.__init__).parameters
        found |= {n for n, p in parameters.items() if p.kind is not p.VAR_KEYWORD}
        if all(p.kind is not p.VAR_KEYWORD for p in parameters.values()):
            break
    return found - {"self", "args"}


def _value(value: Any) -> Any:
    """`value` with the configurations of layers and functions in it translated."""
    import keras

    if is_object(value) and "config" in value:
        inner = getattr(keras.layers, str(value["class_name"]), None)
        config = value["config"]
        if inner is not None and isinstance(config, dict):
            name = str(value["class_name"])
            return keras.layers.serialize(inner.from_config(_config(name, config, inner)))
        return {"class_name": value["class_name"], "config": _value(config)}
    if isinstance(value, dict):
        return {key: _value(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_value(part) for part in value]
    return value


def _policy(value: Any) -> Any:
    return value["config"]["name"] if isinstance(value, dict) else value
