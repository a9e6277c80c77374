"""Read the structure of an `.onnx` file without the onnx or protobuf packages.

The field numbers are those of ``onnx.proto``. The file is mapped, not loaded: weights are views.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from pathlib import Path

from edgekit.errors import SourceError
from edgekit.graph import Attribute, Graph, Operator, Tensor
from edgekit.mapped_file import map_file
from edgekit.onnx_messages import (
    read_attribute,
    read_pair,
    read_sparse_weight,
    read_value_info,
    read_weight,
)
from edgekit.protobuf import BYTES, VARINT, Allowance, WireError, fields, signed, text
from edgekit.tensors import TensorSpec

_STANDARD_DOMAINS = frozenset({"", "ai.onnx", "ai.onnx.ml", "com.microsoft"})
_NOT_ONNX = "no model with a graph"
_DEEPEST = 16
_LOOPS = frozenset({"Loop", "Scan"})


@dataclass(slots=True)
class _Scope:
    """The names one graph defines, on top of those of the graph around it."""

    number: int
    around: _Scope | None
    depth: int
    own: dict[str, str] = field(default_factory=dict)

    def define(self, name: str) -> str:
        key = self.own.get(name)
        if key is None:
            key = self.own[name] = name if self.number == 0 else f"{self.number}:{name}"
        return key

    def find(self, name: str) -> str | None:
        scope: _Scope | None = self
        while scope is not None:
            if name in scope.own:
                return scope.own[name]
            scope = scope.around
        return None


def read(path: str | os.PathLike[str]) -> Graph:
    """Read the `.onnx` file at `path`, and map the files beside it that hold its weights.

    Tensors of the main graph have their own names as keys; of subgraphs, ``<number>:<name>``.

    Raises:
        SourceError: missing, unreadable, not ONNX, truncated or damaged; weights that should lie
            beside it do not.
    """
    path = Path(path)
    data = map_file(path)
    try:
        return _Reader(path, data).graph()
    except WireError as error:
        message = f"{path}: not an ONNX file, or truncated or damaged ({error}); export it again"
        raise SourceError(message) from None


class _Reader:
    """Goes through one file, from the root down."""

    def __init__(self, path: Path, data: memoryview) -> None:
        self._path = path
        self._data = data
        self._tensors: dict[str, Tensor] = {}
        self._operators: list[Operator] = []
        self._opsets: dict[str, int] = {}
        self._functions: dict[tuple[str, str], int] = {}
        self._subgraphs = 0
        self._allowance = Allowance()
        self._inputs: list[tuple[str, Tensor]] = []
        self._outputs: list[tuple[str, Tensor]] = []
        self._results: dict[int, tuple[str, ...]] = {}

    def graph(self) -> Graph:
        found: dict[int, memoryview] = {}
        numbers: dict[int, int] = {}
        metadata: dict[str, bytes] = {}
        functions: list[memoryview] = []
        for number, wire_type, value, content in fields(self._data):
            self._allowance.spend()
            if wire_type == VARINT:
                numbers[number] = value
            elif wire_type != BYTES:
                raise WireError(_NOT_ONNX)
            elif number == 8:
                self._opset(content)
            elif number == 14:
                name, stored = read_pair(content)
                metadata[name] = bytes(stored)
            elif number == 25:
                functions.append(content)
            else:
                found[number] = content
        if 7 not in found or 1 not in numbers:
            raise WireError(_NOT_ONNX)
        self._read_functions(functions)
        self._read_graph(found[7], _Scope(0, None, 0))
        versions = {"ir": str(signed(numbers[1]))}
        producer = " ".join(text(found[at]) for at in (2, 3) if at in found)
        if producer:
            versions["producer"] = producer
        for domain, version in sorted(self._opsets.items()):
            versions[f"opset {domain or 'ai.onnx'}"] = str(version)
        return Graph(
            format="onnx",
            inputs=tuple(_spec(name, tensor) for name, tensor in self._inputs),
            outputs=tuple(_spec(name, tensor) for name, tensor in self._outputs),
            operators=tuple(self._operators),
            tensors=self._tensors,
            metadata=metadata,
            versions=versions,
            description=text(found[6]) if 6 in found else "",
            results=self._results,
        )

    def _opset(self, data: memoryview) -> None:
        domain, version = "", 0
        for number, wire_type, value, content in fields(data):
            if number == 1 and wire_type == BYTES:
                domain = text(content)
            elif number == 2:
                version = signed(value)
        self._opsets["" if domain == "ai.onnx" else domain] = version

    def _read_functions(self, functions: list[memoryview]) -> None:
        """Functions that the model brings along: names first, since they may use each other."""
        numbered: list[tuple[int, memoryview]] = []
        for data in functions:
            found = {number: text(content) for number, _, _, content in fields(data) if number < 11}
            self._subgraphs += 1
            self._functions[found.get(10, ""), found.get(1, "")] = self._subgraphs
            numbered.append((self._subgraphs, data))
        for number, data in numbered:
            scope = _Scope(number, None, 1)
            for place, wire_type, _, content in fields(data):
                if place == 4 and wire_type == BYTES:
                    self._known(scope.define(text(content)))
            self._read_nodes([c for n, w, _, c in fields(data) if n == 7 and w == BYTES], scope)

    def _read_graph(self, data: memoryview, scope: _Scope) -> None:
        if scope.depth > _DEEPEST:
            message = f"graphs within graphs, more than {_DEEPEST} deep"
            raise WireError(message)
        nodes: list[memoryview] = []
        inputs: list[tuple[str, Tensor]] = []
        outputs: list[tuple[str, Tensor]] = []
        for number, wire_type, _, content in fields(data):
            self._allowance.spend()
            if wire_type != BYTES:
                continue
            if number == 1:
                nodes.append(content)
            elif number in {5, 15}:
                tensor = self._weight(content, is_sparse=number == 15)
                self._tensors[scope.define(tensor.name)] = tensor
            elif number in {11, 12, 13}:
                tensor = read_value_info(content)
                key = scope.define(tensor.name)
                if key not in self._tensors or self._tensors[key].constant is None:
                    self._tensors[key] = tensor
                if number != 13:
                    (inputs if number == 11 else outputs).append((key, tensor))
        self._read_nodes(nodes, scope)
        self._results[scope.number] = tuple(key for key, _ in outputs)
        if scope.number == 0:
            is_weight = {
                key for key, tensor in self._tensors.items() if tensor.constant is not None
            }
            self._inputs = [pair for pair in inputs if pair[0] not in is_weight]
            self._outputs = outputs

    def _known(self, key: str) -> None:
        if key not in self._tensors:
            self._tensors[key] = Tensor(name=key, shape=None, dtype="unknown")

    def _read_nodes(self, nodes: list[memoryview], scope: _Scope) -> None:
        for data in nodes:
            for number, wire_type, _, content in fields(data):
                if number == 2 and wire_type == BYTES and len(content):
                    self._known(scope.define(text(content)))
        for data in nodes:
            self._read_node(data, scope)

    def _read_node(self, data: memoryview, scope: _Scope) -> None:
        inputs: list[str | None] = []
        outputs: list[str | None] = []
        attributes: dict[str, Attribute] = {}
        graphs: list[memoryview] = []
        name, domain, label = "", "", ""
        constant: Tensor | None = None
        for number, wire_type, _, content in fields(data):
            self._allowance.spend()
            if wire_type != BYTES:
                continue
            if number == 1:
                inputs.append(self._input(text(content), scope))
            elif number == 2:
                outputs.append(scope.define(text(content)) if len(content) else None)
            elif number == 3:
                label = text(content)
            elif number == 4:
                name = text(content)
            elif number == 5:
                found = read_attribute(content)
                graphs += found.graphs
                if found.value is not None:
                    attributes[found.name] = found.value
                if found.tensor is not None and found.name == "value":
                    constant = self._weight(found.tensor)
            elif number == 7:
                domain = text(content)
        domain = "" if domain == "ai.onnx" else domain
        if name == "Constant" and constant is not None and outputs and outputs[0]:
            self._tensors[outputs[0]] = replace(constant, name=outputs[0])
        calls: list[int] = []
        place = len(self._operators)
        for graph in graphs:
            self._subgraphs += 1
            calls.append(self._subgraphs)
            self._read_graph(graph, _Scope(self._subgraphs, scope, scope.depth + 1))
        function = self._functions.get((domain, name))
        if function is not None:
            calls.append(function)
        self._operators.insert(
            place,
            Operator(
                name=name,
                label=label,
                version=self._opsets.get(domain, 1),
                domain=domain,
                inputs=tuple(inputs),
                outputs=tuple(outputs),
                is_custom=domain not in _STANDARD_DOMAINS and function is None,
                attributes=attributes,
                subgraph=scope.number,
                calls=tuple(calls),
                is_loop=name in _LOOPS and domain == "",
            ),
        )

    def _input(self, name: str, scope: _Scope) -> str | None:
        if not name:
            return None
        key = scope.find(name)
        if key is None:  # read by a node, made by none: a damaged graph, or a function's attribute
            key = scope.define(name)
            self._known(key)
        return key

    def _weight(self, data: memoryview, *, is_sparse: bool = False) -> Tensor:
        tensor, external = read_sparse_weight(data) if is_sparse else read_weight(data)
        return replace(tensor, constant=self._external(external)) if external else tensor

    def _external(self, entries: dict[str, str]) -> memoryview:
        """Bytes of a file beside the model; only inside its own folder, whatever it asks for."""
        location = entries.get("location", "")
        folder = self._path.resolve().parent
        try:
            file = (folder / location).resolve()
        except (OSError, ValueError, RuntimeError):
            file = folder
        if not location or not file.is_relative_to(folder) or file == folder:
            message = (
                f"{self._path}: wants weights from {location!r}, outside of its folder; refused"
            )
            raise SourceError(message)
        if not file.is_file():
            message = f"{self._path}: its weights are in {location!r}, not here; copy it beside"
            raise SourceError(message)
        content = map_file(file)
        try:
            offset = int(entries.get("offset", "0"))
            length = int(entries.get("length", str(len(content) - offset)))
        except ValueError:
            offset = length = -1
        if offset < 0 or length < 0 or length > len(content) - offset:
            message = f"{self._path}: {location!r} is shorter than it should be; copy it again"
            raise SourceError(message)
        return content[offset : offset + length]


def _spec(name: str, tensor: Tensor) -> TensorSpec:
    shape = tensor.shape if tensor.shape is not None else ()
    return TensorSpec(name=name, shape=shape, dtype=tensor.dtype)
