"""Say loops over time steps as the ONNX operators LSTM, GRU and RNN.

The exporter writes a Keras layer of a fixed batch as ``Loop``: ONNX Runtime then starts a dozen
operators for each time step, and takes five to ten times as long. Whether a loop *is* such a layer
is not read from its operators, but tried: the operator made of the loop's weights is run beside
the loop on random inputs and states, and takes its place only if all results agree.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import permutations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit._lazy import need
from edgekit_converters.onnx_edit import (
    drop_unused_weights,
    float_shapes,
    fresh,
    set_nodes,
    tensor_names,
)

_TOLERANCE = 2e-5
"""Largest difference between loop and operator; states are of the order of 1."""
_OLDEST_OPSET = 13
_ATTEMPTS = 24

Weights = dict[str, NDArray[np.float32]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Steps:
    """A loop over time steps, taken apart."""

    node: Any
    sequence: str
    """What is read step by step, of shape (steps, batch, features)."""
    shape: tuple[int, int, int]
    states: tuple[int, ...]
    """Positions among the loop's variables of those that change and are float."""
    units: int
    weights: Weights
    """Constants that the body reads."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One recurrent operator that a loop could be."""

    operator: str
    weights: Weights
    """``W``, ``R`` and ``B`` as the operator takes them."""
    attributes: dict[str, int]
    states: tuple[int, ...]
    """Positions among the loop's variables of hidden state and, for an LSTM, cell state."""


def replace_loops(model: Any) -> int:
    """Replace every loop that is a recurrent layer; in place.

    Returns:
        How many were replaced.
    """
    if next((o.version for o in model.opset_import if not o.domain), 0) < _OLDEST_OPSET:
        return 0
    replaced = 0
    for node in [one for one in model.graph.node if one.op_type == "Loop"]:
        steps = _take_apart(model, node)
        cell = _find(model, steps) if steps is not None else None
        if steps is not None and cell is not None:
            _replace(model, steps, cell)
            replaced += 1
    if replaced:
        drop_unused_weights(model)
    return replaced


# ---- taking a loop apart --------------------------------------------------------------------


def _take_apart(model: Any, node: Any) -> Steps | None:
    onnx = need("onnx", extra="convert")
    body = node.attribute[0].g
    constants = {t.name: onnx.numpy_helper.to_array(t) for t in model.graph.initializer}
    count = len(node.input) - 2
    inside = [value.name for value in body.input[2:]]
    after = [value.name for value in body.output[1 : 1 + count]]
    outer = dict(zip(inside, node.input[2:], strict=True))
    same = {i for i in range(count) if after[i] == inside[i]}
    shapes = float_shapes(model)
    states = tuple(
        i for i in range(count) if i not in same and len(shapes.get(node.input[2 + i], ())) == 2
    )
    made = {name for one in body.node for name in one.output} | {t.name for t in body.initializer}
    read = {outer.get(name, name) for one in body.node for name in one.input if name not in made}
    sequences = {
        outer.get(one.input[0], one.input[0])
        for one in body.node
        if one.op_type == "Gather" and outer.get(one.input[0], one.input[0]) not in constants
    }
    trips = constants.get(node.input[0])
    used = {name for one in model.graph.node for name in one.input}
    used |= {value.name for value in model.graph.output}
    unknown = [
        name
        for i, name in enumerate(node.output[:count])
        if name in used and i not in states and i not in same
    ]
    if len(sequences) != 1 or trips is None or not 1 <= len(states) <= 2 or unknown:
        return None
    sequence = sequences.pop()
    shape, state = shapes.get(sequence, ()), shapes[node.input[2 + states[0]]]
    if len(shape) != 3 or shape[0] != int(trips.item()) or not shape[2] or not state[1]:
        return None
    weights = {
        name: constants[name]
        for name in sorted(read)
        if name in constants and constants[name].dtype == np.float32 and constants[name].ndim
    }
    return Steps(
        node=node,
        sequence=sequence,
        shape=(shape[0], shape[1] or 2, shape[2]),
        states=states,
        units=state[1],
        weights={name: w for name, w in weights.items() if name not in node.input[:2]},
    )


# ---- what it could be -----------------------------------------------------------------------


