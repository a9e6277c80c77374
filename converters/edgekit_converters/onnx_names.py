"""Names inside an ONNX graph that are the same at every export of the same model.

tf2onnx numbers the nodes and constants it adds (``const_fold_opt__47``) in an order that follows
memory addresses, and goes on counting in a process that exports a second model. `fix_order` takes
the addresses out of it, `renumber` gives the numbers again in the order in which the graph uses
them; together they make two exports of one model the same, byte for byte.
"""

from __future__ import annotations

import itertools
import re
from typing import Any

from edgekit_converters.onnx_edit import graphs

_NUMBERED = re.compile(r"__\d+(?=$|:\d+$|/)|_\d+_frozen_\d+")


def fix_order() -> None:
    """Make tf2onnx go through its sets of nodes in the order in which the nodes were made.

    Nodes in a set are found by their hash, which is their address unless something else is said;
    which of two equal nodes survives a merge, and under which name, depends on it.
    """
    from tf2onnx.graph import Node

    if getattr(Node, "edgekit_numbers", None) is not None:
        return
    plain = Node.__init__
    Node.edgekit_numbers = itertools.count()

    def numbered(self: Any, *args: Any, **kwargs: Any) -> None:
        self.edgekit_number = next(Node.edgekit_numbers)
        plain(self, *args, **kwargs)

    Node.__init__ = numbered
    Node.__hash__ = lambda self: self.edgekit_number


def renumber(model: Any) -> None:
    """Rename values and nodes in the order of their use; in place.

    Inputs and outputs of the main graph keep their names.
    """
    kept = {value.name for value in (*model.graph.input, *model.graph.output)}
    values: dict[str, str] = {}
    nodes: dict[str, str] = {}
    taken, taken_by_nodes = set(kept), set[str]()
    for graph in graphs(model.graph):
        for value in (*graph.input, *graph.output):
            _rename(value.name, values, taken, kept)
        for node in graph.node:
            node.name = _rename(node.name, nodes, taken_by_nodes, set())
            for names in (node.input, node.output):
                for name in names:
                    _rename(name, values, taken, kept)
    for graph in graphs(model.graph):
        for node in graph.node:
            for names in (node.input, node.output):
                for index, name in enumerate(names):
                    names[index] = values.get(name, name)
        for value in (*graph.input, *graph.output, *graph.initializer):
            value.name = values.get(value.name, value.name)
        del graph.value_info[:]  # hints under the old names


def _rename(name: str, given: dict[str, str], taken: set[str], kept: set[str]) -> str:
    """The new name of `name`: without the exporter's numbers, and with one where that is taken."""
    if not name or name in kept:
        return name
    if name not in given:
        base = _NUMBERED.sub("", name)
        new, number = base, 1
        while new in taken:
            number += 1
            new = f"{base}__{number}"
        taken.add(new)
        given[name] = new
    return given[name]
