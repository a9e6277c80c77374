"""Watch a float ONNX model at work: the smallest and largest value of every tensor."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit._lazy import need
from edgekit.errors import ConversionError, DataError
from edgekit_converters.learned_ranges import SAMPLES, Learned, Matched, match
from edgekit_converters.onnx_edit import fresh, tensor_names

Range = tuple[float, float]

_MASK = 5e8
"""Larger values are masks ("minus infinity" before a softmax); no integer scale fits them."""
MARGIN_SAMPLES = 2.0
LARGEST_MARGIN = 0.1
"""How much wider ranges are than what was seen: 2 / samples of it, at most a tenth. Compared with
other choices in docs/quantization-onnx.md."""


def observe(model: Any, samples: Mapping[str, NDArray[Any]]) -> dict[str, Range]:
    """Run `model` on every sample and return (min, max) of each float tensor of the main graph.

    Tensors that were empty, NaN, infinite or masked have no range, and so stay in float. One
    sample is in memory at a time, and of each tensor only its two extremes are kept.

    The next sample may go beyond all samples seen: a range is a little wider than what was seen,
    the more so the fewer they were. But an extreme that several samples have in common is a limit
    (of pixels, say), and not exceeded; neither are zero and the limits of an operator.

    Args:
        model: an ``onnx.ModelProto`` whose tensor types are inferred.
        samples: for each graph input an array of shape (samples, *input shape, batch included).

    Raises:
        DataError: inputs are missing or unknown, counts differ, or values are NaN or infinite.
        ConversionError: an output of the model is NaN or infinite.
    """
    count = _check(model, samples)
    names = _float_tensors(model)
    outputs = {value.name for value in model.graph.output}
    session = _watched(model, names)
    lows, highs = _Extreme(len(names)), _Extreme(len(names))
    for index in range(count):
        feeds = {name: values[index] for name, values in samples.items()}
        try:
            seen = session.run(None, feeds)
        except Exception as error:  # its exceptions share no base class but this one
            said = str(error).splitlines()[0]
            message = (
                f"calibration sample {index}: does not fit the model ({said}); check its shape"
            )
            raise DataError(message) from error
        lows.add([-value for value in seen[: len(names)]])
        highs.add(seen[len(names) :])
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    bounds = {node.output[0]: limits(node, constants) for node in model.graph.node if node.output}
    margin = min(LARGEST_MARGIN, MARGIN_SAMPLES / count)
    ranges = {}
    for index, name in enumerate(names):
        low, high = -float(lows.values[index]), float(highs.values[index])
        if low <= high and low > -_MASK and high < _MASK:
            more = margin * (high - low)
            wider = (
                low - more if low < 0 and lows.times[index] == 1 else low,
                high + more if high > 0 and highs.times[index] == 1 else high,
            )
            least, most = bounds.get(name, (-np.inf, np.inf))
            ranges[name] = (max(wider[0], least), min(wider[1], most))
        elif name in outputs:
            message = (
                f"output {name!r}: NaN, infinite or larger than {_MASK:g} on the calibration data; "
                "check the data and the weights"
            )
            raise ConversionError(message)
    return ranges


def learned_tensors(model: Any, samples: Mapping[str, NDArray[Any]], learned: Learned) -> Matched:
    """Find the float tensors of the main graph of `model` whose ranges were learned in training.

    Args:
        model: an ``onnx.ModelProto`` whose tensor types are inferred.
        samples: as for `observe`, which has run on them.
        learned: the ranges; its fingerprints are of the first of `samples`.
    """
    names = _float_tensors(model)
    session = _session(_with_outputs(model, names))
    held: dict[str, list[NDArray[Any]]] = {name: [] for name in names}
    count = min(SAMPLES, len(next(iter(samples.values()))))
    for index in range(count):
        seen = session.run(None, {name: values[index] for name, values in samples.items()})
        for name, value in zip(names, seen, strict=True):
            held[name].append(value)
    return match(learned, held)


def limits(node: Any, constants: Mapping[str, Any]) -> Range:
    """What the first output of `node` cannot leave, whatever the input; infinite where unknown.

    Args:
        node: an ``onnx.NodeProto``.
        constants: the graph's initializers by name.
    """
    if node.op_type in ("HardSigmoid", "Sigmoid", "Softmax"):
        return 0.0, 1.0
    if node.op_type in ("Softsign", "Tanh"):
        return -1.0, 1.0
    if node.op_type == "Relu":
        return 0.0, np.inf
    if node.op_type != "Clip":
        return -np.inf, np.inf
    onnx = need("onnx", extra="convert")
    found = [-np.inf, np.inf]
    for index, name in enumerate(node.input[1:3]):
        if name in constants:
            found[index] = float(onnx.numpy_helper.to_array(constants[name]).item())
    return found[0], found[1]


class _Extreme:
    """The largest value of each tensor over the samples, and how many samples had it."""

    def __init__(self, count: int) -> None:
        self.values = np.full(count, -np.inf)
        self.times = np.zeros(count, int)

    def add(self, seen: list[NDArray[Any]]) -> None:
        """Take in the largest values of one sample; empty arrays are of empty tensors."""
        new = np.array([one.max() if one.size else -np.inf for one in seen], np.float64)
        self.times = np.where(new > self.values, 1, self.times + (new == self.values))
        self.values = np.maximum(self.values, new)


def _check(model: Any, samples: Mapping[str, NDArray[Any]]) -> int:
    constants = {tensor.name for tensor in model.graph.initializer}
    wanted = [value.name for value in model.graph.input if value.name not in constants]
    if set(wanted) != set(samples):
        message = (
            f"calibration data: has inputs {', '.join(sorted(samples)) or 'none'}, "
            f"the model takes {', '.join(wanted)}; name the arrays after the inputs"
        )
        raise DataError(message)
    counts = {len(values) for values in samples.values()}
    if len(counts) != 1 or 0 in counts:
        message = f"calibration data: {sorted(counts)} samples; give every input the same number"
        raise DataError(message)
    for name, values in samples.items():
        if values.dtype.kind == "f" and not all(np.isfinite(one).all() for one in values):
            message = f"calibration data: input {name!r} has NaN or infinite values; remove them"
            raise DataError(message)
    return counts.pop()


def _float_tensors(model: Any) -> list[str]:
    onnx = need("onnx", extra="convert")
    infos = [*model.graph.input, *model.graph.value_info, *model.graph.output]
    floats = {
        info.name for info in infos if info.type.tensor_type.elem_type == onnx.TensorProto.FLOAT
    }
    constants = {tensor.name for tensor in model.graph.initializer}
    made = [value.name for value in model.graph.input]
    made += [name for node in model.graph.node for name in node.output]
    return [name for name in made if name in floats and name not in constants]


def _watched(model: Any, names: list[str]) -> Any:
    """A session whose only outputs are the minimum of each tensor, then the maximum of each."""
    onnx = need("onnx", extra="convert")
    watched = onnx.ModelProto()
    watched.CopyFrom(model)
    graph = watched.graph
    del graph.output[:]
    taken = tensor_names(model)
    for op_type in ("ReduceMin", "ReduceMax"):
        for name in names:
            # Dimensions are kept: a reduction of nothing to a scalar is an error.
            result = fresh(f"{name}/{op_type}", taken)
            graph.node.append(onnx.helper.make_node(op_type, [name], [result], name=result))
            graph.output.append(
                onnx.helper.make_tensor_value_info(result, onnx.TensorProto.FLOAT, None)
            )
    return _session(watched)


def _with_outputs(model: Any, names: list[str]) -> Any:
    """A copy whose outputs are the tensors `names`."""
    onnx = need("onnx", extra="convert")
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    del copy.graph.output[:]
    for name in names:
        copy.graph.output.append(
            onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None)
        )
    return copy


def _session(model: Any) -> Any:
    runtime = need("onnxruntime", extra="convert")
    options = runtime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    options.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    return runtime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