def _cells(steps: Steps) -> Iterator[Cell]:
    """Every operator that has the loop's numbers of states and gates."""
    units, features = steps.units, steps.shape[2]
    kinds = {1: (("GRU", 3), ("RNN", 1)), 2: (("LSTM", 4),)}[len(steps.states)]
    for operator, gates in kinds:
        width = gates * units
        matrices = [w for w in steps.weights.values() if w.ndim == 2 and w.shape[1] == width]
        vectors = [w.reshape(-1) for w in steps.weights.values() if w.size in (width, 2 * width)]
        vectors = [b for b in vectors if not any(b.size == m.size for m in matrices)] or vectors
        for kernel, recurrent in permutations(matrices, 2):
            if kernel.shape[0] != features or recurrent.shape[0] != units:
                continue
            for bias in _biases(vectors, width):
                for states in permutations(steps.states):
                    for linear in (1, 0) if operator == "GRU" else (0,):
                        yield Cell(
                            operator=operator,
                            weights={
                                "W": _gates(operator, kernel.T, units)[None],
                                "R": _gates(operator, recurrent.T, units)[None],
                                "B": np.concatenate([_gates(operator, b, units) for b in bias])[
                                    None
                                ],
                            },
                            attributes={"linear_before_reset": 1} if linear else {},
                            states=states,
                        )


def _biases(
    vectors: list[NDArray[np.float32]], width: int
) -> Iterator[tuple[NDArray[np.float32], NDArray[np.float32]]]:
    """Input and recurrent bias, of one vector, two, or none."""
    zeros = np.zeros(width, np.float32)
    for vector in vectors:
        if vector.size == 2 * width:
            yield vector[:width], vector[width:]
        else:
            yield vector, zeros
    yield from permutations([v for v in vectors if v.size == width], 2)
    yield zeros, zeros


def _gates(operator: str, values: NDArray[np.float32], units: int) -> NDArray[np.float32]:
    """Keras orders the gates of an LSTM input, forget, cell, output; ONNX i, o, f, c."""
    if operator != "LSTM":
        return np.ascontiguousarray(values)
    i, f, c, o = (values[k * units : (k + 1) * units] for k in range(4))
    return np.concatenate([i, o, f, c])


# ---- trying it ------------------------------------------------------------------------------


def _find(model: Any, steps: Steps) -> Cell | None:
    """The first cell that gives what the loop gives."""
    random = np.random.default_rng(0)
    feeds = {"edgekit/x": random.standard_normal(steps.shape).astype(np.float32)}
    for i in steps.states:
        state = random.standard_normal((steps.shape[1], steps.units)) / 2
        feeds[f"edgekit/state_{i}"] = state.astype(np.float32)
    try:
        wanted = _run(_loop_alone(model, steps, feeds), feeds)
    except Exception:  # it reads something else; then it is no recurrent layer
        return None
    for attempt, cell in enumerate(_cells(steps)):
        if attempt >= _ATTEMPTS:
            break
        given = _run(_cell_alone(model, steps, cell, feeds), feeds)
        if all(np.abs(g - w).max() < _TOLERANCE for g, w in zip(given, wanted, strict=True)):
            return cell
    return None


def _results(steps: Steps, node: Any) -> list[str]:
    """What of the loop's outputs is compared: changing states, then what it collects."""
    count = len(node.input) - 2
    return [*(node.output[i] for i in steps.states), *node.output[count:]]


def _loop_alone(model: Any, steps: Steps, feeds: Weights) -> Any:
    onnx = need("onnx", extra="convert")
    node = type(steps.node).FromString(steps.node.SerializeToString())
    for i, name in enumerate(node.output):
        node.output[i] = name or f"edgekit/unused_{i}"
    for i in steps.states:
        node.input[2 + i] = f"edgekit/state_{i}"
    node.input[1] = ""
    body = node.attribute[0].g
    for one in body.node:
        for index, name in enumerate(one.input):
            if name == steps.sequence:
                one.input[index] = "edgekit/x"
    for index, name in enumerate(node.input):
        if name == steps.sequence:
            node.input[index] = "edgekit/x"
    weights = {t.name: onnx.numpy_helper.to_array(t) for t in model.graph.initializer}
    return _tiny(model, [node], weights, feeds, _results(steps, node))


