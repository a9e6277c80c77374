"""Say a layer normalisation, exported as a dozen operators, by the one operator ONNX has for it.

As with loops (`onnx_recurrent`), what the operators do is tried and not read: gain and offset are
fitted to what they make of random inputs, and LayerNormalization takes their place only if it then
makes the same of other random inputs, large and small.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit._lazy import need
from edgekit_converters.onnx_edit import (
    Wiring,
    drop_unused_weights,
    float_shapes,
    fresh,
    set_nodes,
    tensor_names,
)

_MEANS = frozenset({"GlobalAveragePool", "ReduceMean"})
_PARTS = _MEANS | {"Add", "Div", "Mul", "Neg", "Pow", "Reciprocal", "Sqrt", "Sub"}
_OLDEST_OPSET = 17
_LARGEST_PART_COUNT = 16
_LARGEST_EPSILON = 0.1
_TOLERANCE = 1e-4
_FREE_SIZE = 3
"""Stands in for free dimensions in a trial."""


def join_layer_normalizations(model: Any) -> None:
    """Replace what is a layer normalisation over the last axis; in place."""
    if next((o.version for o in model.opset_import if not o.domain), 0) < _OLDEST_OPSET:
        return
    shapes = float_shapes(model)
    wiring = Wiring(model)
    replaced: dict[str, Any] = {}
    dropped: set[str] = set()
    taken = tensor_names(model)
    for node in model.graph.node:
        if node.op_type not in _MEANS or node.output[0] in dropped:
            continue
        data = node.input[0]
        shape = shapes.get(data, ())
        if len(shape) < 2 or shape[-1] < 2:
            continue
        for parts in _regions(model, wiring, node, shape, shapes):
            found = _fit(model, wiring, parts, data, shape)
            if found is None:
                continue
            names = [fresh("norm", taken), fresh("norm", taken)]
            for name, values in zip(names, found[:2], strict=True):
                tensor = need("onnx", extra="convert").numpy_helper.from_array(values, name)
                model.graph.initializer.append(tensor)
            result = parts[-1].output[0]
            replaced[result] = _operator([data, *names], result, found[2], parts[-1].name)
            dropped.update(one.output[0] for one in parts[:-1])
            break
    if replaced:
        nodes = [replaced.get(node.output[0], node) for node in model.graph.node]
        set_nodes(model.graph, [node for node in nodes if node.output[0] not in dropped])
        drop_unused_weights(model)


def _operator(inputs: list[str], output: str, epsilon: float, name: str) -> Any:
    return need("onnx", extra="convert").helper.make_node(
        "LayerNormalization", inputs, [output], name=name, axis=-1, epsilon=epsilon
    )


def _regions(
    model: Any,
    wiring: Wiring,
    mean: Any,
    shape: tuple[int, ...],
    shapes: dict[str, tuple[int, ...]],
) -> Iterator[list[Any]]:
    """What hangs on `mean` and its input alone, up to each result of the input's shape."""
    data = mean.input[0]
    region = [mean]
    made = {mean.output[0]}
    started = False
    for node in model.graph.node:
        started = started or node.output[0] == mean.output[0]
        if not started or node.op_type not in _PARTS or made.isdisjoint(node.input):
            continue
        if not all(n in made or n == data or wiring.is_constant(n) for n in node.input):
            continue
        if len(region) == _LARGEST_PART_COUNT:
            return
        region.append(node)
        made.add(node.output[0])
        if shapes.get(node.output[0]) != shape:
            continue
        needed = _needed(region)
        inner = {one.output[0] for one in needed[:-1]}
        alone = inner.isdisjoint(wiring.outputs | wiring.read_inside) and all(
            any(reader.output[0] == one.output[0] for one in needed)
            for name in inner
            for reader in wiring.readers[name]
        )
        if alone:
            yield needed


def _needed(region: list[Any]) -> list[Any]:
    """The nodes of `region` that the last one depends on, in order."""
    wanted = set(region[-1].input) | {region[-1].output[0]}
    for node in reversed(region):
        if node.output[0] in wanted:
            wanted.update(node.input)
    return [node for node in region if node.output[0] in wanted]


