"""Build a functional Keras 3 model anew, call by call."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from edgekit.errors import SourceError
from edgekit.quote import first_line
from edgekit_converters.keras_precision import compute_in_float32
from edgekit_converters.pruning.functional_graph import keras, nodes

Visit = Callable[[Any, tuple[Any, ...], dict[str, Any]], Any]
"""What to do with one node: given its new arguments, the new outputs."""

PRODUCTS = frozenset(
    {"Conv1D", "Conv1DTranspose", "Conv2D", "Conv2DTranspose", "Dense", "DepthwiseConv1D"}
    | {"DepthwiseConv2D"}
)
"""Layers whose kernels become integers, a scale for each output channel."""


def new_inputs(model: Any) -> Any:
    """Fresh inputs like those of `model`, in its structure and with its names."""
    return keras().tree.map_structure(
        lambda tensor: keras().Input(
            batch_shape=tensor.shape, dtype=tensor.dtype, name=maker(tensor).name
        ),
        model._inputs_struct,
    )


def maker(tensor: Any) -> Any:
    """The layer or operation that gives the symbolic `tensor`."""
    return tensor._keras_history.operation


def key_of(tensor: Any) -> str:
    """A name for `tensor`: of its layer, with ``#n`` where that is called several times."""
    history = tensor._keras_history
    name = str(history.operation.name)
    return name if history.node_index == 0 else f"{name}#{history.node_index}"


def replay(model: Any, given: Any, visit: Visit) -> Any:
    """Go through the functional `model` with `given` for its inputs; returns what it gives.

    Args:
        model: a functional model.
        given: one tensor for each input, in any structure.
        visit: called for each node, inputs left out, in the order of execution.
    """
    tree = keras().tree
    known = {id(old): new for old, new in zip(model.inputs, tree.flatten(given), strict=True)}
    for node in nodes(model):
        args, kwargs = node.arguments.fill_in(known)
        made = visit(node, args, kwargs)
        for old, new in zip(node.outputs, tree.flatten(made), strict=True):
            known[id(old)] = new
    return tree.pack_sequence_as(
        model._outputs_struct,
        [known[id(tensor)] for tensor in model.outputs],
    )


@dataclass(slots=True)
class Readers:
    """Who reads each tensor of a functional model."""

    model: Any
    nodes_of: dict[int, list[Any]] = field(init=False)
    outputs: set[int] = field(init=False)

    def __post_init__(self) -> None:
        self.nodes_of = defaultdict(list)
        for node in nodes(self.model):
            for tensor in node.input_tensors:
                self.nodes_of[id(tensor)].append(node)
        self.outputs = {id(tensor) for tensor in self.model.outputs}

    def only_reader(self, tensor: Any) -> Any:
        """The one node that reads `tensor`; None where there are more, or the caller does."""
        found = self.nodes_of.get(id(tensor), [])
        return found[0] if len(found) == 1 and id(tensor) not in self.outputs else None


def calls(model: Any) -> dict[int, int]:
    """How often each operation of a functional model is called, by its id."""
    count: dict[int, int] = defaultdict(int)
    for node in nodes(model):
        count[id(node.operation)] += 1
    return count


def copied(operation: Any, name: str | None = None, **changes: Any) -> Any:
    """A new operation like `operation`, without its weights; it computes in float32.

    In 16 bits, as under a policy of mixed precision, scales of int8 would round to nothing.

    Args:
        operation: a layer, or an operation such as that of ``x + y``.
        name: of the copy; that of `operation` where it is not given.
        changes: settings that are to differ.

    Raises:
        SourceError: it cannot be made again from its configuration.
    """
    kind = type(operation)
    try:
        if kind.__name__ == "Lambda":
            made = _copied_lambda(operation, name)
        else:
            settings = {**operation.get_config(), **changes}
            settings.pop("build_config", None)
            if name is not None and "name" in settings:
                settings["name"] = name
            made = kind.from_config(settings)
    except Exception as error:
        message = (
            f"layer {operation.name!r} ({kind.__name__}): cannot be made again from its "
            f"configuration ({first_line(error)}); give its class a get_config and from_config"
        )
        raise SourceError(message) from error
    if hasattr(made, "trainable"):
        made.trainable = operation.trainable
    compute_in_float32(made.name, made)
    return made


def _copied_lambda(layer: Any, name: str | None) -> Any:
    return type(layer)(
        layer.function,
        output_shape=layer._output_shape,
        mask=layer.mask,
        arguments=layer.arguments,
        name=name or layer.name,
    )


def copy_weights(old: Any, new: Any) -> None:
    """Give the built layer `new` the weights of `old`; what `new` has beyond them is left."""
    if not hasattr(old, "get_weights"):
        return
    for variable, values in zip(new.weights, old.get_weights(), strict=False):
        variable.assign(values)
    if hasattr(new, "finalize_state") and new.weights:  # of a Normalization
        new.finalize_state()


def free_name(wanted: str, taken: set[str]) -> str:
    """`wanted`, or that with a number; it is put among `taken`."""
    name, number = wanted, 1
    while name in taken:
        number += 1
        name = f"{wanted}_{number}"
    taken.add(name)
    return name