def _cell_alone(model: Any, steps: Steps, cell: Cell, feeds: Weights) -> Any:
    names = [name or f"edgekit/unused_{i}" for i, name in enumerate(steps.node.output)]
    inputs = {i: f"edgekit/state_{i}" for i in steps.states}
    nodes, weights = _nodes(steps, cell, "edgekit/x", inputs, names, set(names))
    count = len(steps.node.input) - 2
    return _tiny(model, nodes, weights, feeds, [*(names[i] for i in steps.states), *names[count:]])


def _tiny(
    model: Any,
    nodes: list[Any],
    weights: dict[str, NDArray[Any]],
    feeds: Weights,
    outputs: list[str],
) -> Any:
    onnx = need("onnx", extra="convert")
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    graph = helper.make_graph(
        nodes,
        "trial",
        [helper.make_tensor_value_info(name, kind, v.shape) for name, v in feeds.items()],
        [helper.make_tensor_value_info(name, kind, None) for name in outputs],
        [onnx.numpy_helper.from_array(v, name) for name, v in weights.items()],
    )
    return helper.make_model(
        graph, opset_imports=list(model.opset_import), ir_version=model.ir_version
    )


def _run(model: Any, feeds: Weights) -> list[NDArray[np.float32]]:
    runtime = need("onnxruntime", extra="convert")
    options = runtime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    session = runtime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    results: list[NDArray[np.float32]] = session.run(None, feeds)
    return results


# ---- replacing ------------------------------------------------------------------------------


def _nodes(
    steps: Steps,
    cell: Cell,
    sequence: str,
    states: dict[int, str],
    outputs: list[str],
    taken: set[str],
) -> tuple[list[Any], dict[str, NDArray[Any]]]:
    """The operator and what adapts its shapes, and the constants they read."""
    make = need("onnx", extra="convert").helper.make_node
    place = {
        key: fresh(f"{outputs[-1]}/{key}", taken) for key in ("W", "R", "B", "first", "second")
    }
    weights: dict[str, NDArray[Any]] = {place[key]: w for key, w in cell.weights.items()}
    weights |= {place["first"]: np.array([0]), place["second"]: np.array([1])}
    firsts, lasts, nodes, after = [], [], [], []
    for i in cell.states:
        firsts.append(fresh(f"{outputs[i]}/first", taken))
        lasts.append(fresh(f"{outputs[i]}/last", taken))
        nodes.append(make("Unsqueeze", [states[i], place["first"]], [firsts[-1]]))
        after.append(make("Squeeze", [lasts[-1], place["first"]], [outputs[i]]))
    every = fresh(f"{outputs[-1]}/every", taken)
    for name in outputs[len(steps.node.input) - 2 :]:
        after.append(make("Squeeze", [every, place["second"]], [name]))
    inputs = [sequence, place["W"], place["R"], place["B"], "", *firsts]
    node = make(
        cell.operator,
        inputs,
        [every, *lasts],
        name=steps.node.name,
        hidden_size=steps.units,
        **cell.attributes,
    )
    return [*nodes, node, *after], weights


def _replace(model: Any, steps: Steps, cell: Cell) -> None:
    onnx = need("onnx", extra="convert")
    taken = tensor_names(model)
    node = steps.node
    outputs = [name or fresh("unused", taken) for name in node.output]
    states = {i: node.input[2 + i] for i in steps.states}
    made, weights = _nodes(steps, cell, steps.sequence, states, outputs, taken)
    count = len(node.input) - 2
    passed = [
        onnx.helper.make_node("Identity", [node.input[2 + i]], [outputs[i]])
        for i in range(count)
        if i not in steps.states
    ]
    read = {name for one in model.graph.node for name in one.input}
    read |= {value.name for value in model.graph.output}
    passed = [one for one in passed if one.output[0] in read]
    nodes: list[Any] = []
    for one in model.graph.node:
        nodes += [*made, *passed] if one.output == node.output else [one]
    for name, values in weights.items():
        model.graph.initializer.append(onnx.numpy_helper.from_array(values, name))
    set_nodes(model.graph, nodes)
