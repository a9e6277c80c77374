"""Make the smaller model: the config counts fewer channels, the weights keep what stays."""

from __future__ import annotations

import inspect
import tempfile
from typing import Any

import numpy as np

from edgekit.errors import SourceError, UsageError
from edgekit.quote import first_line
from edgekit_converters.pruning.channels.graph import (
    ChannelGraph,
    Mask,
    kept_positions,
    variables_by_path,
)
from edgekit_converters.pruning.skipped_names import layers_within


def cut(model: Any, graph: ChannelGraph, removed: Mask) -> Any:
    """Returns a new model without the removed channels.

    Names, data types, frozen layers and the settings it was compiled with are those of `model`;
    the optimizer begins anew. Statistics of layer and group normalisation become those of the
    channels that stay.

    Args:
        model: what `graph` was traced from, not changed.
        graph: see `trace`.
        removed: for every channel whether it goes; (`channel_count`,).

    Raises:
        UsageError: a group would lose all its channels.
        SourceError: a layer cannot be made again from its configuration, or would no longer share
            its weights.
    """
    for group in graph.groups:
        if removed[group.channels].all():
            message = f"group {group.name!r}: all its channels would go; keep at least one"
            raise UsageError(message)
    config = _config(model)
    for edit in graph.edits:
        kept = int(kept_positions(edit.numbers, removed).sum())
        config = _changed(config, edit.keys, kept)
    made = _build(model, _without_build_config(config))
    _assign(model, made, graph, removed)
    if getattr(model, "compiled", False):
        _compile(model, made)
    return made


def _config(model: Any) -> Any:
    try:
        return model.get_config()
    except Exception as error:  # whatever a layer's own code raises, and operations with arrays
        for placed in layers_within(model):
            try:
                placed.layer.get_config()
            except Exception as own:
                raise SourceError(_not_again(placed.path, placed.layer, own)) from error
        raise SourceError(_not_again(model.name, model, error)) from error


def _not_again(name: str, layer: Any, error: Exception) -> str:
    said = first_line(error)
    if isinstance(error, NotImplementedError):  # Keras says so in a paragraph of advice
        said = "it has none for what it was made with"
    return (
        f"{name} ({type(layer).__name__}): cannot be made again from its configuration "
        f"({said}); give its class a get_config and from_config, write an operation "
        "with arrays as a layer, or prune with --method unstructured"
    )


def _changed(node: Any, keys: tuple[str | int, ...], value: int) -> Any:
    """Returns a config with one entry changed; in a list of layers a key is the name of one."""
    if not keys:
        return value
    place = _place(node, keys[0])
    if isinstance(node, tuple):  # a shape
        return (*node[:place], _changed(node[place], keys[1:], value), *node[place + 1 :])
    node[place] = _changed(node[place], keys[1:], value)
    return node


def _place(node: Any, key: str | int) -> Any:
    if isinstance(node, list) and isinstance(key, str):
        names = [entry.get("name") or entry["config"]["name"] for entry in node]
        return names.index(key)
    return key


def _without_build_config(config: Any) -> Any:
    """Returns the config without the shapes that layers were built with: they are others now.

    Nor does it hold arrays that weights began with, such as the table of an embedding.
    """
    if isinstance(config, dict):
        if config.get("class_name") == "Constant" and not isinstance(
            config["config"].get("value"), (int, float)
        ):
            return {**config, "class_name": "Zeros", "config": {}}
        return {
            key: _without_build_config(value)
            for key, value in config.items()
            if key not in {"build_config", "build_input_shape"}
        }
    if isinstance(config, list):
        return [_without_build_config(value) for value in config]
    return config


def _build(model: Any, config: Any) -> Any:
    """Builds a model from its config; code in it comes from `model`, which runs already."""
    import keras
    from keras.src.saving.serialization_lib import SafeModeScope

    try:
        with keras.saving.custom_object_scope(_own(model)), SafeModeScope(safe_mode=False):
            made = type(model).from_config(config)
        if not made.built:
            made.build(model.input_shape)
    except Exception as error:  # whatever a layer's own code raises
        raise SourceError(_not_again(model.name, model, error)) from error
    return made


def _own(model: Any) -> dict[str, Any]:
    """Classes and functions that are not of Keras, by name: layers, what they hold, the loss."""
    import keras

    layers = [placed.layer for placed in layers_within(model)]
    held = [part for layer in layers for part in getattr(layer, "__dict__", {}).values()]
    compiled = getattr(getattr(model, "_compile_config", None), "config", {})
    found: dict[str, Any] = {}
    for part in (*layers, *held, *keras.tree.flatten(compiled)):
        own = part if inspect.isfunction(part) else type(part)
        if str(own.__module__).partition(".")[0] not in {"builtins", "keras"}:
            found.setdefault(own.__name__, own)
    return found


def _compile(model: Any, made: Any) -> None:
    """Compiles `made` as `model` is."""
    import keras

    try:
        with keras.saving.custom_object_scope(_own(model)):
            made.compile_from_config(model.get_compile_config())
    except Exception as error:  # whatever a loss or an optimizer of one's own raises
        message = (
            f"{model.name}: cannot be compiled again as it was ({first_line(error)}); register its "
            "loss, metrics and optimizer, or save the model without them"
        )
        raise SourceError(message) from error


def _assign(model: Any, made: Any, graph: ChannelGraph, removed: Mask) -> None:
    weights = {weight.path: weight for weight in graph.weights}
    paths = {id(variable): path for path, variable in variables_by_path(model).items()}
    done: set[int] = set()
    twins: dict[int, int] = {}
    for old, new in _pairs(model, made):
        _assets(old, new)
        for before, after in zip(old.variables, new.variables, strict=True):
            if twins.setdefault(id(before), id(after)) != id(after):
                raise SourceError(_in_two_places(model, before))
            if id(after) in done:
                continue
            done.add(id(after))
            weight, stored = weights.get(paths.get(id(before), "")), np.asarray(before)
            after.assign(stored if weight is None else stored[np.ix_(*weight.kept(removed))])
        if hasattr(new, "finalize_state"):
            new.finalize_state()


def _in_two_places(model: Any, variable: Any) -> str:
    """What to say where the new model has two variables for one."""
    places: dict[int, list[str]] = {}
    for placed in layers_within(model):
        if any(variable is each for each in getattr(placed.layer, "variables", ())):
            places.setdefault(id(placed.layer), []).append(placed.path)
    paths = max(places.values(), key=len, default=[variable.path])
    return (
        f"{model.name}: {' and '.join(paths)} are one layer in two places, one of them inside "
        "another layer or model, and Keras can neither copy nor save them so; call the outer one "
        "twice, or give each place a layer of its own"
    )


def _pairs(model: Any, made: Any) -> list[tuple[Any, Any]]:
    """Returns the layers of both models that correspond, by their names, within models too."""
    old, new = (getattr(each, "_functional", None) or each for each in (model, made))
    twins = {layer.name: layer for layer in new.operations}
    found = []
    for layer in old.operations:
        twin = twins[layer.name]
        if hasattr(layer, "_nodes_by_depth") or hasattr(layer, "_functional"):
            found.extend(_pairs(layer, twin))
        elif getattr(layer, "variables", None) is not None:
            found.append((layer, twin))
    return found


def _assets(old: Any, new: Any) -> None:
    """Carries over what a layer keeps beside its variables: vocabularies."""
    import keras

    own = getattr(type(old), "save_assets", None)
    if own is None or own is getattr(keras.Layer, "save_assets", None):
        return
    with tempfile.TemporaryDirectory() as folder:
        old.save_assets(folder)
        new.load_assets(folder)
