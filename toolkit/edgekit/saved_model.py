"""Facts of a TensorFlow SavedModel folder, read from its protocol buffers without TensorFlow."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from edgekit import protobuf
from edgekit.errors import SourceError
from edgekit.mapped_file import map_file
from edgekit.protobuf import BYTES, VARINT, Allowance, fields, signed, text
from edgekit.tensors import TensorSpec

if TYPE_CHECKING:
    from edgekit.keras_file import KerasFacts

# tensorflow/core/framework/types.proto
_DTYPES = {
    1: "float32",
    2: "float64",
    3: "int32",
    4: "uint8",
    5: "int16",
    6: "int8",
    7: "string",
    8: "complex64",
    9: "int64",
    10: "bool",
    14: "bfloat16",
    17: "uint16",
    18: "complex128",
    19: "float16",
    22: "uint32",
    23: "uint64",
}
_LONGEST_SHAPE = 64
_TRAINING = frozenset({"optimizer", "keras_api", "_optimizer", "metrics", "loss"})
"""Edges of the object graph that lead to training state, not to the model."""
_AGAIN = frozenset({"_all_variables"})
"""Edges by which `model.export` of Keras 3 saves each variable a second time."""
_RUNS_PYTHON = frozenset({"PyFunc", "PyFuncStateless", "EagerPyFunc"})


def read(path: Path) -> KerasFacts:
    """Read the facts of the SavedModel in folder `path`.

    Inputs and outputs are those of the signature ``serving_default``, or of the only one.

    Raises:
        SourceError: ``saved_model.pb`` is missing, unreadable or damaged.
    """
    from edgekit.keras_file import KerasFacts

    file_path = path / "saved_model.pb"
    try:
        found = _read_graph(map_file(file_path))
    except protobuf.WireError as error:
        message = f"{path}: saved_model.pb is damaged ({error}); save or copy the model again"
        raise SourceError(message) from None
    if found is None:
        message = f"{path}: saved_model.pb holds no graph; save the model again"
        raise SourceError(message)
    graph, notes = found
    _read_keras(path / "keras_metadata.pb", graph)
    if not (path / "variables").is_dir() and graph.parameters:
        notes = (*notes, "the folder 'variables' is missing: the weights are not here")
    return KerasFacts(
        kind="savedmodel",
        keras_version=graph.keras_version,
        class_name=graph.class_name,
        inputs=graph.inputs,
        outputs=graph.outputs,
        layer_counts={},
        operator_counts=dict(graph.operators.most_common()),
        parameters=graph.parameters,
        notes=notes,
    )


@dataclass(slots=True)
class _Found:
    """What is collected on the way through the messages."""

    keras_version: str | None = None
    tensorflow_version: str | None = None
    class_name: str | None = None
    inputs: tuple[TensorSpec, ...] = ()
    outputs: tuple[TensorSpec, ...] = ()
    operators: Counter[str] = field(default_factory=Counter)
    parameters: int | None = None


def _messages(data: memoryview, number: int) -> Iterator[memoryview]:
    """The sub-messages (or strings) in field `number`."""
    allowance = Allowance()
    for found, wire_type, _, content in fields(data):
        if found == number and wire_type == BYTES:
            allowance.spend()
            yield content


def _first_text(data: memoryview, number: int) -> str | None:
    return next((text(content) for content in _messages(data, number)), None)


def _numbers(data: memoryview) -> dict[int, int]:
    """The last value of each varint field, as protocol buffers define it."""
    return {number: value for number, wire_type, value, _ in fields(data) if wire_type == VARINT}


def _read_graph(data: memoryview) -> tuple[_Found, tuple[str, ...]] | None:
    """SavedModel: the meta graphs; the one tagged ``serve``, or else the first, is looked at."""
    graphs = list(_messages(data, 2))
    if not graphs:
        return None
    tags = [_tags(graph) for graph in graphs]
    chosen = next((at for at, tag in enumerate(tags) if "serve" in tag), 0)
    found = _Found()
    notes: list[str] = []
    signatures: dict[str, memoryview] = {}
    for number, wire_type, _, content in fields(graphs[chosen]):
        if wire_type != BYTES:
            continue
        if number == 1:
            found.tensorflow_version = _first_text(content, 5)
        elif number == 2:
            _count_operators(content, found.operators)
        elif number == 5:
            name, signature = _entry(content)
            signatures[name] = signature
        elif number == 7:
            _read_objects(content, found)
    public = {name: it for name, it in signatures.items() if not name.startswith("__saved_model")}
    if "serving_default" in public or len(public) == 1:
        name = "serving_default" if "serving_default" in public else next(iter(public))
        found.inputs = _specs(public[name], 1)
        found.outputs = _specs(public[name], 2)
    elif public:
        notes.append(f"no signature serving_default; there are: {', '.join(sorted(public))}")
    else:
        notes.append("no signatures: inputs and outputs are not known before it is loaded")
    python = sorted(_RUNS_PYTHON & set(found.operators))
    if python:
        notes.append(f"calls Python code of the machine that made it ({', '.join(python)})")
    return found, tuple(notes)


def _tags(meta_graph: memoryview) -> set[str]:
    return {text(tag) for info in _messages(meta_graph, 1) for tag in _messages(info, 4)}


def _entry(data: memoryview) -> tuple[str, memoryview]:
    """One entry of a map from string to message."""
    key, value = "", data[:0]
    for number, wire_type, _, content in fields(data):
        if wire_type == BYTES and number == 1:
            key = text(content)
        elif wire_type == BYTES and number == 2:
            value = content
    return key, value


def _count_operators(graph: memoryview, operators: Counter[str]) -> None:
    """Operations of the graph and of all functions in its library."""
    allowance = Allowance()
    for number, wire_type, _, content in fields(graph):
        if wire_type != BYTES:
            continue
        allowance.spend()
        if number == 1:
            operators[_first_text(content, 2) or ""] += 1
        elif number == 2:
            for function in _messages(content, 1):
                for node in _messages(function, 3):
                    allowance.spend()
                    operators[_first_text(node, 2) or ""] += 1


def _specs(signature: memoryview, number: int) -> tuple[TensorSpec, ...]:
    found = []
    for content in _messages(signature, number):
        name, info = _entry(content)
        dtype = _DTYPES.get(_numbers(info).get(2, 0), "unknown")
        shape = next((_shape(it) for it in _messages(info, 3)), ())
        if shape is None:
            return ()
        found.append(TensorSpec(name=name, shape=shape, dtype=dtype))
    return tuple(sorted(found, key=lambda spec: spec.name))


def _shape(data: memoryview) -> tuple[int | None, ...] | None:
    """The dimensions; None when not even their number is known."""
    if _numbers(data).get(3):
        return None
    sizes = [signed(_numbers(dimension).get(1, 0)) for dimension in _messages(data, 2)]
    if len(sizes) > _LONGEST_SHAPE:
        message = f"a shape of {len(sizes)} dimensions"
        raise protobuf.WireError(message)
    return tuple(size if size >= 0 else None for size in sizes)


def _read_objects(data: memoryview, found: _Found) -> None:
    """The object graph: the variables that belong to the model."""
    nodes = list(_messages(data, 1))
    seen = {0}
    pending = [0] if nodes else []
    total = 0
    while pending:
        at = pending.pop()
        for number, wire_type, _, content in fields(nodes[at]):
            if wire_type != BYTES:
                continue
            if number == 1:
                target = _numbers(content).get(1, 0)
                edge = _first_text(content, 2)
                if (
                    edge not in _TRAINING | _AGAIN
                    and 0 < target < len(nodes)
                    and target not in seen
                ):
                    seen.add(target)
                    pending.append(target)
            elif number == 7 and "seed_generator" not in (_first_text(content, 6) or ""):
                shape = next((_shape(it) for it in _messages(content, 2)), ())
                total += math.prod(size or 0 for size in shape or ())
    found.parameters = total


def _read_keras(path: Path, found: _Found) -> None:
    """What Keras 2 writes about itself beside the graph; Keras 3 writes nothing."""
    if not path.is_file():
        return
    try:
        for node in _messages(map_file(path), 1):
            if _first_text(node, 3) == "root":
                told = json.loads(_first_text(node, 5) or "{}")
                name, version = told.get("class_name"), told.get("keras_version")
                found.class_name = name if isinstance(name, str) else None
                found.keras_version = version if isinstance(version, str) else None
    except (ValueError, RecursionError, AttributeError) as error:
        message = f"{path}: damaged ({error}); save or copy the model again"
        raise SourceError(message) from None