def _fit(
    model: Any, wiring: Wiring, parts: list[Any], data: str, shape: tuple[int, ...]
) -> tuple[NDArray[np.float32], NDArray[np.float32], float] | None:
    """Gain, offset and epsilon with which LayerNormalization does what `parts` do."""
    onnx = need("onnx", extra="convert")
    used = {name for node in parts for name in node.input if wiring.is_constant(name)}
    constants = {n: onnx.numpy_helper.to_array(wiring.constants[n]) for n in sorted(used)}
    numbers = [float(v.item()) for v in constants.values() if v.size == 1]
    session = _session(model, parts, constants, data, len(shape))
    random = np.random.default_rng(0)
    trial = tuple(size or _FREE_SIZE for size in shape)
    rows = [random.standard_normal(trial).astype(np.float32) * 2 + 0.5 for _ in range(6)]
    small = [row * np.float32(0.02) for row in rows[:2]]
    try:
        given, given_small = ([session.run(None, {data: x})[0] for x in s] for s in (rows, small))
    except Exception:  # not of this shape; then it is no layer normalisation
        return None
    for epsilon in [e for e in numbers if 0 < e < _LARGEST_EPSILON]:
        x = _normalized(np.concatenate(rows), epsilon).reshape(-1, shape[-1])
        y = np.concatenate(given).reshape(-1, shape[-1]).astype(np.float64)
        centred = x - x.mean(axis=0)
        gain = (centred * y).sum(axis=0) / np.square(centred).sum(axis=0)
        offset = y.mean(axis=0) - gain * x.mean(axis=0)
        gain, offset = (_exact(values, constants) for values in (gain, offset))
        if all(
            np.abs(_normalized(s, epsilon) * gain + offset - g).max()
            < _TOLERANCE * (1 + np.abs(g).max())
            for s, g in zip([*rows, *small], [*given, *given_small], strict=True)
        ):
            return gain.astype(np.float32), offset.astype(np.float32), epsilon
    return None


def _agree(mine: NDArray[np.float64], theirs: NDArray[np.float32]) -> bool:
    return bool(np.abs(mine - theirs).max() < _TOLERANCE * (1 + np.abs(theirs).max()))


def _normalized(values: NDArray[np.float32], epsilon: float) -> NDArray[np.float64]:
    wide = values.astype(np.float64)
    centred = wide - wide.mean(axis=-1, keepdims=True)
    variance = np.square(centred).mean(axis=-1, keepdims=True)
    result: NDArray[np.float64] = centred / np.sqrt(variance + epsilon)
    return result


def _exact(
    fitted: NDArray[np.float64], constants: dict[str, NDArray[np.float32]]
) -> NDArray[np.float64]:
    """The model's own constant that `fitted` comes close to, ones, zeros, or `fitted` itself."""
    size = fitted.size
    own = [v.reshape(-1).astype(np.float64) for v in constants.values() if v.size == size]
    for known in [*own, np.ones(size), np.zeros(size)]:
        if np.allclose(fitted, known, atol=_TOLERANCE, rtol=_TOLERANCE):
            return known
    return fitted


def _session(
    model: Any, nodes: list[Any], constants: dict[str, NDArray[Any]], data: str, rank: int
) -> Any:
    onnx = need("onnx", extra="convert")
    runtime = need("onnxruntime", extra="convert")
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    graph = helper.make_graph(
        nodes,
        "trial",
        [helper.make_tensor_value_info(data, kind, [None] * rank)],
        [helper.make_tensor_value_info(nodes[-1].output[0], kind, None)],
        [onnx.numpy_helper.from_array(v, name) for name, v in constants.items()],
    )
    trial = helper.make_model(
        graph, opset_imports=list(model.opset_import), ir_version=model.ir_version
    )
    options = runtime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    return runtime.InferenceSession(
        trial.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
