"""Models trained in mixed precision: their weights are float32, their arithmetic is not."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def policies_kept(model: Any) -> Iterator[None]:
    """Give every layer of a model object its dtype policy back at the end."""
    before = [(layer, _policy(layer)) for layer in half_precision_layers(model)]
    try:
        yield
    finally:
        for layer, policy in before:
            _set_policy(layer, policy)


def half_precision_layers(model: Any) -> list[Any]:
    """Layers with float32 weights that compute in 16 bits: those of a mixed precision policy."""
    flatten = getattr(model, "_flatten_layers", None)
    return [
        layer
        for layer in (flatten() if flatten else [])
        if str(getattr(_policy(layer), "name", "")).startswith("mixed_")
    ]


def _policy(layer: Any) -> Any:
    return getattr(layer, "dtype_policy", None) or getattr(layer, "_dtype_policy", None)


def _set_policy(layer: Any, policy: Any) -> None:
    if hasattr(layer, "_set_dtype_policy"):
        layer._set_dtype_policy(policy)  # Keras 2 has no other way
    else:
        layer.dtype_policy = policy


def compute_in_float32(name: str, model: Any) -> tuple[str, ...]:
    """Switch the model to float32, and say so: exporters have no 16-bit convolutions."""
    layers = half_precision_layers(model)
    if not layers:
        return ()
    policy = _policy(layers[0]).name
    for layer in layers:
        _set_policy(layer, "float32")
    return (f"{name}: trained with {policy}; converted, and compared, computing in float32",)
