"""Follow channels through the calls of a functional or sequential model, and of those within it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from edgekit_converters.pruning.functional_graph import nodes
from edgekit_converters.pruning.rules.table import rule, visit
from edgekit_converters.pruning.trace.call import Call
from edgekit_converters.pruning.trace.values import Value


@rule("Functional", "Sequential")
def model(call: Call) -> list[Value]:
    """A model within a model: its calls, with what goes into it here."""
    graph = getattr(call.layer, "_functional", None) or call.layer
    given = call.argument("inputs", 0)
    if isinstance(given, dict) and not isinstance(graph._inputs_struct, dict):
        call = replace(call, inputs=[given[each.name] for each in graph.inputs])
    if len(call.inputs) != len(graph.inputs):
        return call.barrier("it takes optional inputs, or not all of what it is given")
    if any(
        value.rank != len(inner.shape)
        for value, inner in zip(call.inputs, graph.inputs, strict=True)
    ):
        return call.barrier("it is called with another number of dimensions than it was built with")
    _read(call, graph)
    return follow(call, graph)


def _read(call: Call, graph: Any) -> None:
    """What goes in changes the shapes that the inner model's config tells of its inputs.

    It has one such shape, wherever it is called: the inputs of all calls are cut alike.
    """
    told = {layer.name for layer in call.layer._layers}
    for at, (value, inner) in enumerate(zip(call.inputs, graph.inputs, strict=True)):
        name = inner._keras_history.operation.name
        if call.is_skipped or id(inner._keras_history.operation) in call.record.skipped:
            call.keep([value])
        for axis in range(1, value.rank):
            if inner.shape[axis] is None or name not in told:
                continue
            numbers, known = value.numbers(axis), (id(call.layer), at, axis)
            call.join(call.record.model_inputs.setdefault(known, numbers), numbers)
            if numbers.any():
                call.config("layers", name, "config", "batch_shape", axis, numbers=numbers)


def follow(call: Call, graph: Any) -> list[Value]:
    """Returns the outputs of a graph of calls, given the inputs of `call`."""
    values = {id(inner): value for value, inner in zip(call.inputs, graph.inputs, strict=True)}
    same = all(
        value.shape == tuple(inner.shape)
        for value, inner in zip(call.inputs, graph.inputs, strict=True)
    )
    for node in nodes(graph):
        if any(id(given) not in values for given in node.input_tensors):
            continue
        args, kwargs = node.arguments.fill_in(values)
        inputs = _unmasked([values[id(given)] for given in node.input_tensors], args, kwargs)
        shapes = [tuple(made.shape) for made in node.outputs]
        if not same:
            shapes = _shapes(node.operation, args, kwargs)
        name = node.operation.name
        inside = call.inner(
            node.operation,
            ("layers", name, "config"),
            name=f"{call.name}/{name}" if call.name else name,
            inputs=inputs,
            outputs=shapes,
            args=args,
            kwargs=kwargs,
        )
        for made, value in zip(node.outputs, visit(inside), strict=True):
            values[id(made)] = value
    return [values[id(made)] for made in graph.outputs]


def _unmasked(inputs: list[Value], args: Any, kwargs: Any) -> list[Value]:
    """Returns the inputs without masks, which say what to leave out and carry no channels."""
    import keras

    masks = [each for each in keras.tree.flatten(kwargs.get("mask")) if isinstance(each, Value)]
    given = [each for each in keras.tree.flatten(args) if isinstance(each, Value)]
    hidden = {id(each) for each in masks if not each.labelled} - {id(each) for each in given}
    return [each for each in inputs if id(each) not in hidden]


def _shapes(operation: Any, args: Any, kwargs: Any) -> list[tuple[int | None, ...]]:
    """Shapes of what an operation returns for inputs other than those it was built with."""
    import keras

    def symbol(leaf: Any) -> Any:
        return keras.KerasTensor(leaf.shape, leaf.dtype) if isinstance(leaf, Value) else leaf

    args, kwargs = keras.tree.map_structure(symbol, (args, kwargs))
    found = operation.compute_output_spec(*args, **kwargs)
    return [tuple(spec.shape) for spec in keras.tree.flatten(found)]
