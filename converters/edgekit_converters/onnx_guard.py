"""Keep ONNX Runtime from aborting on models with loops and conditions."""

from __future__ import annotations

from typing import Any

from edgekit._lazy import need
from edgekit_converters.onnx_edit import Wiring, fresh, set_nodes, tensor_names
from edgekit_converters.onnx_plan import MOVERS


def guard_inner_graphs(model: Any) -> None:
    """Put a barrier before values that loop bodies read of dequantized tensors; in place.

    ONNX Runtime (1.32 does) moves DequantizeLinear past a Transpose or Squeeze, and aborts the
    whole process when the next reader is the body of a Loop, Scan or If. ``Max`` of one value is
    that value, and an operator it does not move things past.
    """
    onnx = need("onnx", extra="convert")
    wiring = Wiring(model)
    if not wiring.read_inside:
        return
    taken = tensor_names(model)
    moved: set[str] = set()
    nodes: list[Any] = []
    for node in model.graph.node:
        nodes.append(node)
        if node.op_type == "DequantizeLinear":
            moved.update(node.output)
        elif node.op_type in MOVERS and node.input[0] in moved:
            for index, name in enumerate(node.output):
                moved.add(name)
                if name in wiring.read_inside:
                    node.output[index] = fresh("m", taken)
                    nodes.append(onnx.helper.make_node("Max", [node.output[index]], [name]))
    set_nodes(model.graph, nodes)
