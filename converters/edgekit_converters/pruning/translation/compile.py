"""Compile a Keras 3 model as the Keras 2 model it was translated from."""

from __future__ import annotations

import inspect
from typing import Any

from edgekit.quote import first_line
from edgekit_converters.pruning.translation.config import is_object

_REDUCTIONS = {"auto": "sum_over_batch_size", "none": None}
_OF_KERAS_2 = frozenset({"is_legacy_optimizer", "jit_compile"})
"""Settings of optimizers that say nothing of how they train."""


def translated_compile(model: Any, made: Any) -> tuple[str, ...]:
    """Compile `made` as the tf_keras `model` is; returns what could not be carried over.

    Optimizer, loss and metrics are found by their names, and keep all settings that Keras 3 knows;
    a schedule of the learning rate becomes the rate that it has now. Where a name is not known, the
    model stays uncompiled.
    """
    optimizer = getattr(model, "optimizer", None)
    if optimizer is None:
        return ()
    said = model.get_compile_config() or {}
    loss, metrics = said.get("loss"), said.get("metrics")
    if loss is None:
        return ()
    try:
        twin, notes = _optimizer(getattr(optimizer, "inner_optimizer", optimizer))
        made.compile(
            optimizer=twin,
            loss=_loss(loss),
            metrics=_metrics(metrics),
            loss_weights=said.get("loss_weights"),
        )
    except (ValueError, TypeError, AttributeError, ImportError) as error:
        told = f"its optimizer, loss or metrics are not those of Keras 3 ({first_line(error)})"
        return (f"{told}, and do not count",)
    return notes


def _optimizer(old: Any) -> tuple[Any, tuple[str, ...]]:
    """The Keras 3 optimizer with the settings of the tf_keras optimizer `old`; what it lacks."""
    import keras

    name = type(old).__name__
    kind = getattr(keras.optimizers, name)
    known = {
        parameter
        for base in kind.__mro__
        if issubclass(base, keras.optimizers.Optimizer)
        for parameter in inspect.signature(base.__init__).parameters
    } - {"self", "kwargs"}
    rate = old.learning_rate
    settings: dict[str, Any] = {}
    notes = []
    for key, value in {**old.get_config(), "learning_rate": rate}.items():
        plain = value.numpy() if hasattr(value, "numpy") else value
        plain = plain.item() if hasattr(plain, "item") else plain
        if key in known:
            settings[key] = plain
        elif key not in _OF_KERAS_2 and plain:
            notes.append(f"{name} of Keras 3 has no {key}, which was {plain}, and does not count")
    return kind.from_config(settings), tuple(notes)


def _loss(value: Any) -> Any:
    import keras

    if is_object(value):
        if value["class_name"] == "function":  # as .h5 files have it
            return _loss(value["config"])
        config = {key: part for key, part in value["config"].items() if key != "fn"}
        if config.get("reduction") in ("auto", "none"):
            config["reduction"] = _REDUCTIONS[config["reduction"]]
        return getattr(keras.losses, value["class_name"]).from_config(config)
    if isinstance(value, dict):
        return {key: _loss(part) for key, part in value.items()}
    if isinstance(value, str):
        keras.losses.get(value)  # `compile` would find out in the first batch
    return [_loss(part) for part in value] if isinstance(value, list | tuple) else value


def _metrics(value: Any) -> Any:
    """Metrics by name; those of .h5 files come wrapped, and in a list for each output."""
    import keras

    if is_object(value):
        config = value["config"]
        if value["class_name"] == "function":
            return config
        if value["class_name"] == "MeanMetricWrapper":
            return _metrics(config["fn"])
        return getattr(keras.metrics, value["class_name"]).from_config(config)
    if isinstance(value, dict):
        return {key: _metrics(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        parts = value[0] if len(value) == 1 and isinstance(value[0], list) else value
        return [_metrics(part) for part in parts]
    return value
