"""Small edits of ONNX graphs, and who makes and reads each tensor."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from edgekit._lazy import need


def graphs(graph: Any) -> Iterator[Any]:
    """`graph` and every graph inside it (bodies of loops and conditions), outermost first."""
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield from graphs(attribute.g)
            for inner in attribute.graphs:
                yield from graphs(inner)


def fresh(wanted: str, taken: set[str]) -> str:
    """`wanted`, or `wanted` with a number that makes it new; recorded in `taken`."""
    name, number = wanted, len(taken)
    while name in taken:
        name, number = f"{wanted}{number}", number + 1
    taken.add(name)
    return name


def tensor_names(model: Any) -> set[str]:
    """Every name of a value or initializer anywhere in the model."""
    names: set[str] = set()
    for graph in graphs(model.graph):
        names.update(tensor.name for tensor in graph.initializer)
        names.update(value.name for value in graph.input)
        for node in graph.node:
            names.update(node.input)
            names.update(node.output)
    return names


def set_nodes(graph: Any, nodes: list[Any]) -> None:
    """Make `nodes` (some may be in `graph` already) the nodes of `graph`, in this order."""
    copies = [type(node).FromString(node.SerializeToString()) for node in nodes]
    del graph.node[:]
    graph.node.extend(copies)


def drop_unused_weights(model: Any) -> None:
    """Remove initializers of the main graph that nothing reads; in place."""
    used = {name for graph in graphs(model.graph) for node in graph.node for name in node.input}
    used |= {value.name for graph in graphs(model.graph) for value in graph.output}
    kept = [
        type(tensor).FromString(tensor.SerializeToString())
        for tensor in model.graph.initializer
        if tensor.name in used
    ]
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept)


def add_operator_set(model: Any, domain: str, version: int) -> None:
    """Declare that `model` uses operators of `domain`."""
    if all(known.domain != domain for known in model.opset_import):
        model.opset_import.add(domain=domain, version=version)


def tidy(model: Any) -> None:
    """Drop unused operator sets and remarks, sort initializers by name; in place."""
    used = {node.domain for graph in graphs(model.graph) for node in graph.node} | {""}
    kept = sorted((o for o in model.opset_import if o.domain in used), key=lambda o: o.domain)
    versions = [(o.domain, o.version) for o in kept]
    del model.opset_import[:]
    for domain, version in versions:
        model.opset_import.add(domain=domain, version=version)
    for graph in graphs(model.graph):
        for node in graph.node:
            node.doc_string = ""
        ordered = sorted(graph.initializer, key=lambda tensor: tensor.name)
        copies = [type(tensor).FromString(tensor.SerializeToString()) for tensor in ordered]
        del graph.initializer[:]
        graph.initializer.extend(copies)
        graph.doc_string = ""
    model.doc_string = ""


def name_nodes(model: Any) -> None:
    """Give every node a name of its own; in place."""
    taken = {node.name for graph in graphs(model.graph) for node in graph.node if node.name}
    seen: set[str] = set()
    for graph in graphs(model.graph):
        for node in graph.node:
            if not node.name or node.name in seen:
                node.name = fresh(f"{node.op_type}/{node.output[0]}", taken)
            seen.add(node.name)


def float_shapes(model: Any) -> dict[str, tuple[int, ...]]:
    """Shapes of all float tensors of the main graph, as far as known; 0 for a free dimension."""
    onnx = need("onnx", extra="convert")
    graph = onnx.shape_inference.infer_shapes(model, data_prop=True).graph
    found = {
        value.name: tuple(d.dim_value for d in value.type.tensor_type.shape.dim)
        for value in [*graph.input, *graph.value_info, *graph.output]
        if value.type.tensor_type.elem_type == onnx.TensorProto.FLOAT
    }
    found |= {
        t.name: tuple(t.dims) for t in graph.initializer if t.data_type == onnx.TensorProto.FLOAT
    }
    return found


def settings(node: Any) -> dict[str, Any]:
    """The attributes of `node` by name."""
    onnx = need("onnx", extra="convert")
    return {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}


class Wiring:
    """Who makes and who reads each tensor of the main graph."""

    def __init__(self, model: Any) -> None:
        """Read the graph once."""
        onnx = need("onnx", extra="convert")
        graph = model.graph
        self.constants = {tensor.name: tensor for tensor in graph.initializer}
        self.inputs = {value.name for value in graph.input} - set(self.constants)
        self.outputs = {value.name for value in graph.output}
        self.maker = {name: node for node in graph.node for name in node.output}
        self.readers: dict[str, list[Any]] = {}
        self.read_inside: set[str] = set()
        for node in graph.node:
            for name in dict.fromkeys(node.input):
                self.readers.setdefault(name, []).append(node)
            for attribute in node.attribute:
                if attribute.type == onnx.AttributeProto.GRAPH:
                    self.read_inside |= _names_in(attribute.g)

    def is_constant(self, name: str) -> bool:
        """Whether `name` is a weight."""
        return name in self.constants

    def only_reader(self, name: str) -> Any | None:
        """The one node that reads `name`, if nothing else does."""
        readers = self.readers.get(name, [])
        alone = len(readers) == 1 and name not in self.outputs and name not in self.read_inside
        return readers[0] if alone else None


def _names_in(graph: Any) -> set[str]:
    onnx = need("onnx", extra="convert")
    names = {value.name for value in graph.output}
    for node in graph.node:
        names.update(node.input)
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.GRAPH:
                names |= _names_in(attribute.g)
    return names
