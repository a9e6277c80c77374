"""Loops over time steps become LSTM, GRU and RNN operators."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edgekit_converters.onnx_recurrent import replace_loops

onnx = pytest.importorskip("onnx", reason="onnx is not installed")
runtime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")

STEPS, FEATURES, UNITS = 7, 3, 5
LSTM = """
    MatMul x W xw
    MatMul h R hr
    Add xw hr sum
    Add sum B all
    Split all i,f,g,o axis=1
    Sigmoid i si
    Sigmoid f sf
    Tanh g tg
    Sigmoid o so
    Mul sf c kept
    Mul si tg added
    Add kept added next_c
    Tanh next_c tc
    Mul so tc next_h
"""
GRU = """
    MatMul x W xw0
    Add xw0 B xw
    MatMul h R hr0
    Add hr0 RB hr
    Split xw xz,xr,xh axis=1
    Split hr hz,hrr,hh axis=1
    Add xz hz z0
    Sigmoid z0 z
    Add xr hrr r0
    Sigmoid r0 r
    Mul r hh rh
    Add xh rh n0
    Tanh n0 n
    Sub h n difference
    Mul z difference part
    Add part n next_h
"""
RNN = """
    MatMul x W xw
    MatMul h R hr
    Add xw hr sum
    Add sum B all
    Tanh all next_h
"""
CELLS = {"LSTM": (LSTM, 4, "h c"), "GRU": (GRU, 3, "h"), "RNN": (RNN, 1, "h")}


def nodes(text: str) -> list[Any]:
    made = []
    for line in text.split("\n"):
        op, *words = line.split() or [""]
        if not op:
            continue
        more = {"axis": 1} if words[-1] == "axis=1" else {}
        names = [word for word in words if "=" not in word]
        made.append(onnx.helper.make_node(op, names[:-1], names[-1].split(","), **more))
    return made


def loop(cell: str, gates: int, states: list[str], *, trips: int = STEPS) -> Any:
    """(steps, 1, features) and initial states to all hidden states and the last states."""
    helper, kinds = onnx.helper, onnx.TensorProto
    random = np.random.default_rng(4)
    width = gates * UNITS
    weights = {
        "W": random.standard_normal((FEATURES, width)),
        "R": random.standard_normal((UNITS, width)) / 2,
        "B": random.standard_normal(width),
        "RB": random.standard_normal(width),
    }
    body = helper.make_graph(
        [
            helper.make_node("Gather", ["sequence", "step"], ["x"]),
            *nodes(cell),
            helper.make_node("Identity", ["go"], ["on"]),
            helper.make_node("Identity", ["next_h"], ["collected"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("step", kinds.INT64, []),
            helper.make_tensor_value_info("go", kinds.BOOL, []),
            *(helper.make_tensor_value_info(s, kinds.FLOAT, [1, UNITS]) for s in states),
        ],
        [
            helper.make_tensor_value_info("on", kinds.BOOL, []),
            *(helper.make_tensor_value_info(f"next_{s}", kinds.FLOAT, [1, UNITS]) for s in states),
            helper.make_tensor_value_info("collected", kinds.FLOAT, [1, UNITS]),
        ],
    )
    start = [f"first_{s}" for s in states]
    last = [f"last_{s}" for s in states]
    graph = helper.make_graph(
        [helper.make_node("Loop", ["trips", "", *start], [*last, "all"], body=body)],
        "tiny",
        [
            helper.make_tensor_value_info("sequence", kinds.FLOAT, [STEPS, 1, FEATURES]),
            *(helper.make_tensor_value_info(s, kinds.FLOAT, [1, UNITS]) for s in start),
        ],
        [helper.make_tensor_value_info(n, kinds.FLOAT, None) for n in [*last, "all"]],
        [
            onnx.numpy_helper.from_array(np.array(trips), "trips"),
            *(onnx.numpy_helper.from_array(v.astype(np.float32), n) for n, v in weights.items()),
        ],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def run(model: Any) -> list[NDArray[Any]]:
    session = runtime.InferenceSession(model.SerializeToString())
    random = np.random.default_rng(9)
    feeds = {
        one.name: random.standard_normal(one.shape).astype(np.float32)
        for one in session.get_inputs()
    }
    results: list[NDArray[Any]] = session.run(None, feeds)
    return results


def op_types(model: Any) -> set[str]:
    return {node.op_type for node in model.graph.node}


@pytest.mark.parametrize("name", ["LSTM", "GRU", "RNN"])
def test_a_loop_that_is_a_recurrent_layer_becomes_its_operator(name: str) -> None:
    cell, gates, states = CELLS[name]
    model = loop(cell, gates, states.split())
    before = run(model)
    assert replace_loops(model) == 1
    assert op_types(model) == {"Unsqueeze", name, "Squeeze"}
    for was, now in zip(before, run(model), strict=True):
        np.testing.assert_allclose(now, was, atol=2e-6)


@pytest.mark.parametrize(
    ("was", "other"), [("Tanh g tg", "Relu g tg"), ("Sigmoid o so", "HardSigmoid o so")]
)
def test_another_activation_keeps_the_loop(was: str, other: str) -> None:
    model = loop(LSTM.replace(was, other), 4, ["h", "c"])
    assert replace_loops(model) == 0
    assert op_types(model) == {"Loop"}


def test_a_loop_that_stops_early_stays() -> None:
    assert replace_loops(loop(LSTM, 4, ["h", "c"], trips=STEPS - 1)) == 0


def test_a_loop_of_something_else_stays() -> None:
    assert replace_loops(loop("Add x x twice\nAdd h h next_h", 1, ["h"])) == 0
