"""Find the channels of a Keras 3 model: which of its numbers go together, and which must stay."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from edgekit.errors import SourceError
from edgekit_converters.pruning.channels.graph import (
    ChannelGraph,
    Group,
    Left,
    Numbers,
    Weight,
    variables_by_path,
)
from edgekit_converters.pruning.functional_graph import functional
from edgekit_converters.pruning.rules.table import load_rules
from edgekit_converters.pruning.skipped_names import layers_within, skipped_layers
from edgekit_converters.pruning.trace.call import Call, Made, Record
from edgekit_converters.pruning.trace.model import follow
from edgekit_converters.pruning.trace.values import FIXED, Value

_OTHERWISE = ", or prune with --method unstructured"


def trace(model: Any, skip: Sequence[str] = ()) -> ChannelGraph:
    """Finds what can be cut out of `model`.

    Args:
        model: a built Keras 3 model, functional or sequential.
        skip: layers that keep all channels that they make and give out, by name, path or type
            ("conv1", "backbone/conv1", "Dense"); with a model or a wrapper all that is inside it,
            and a model also keeps those that it takes.

    Raises:
        SourceError: the model is subclassed, not built, or not of Keras 3.
        UsageError: nothing in the model has a name of `skip`.
    """
    graph = _graph_of(model)
    load_rules()
    paths = variables_by_path(model)
    record = Record(
        paths={id(variable): path for path, variable in paths.items()},
        skipped=skipped_layers(model, skip),
    )
    inputs = [Value.plain(each.shape, each.dtype) for each in graph.inputs]
    call = Call(record=record, layer=model, name="", keys=(), inputs=inputs, outputs=[])
    for made, value in zip(graph.outputs, follow(call, graph), strict=True):
        for axis in value.labelled:
            name = made._keras_history.operation.name
            reason = f"{name!r} is an output of the model"
            record.joins.fix(value.numbers(axis), reason, foremost=True)
    record.settle()
    _rest(model, record)
    return _resolved(record)


def _graph_of(model: Any) -> Any:
    """The graph of calls of a model that can be made again from its configuration."""
    graph = functional(model, otherwise=_OTHERWISE)
    own = type(model).__module__.partition(".")[0] != "keras"
    if own and "layers" not in model.get_config():
        message = (
            f"model {model.name!r}: its class {type(model).__name__} has a configuration without "
            f"its layers; build it as keras.Model(inputs, outputs){_OTHERWISE}"
        )
        raise SourceError(message)
    return graph


def _rest(model: Any, record: Record) -> None:
    """Adds the variables that no rule spoke of: they stay as they are."""
    owner = {}
    for placed in layers_within(model):
        of_it = getattr(placed.layer, "variables", ())
        owner.update({id(variable): placed.path for variable in of_it})
    for variable in model.weights:
        if id(variable) not in record.weights:
            record.weights[id(variable)] = Weight(
                path=record.paths[id(variable)],
                shape=tuple(variable.shape),
                axes=(None,) * len(variable.shape),
                layer=owner.get(id(variable), ""),
                role="other",
                trainable=bool(variable.trainable),
            )


def _resolved(record: Record) -> ChannelGraph:
    roots, reasons = record.joins.resolve()
    made_by = list(record.made.values())
    makers: dict[int, list[int]] = {}
    for place, made in enumerate(made_by):
        for number in np.unique(roots[made.numbers]).tolist():
            if number not in reasons:
                makers.setdefault(number, []).append(place)
    alike: dict[tuple[int, ...], list[int]] = {}
    for number in sorted(makers):
        alike.setdefault(tuple(makers[number]), []).append(number)
    final = np.full(len(roots), -1, np.intp)
    groups: list[Group] = []
    count = 0
    for places, members in alike.items():
        if len(members) == 1:
            reasons[members[0]] = "all that it makes can only go together"
            continue
        channels = np.arange(count, count + len(members))
        final[members] = channels
        count += len(members)
        layers = tuple(dict.fromkeys(made_by[place].layer for place in places))
        kind = made_by[places[0]].kind
        name = _name(layers[0], kind, {group.name for group in groups})
        groups.append(Group(name=name, layers=layers, kind=kind, channels=channels))
    final = final[roots]

    def renumbered(numbers: Numbers | None) -> Numbers | None:
        if numbers is None:
            return None
        found: Numbers = final[numbers]
        return found if (found >= 0).any() else None

    return ChannelGraph(
        groups=tuple(groups),
        weights=tuple(
            replace(weight, axes=tuple(renumbered(numbers) for numbers in weight.axes))
            for weight in record.weights.values()
        ),
        left=_left(record, roots, reasons),
        uncounted=tuple(record.uncounted),
        channel_count=count,
        work=tuple(
            replace(work, axes=tuple(final[numbers] for numbers in work.axes))
            for work in record.work
        ),
        edits=tuple(
            replace(edit, numbers=final[edit.numbers])
            for edit in record.edits.values()
            if (final[edit.numbers] >= 0).any()
        ),
    )


def _name(layer: str, kind: str, taken: set[str]) -> str:
    """Names a group for its first layer; a layer that begins several tells them apart."""
    name, count = layer, 1
    while name in taken:
        name, count = f"{layer}:{kind}" if count == 1 else f"{layer}:{kind}#{count}", count + 1
    return name


def _left(record: Record, roots: Numbers, reasons: dict[int, str]) -> tuple[Left, ...]:
    found = [Left(layer=name, reason=reason) for name, reason in record.barriers.items()]
    for made in record.made.values():
        reason = _why(made, roots, reasons)
        left = Left(layer=made.layer, reason=reason)
        if reason and left not in found:
            found.append(left)
    return tuple(found)


def _why(made: Made, roots: Numbers, reasons: dict[int, str]) -> str:
    """Why channels of a layer stay; "" if none has to."""
    numbers = roots[made.numbers].tolist()
    fixed = [number for number in numbers if number in reasons or number == FIXED]
    if not fixed:
        return ""
    reason = reasons.get(fixed[0], "it stays")
    return reason if len(fixed) == len(numbers) else f"{len(fixed)} of {len(numbers)}: {reason}"
