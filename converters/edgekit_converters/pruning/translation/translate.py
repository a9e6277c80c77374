"""A Keras 2 model as a Keras 3 model that computes the same, which is checked."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from edgekit.errors import SourceError
from edgekit.quote import first_line
from edgekit_converters.pruning.keras2.layers import is_model, is_own, tf_keras, walk
from edgekit_converters.pruning.translation.check import check_same
from edgekit_converters.pruning.translation.compile import translated_compile
from edgekit_converters.pruning.translation.config import translated_layer
from edgekit_converters.pruning.translation.function import translated_function


def to_keras3(model: Any, *, name: str = "model", note: Callable[[str], None] | None = None) -> Any:
    """The functional or sequential tf_keras `model`, rebuilt of Keras 3 layers, with its weights.

    Layers keep their names. It is compiled like `model` where Keras 3 knows optimizer, loss and
    metrics by their names, and is not compiled otherwise. Batch normalisations that are called with
    ``training=False`` stay as they are in training: they are not trainable.

    Args:
        model: of tf_keras.
        name: what messages call it.
        note: is told what could not be carried over, a line each.

    Raises:
        SourceError: a layer has no counterpart (the message names it), or the two models give
            different outputs for random inputs: more than 1e-5 of the largest apart.
    """
    subclassed = not (isinstance(model, tf_keras().Sequential) or model._is_graph_network)
    if subclassed:
        message = (
            f"{name}: a subclassed Keras 2 model ({type(model).__name__}) cannot be "
            "translated to Keras 3; build it as a functional model"
        )
        raise SourceError(message)
    translation = _Translation(name)
    made = translation.model(model)
    notes = translation.hold_still()
    check_same(model, made, name)
    for text in (*notes, *translated_compile(model, made)):
        if note is not None:
            note(text)
    return made


class _Translation:
    """Keras 3 layers for those of Keras 2, each made once: what is shared stays shared."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._made: dict[int, Any] = {}
        self._still: dict[int, Any] = {}
        """By identity: layers of Keras 2 that normalise as at inference even in training."""

    def hold_still(self) -> tuple[str, ...]:
        """Let what was called with ``training=False`` not learn; says so.

        The argument itself would be no use: a Keras 3 model hands its own `training` to all of its
        layers, those that were called with another one too (3.15).
        """
        for key in self._still:
            self._made[key].trainable = False
        if not self._still:
            return ()
        names = [str(layer.name) for layer in self._still.values()]
        more = f" and {len(names) - 3} more" if len(names) > 3 else ""
        return (
            f"called with training=False, so not trained: {', '.join(names[:3])}{more}: with "
            "Keras 3 their scale and offset stay too",
        )

    def model(self, model: Any) -> Any:
        """The Keras 3 model for the Keras 2 `model`."""
        import keras

        sequential = isinstance(model, tf_keras().Sequential)
        if sequential and all(len(layer._inbound_nodes) == 1 for layer in model.layers):
            made = self._sequential(model)
        else:
            tensors = self._replayed(model)
            tree = keras.tree
            inputs, outputs = (
                tree.map_structure(lambda tensor: tensors[id(tensor)], structure)
                for structure in (model._nested_inputs, model._nested_outputs)
            )
            made = keras.Model(inputs, outputs, name=model.name)
        made.trainable = True
        for old, new in self._pairs(model):
            self._copy(old, new)
        return made

    def _sequential(self, model: Any) -> Any:
        import keras

        tensor = model.inputs[0]
        made = keras.Sequential(name=model.name)
        made.add(_input(tensor))
        for layer in model.layers:
            made.add(self._layer(layer))
        return made

    def _replayed(self, model: Any) -> dict[int, Any]:
        """Keras 3 tensors by the identity of those of Keras 2, which the graph of `model` makes."""
        import keras

        tensors: dict[int, Any] = {}
        for depth in sorted(model._nodes_by_depth, reverse=True):
            for node in model._nodes_by_depth[depth]:
                outputs = keras.tree.flatten(node.outputs)
                if node.is_input:
                    tensors[id(outputs[0])] = _input(outputs[0])
                    continue
                args, kwargs = keras.tree.map_structure(
                    lambda part: tensors.get(id(part), part), (node.call_args, node.call_kwargs)
                )
                if type(node.layer).__name__ in ("TFOpLambda", "SlicingOpLambda"):
                    result = self._function(node.layer, args, kwargs)
                    tensors[id(outputs[0])] = result
                    continue
                layer = self._layer(node.layer)
                if kwargs.get("training") in (False, 0):
                    self._still |= {id(one): one for one in _normalisations(node.layer)}
                kwargs = {
                    name: value
                    for name, value in kwargs.items()
                    if value is not None and name not in ("training", "mask")
                }
                try:
                    result = layer(*args, **kwargs)
                except Exception as error:  # whatever Keras 3 finds wrong
                    raise SourceError(self._refusal(node.layer, first_line(error))) from error
                for old, new in zip(outputs, keras.tree.flatten(result), strict=True):
                    tensors[id(old)] = new
        return tensors

    def _function(self, layer: Any, args: Any, kwargs: dict[str, Any]) -> Any:
        try:
            return translated_function(layer, args, kwargs)
        except ValueError as error:
            raise SourceError(self._refusal(layer, str(error))) from error

    def _layer(self, layer: Any) -> Any:
        if id(layer) not in self._made:
            self._made[id(layer)] = self._translated(layer)
        return self._made[id(layer)]

    def _translated(self, layer: Any) -> Any:
        if is_model(layer):
            return self.model(layer)
        if not is_own(layer):
            message = self._refusal(layer, "it is a class of its own, which only Keras 2 runs")
            raise SourceError(message)
        try:
            return translated_layer(layer)
        except Exception as error:  # whatever Keras 3 says to the configuration
            raise SourceError(self._refusal(layer, first_line(error))) from error

    def _pairs(self, model: Any) -> list[tuple[Any, Any]]:
        layers = [layer for layer in walk(model) if id(layer) in self._made]
        return [(layer, self._made[id(layer)]) for layer in layers]

    def _copy(self, old: Any, new: Any) -> None:
        shapes = [[tuple(v.shape) for v in layer.weights] for layer in (old, new)]
        if shapes[0] != shapes[1]:
            message = self._refusal(old, f"weights of shapes {shapes[0]} became {shapes[1]}")
            raise SourceError(message)
        new.set_weights(old.get_weights())
        if hasattr(new, "finalize_state"):
            new.finalize_state()  # what Normalization computes from its weights
        new.trainable = old.trainable

    def _refusal(self, layer: Any, reason: str) -> str:
        return (
            f"{self._name}: layer {layer.name!r} ({type(layer).__name__}) cannot be translated to "
            f"Keras 3: {reason}; prune with --method unstructured, which needs no translation"
        )


def _normalisations(layer: Any) -> list[Any]:
    """`layer`, or the layers in a nested model, where they are or hold batch normalisations."""
    return [
        one
        for one in (walk(layer) if is_model(layer) else [layer])
        if any(type(part).__name__ == "BatchNormalization" for part in one._flatten_layers())
    ]


def _input(tensor: Any) -> Any:
    import keras

    layer = tensor._keras_history.layer
    shape = tuple(None if size is None else int(size) for size in tensor.shape)
    return keras.Input(batch_shape=shape, dtype=tensor.dtype.name, name=layer.name)
