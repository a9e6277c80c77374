"""A Keras 2 model without models inside: quantization-aware training takes no others."""

from __future__ import annotations

from typing import Any

from edgekit_converters.pruning.keras2.layers import copy_of, is_model, tf_keras
from edgekit_converters.tensorflow_setup import tensorflow


def flattened(model: Any) -> Any:
    """A copy of `model` with the layers of nested models in their place.

    Layers keep their names. A model is given back as it is where nothing is nested, where a nested
    model is called more than once, and where two layers have one name.
    """
    source = copy_of(model)
    layers = _layers(source)
    names = [layer.name for layer in layers]
    once = all(_calls(inner) == 1 for inner in _nested(source))
    if not _nested(source) or not once or len(set(names)) < len(names):
        return model
    tensors = {id(tensor): tensor for tensor in source.inputs}
    _replay(source, tensors)
    outputs = tensorflow().nest.map_structure(
        lambda tensor: tensors[id(tensor)], source._nested_outputs
    )
    return copy_of(tf_keras().Model(source._nested_inputs, outputs, name=model.name))


def _replay(model: Any, tensors: dict[int, Any]) -> None:
    """Call the layers of `model` again, in order; `tensors` has its inputs, and gets the rest."""
    nest = tensorflow().nest
    for depth in sorted(model._nodes_by_depth, reverse=True):
        for node in model._nodes_by_depth[depth]:
            if node.is_input:
                continue
            args, kwargs = nest.map_structure(
                lambda part: tensors.get(id(part), part), (node.call_args, node.call_kwargs)
            )
            if is_model(node.layer):
                inner = node.layer
                given = nest.flatten(args)
                tensors.update({id(old): new for old, new in zip(inner.inputs, given, strict=True)})
                _replay(inner, tensors)
                made = [tensors[id(tensor)] for tensor in inner.outputs]
            else:
                made = nest.flatten(node.layer(*args, **kwargs))
            for old, new in zip(nest.flatten(node.outputs), made, strict=True):
                tensors[id(old)] = new


def _nested(model: Any) -> list[Any]:
    inside = [layer for layer in model.layers if is_model(layer)]
    return inside + [deeper for inner in inside for deeper in _nested(inner)]


def _layers(model: Any) -> list[Any]:
    """All layers but models and the inputs of nested models."""
    found = []
    for layer in model.layers:
        if is_model(layer):
            found += [la for la in _layers(layer) if type(la).__name__ != "InputLayer"]
        else:
            found.append(layer)
    return found


def _calls(model: Any) -> int:
    """How often a nested model is called: its own building is one call of a functional model."""
    own = {id(tensor) for tensor in model.outputs}
    return sum(
        not own & {id(t) for t in tensorflow().nest.flatten(node.outputs)}
        for node in model._inbound_nodes
    )
