"""Watch a float ONNX model at work: the smallest and largest value of every tensor."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit._lazy import need
from edgekit.errors import ConversionError, DataError
from edgekit_converters.onnx_edit import fresh, tensor_names

Range = tuple[float, float]

_MASK = 5e8
"""Larger values are masks ("minus infinity" before a softmax); no integer scale fits them."""


def observe(model: Any, samples: Mapping[str, NDArray[Any]]) -> dict[str, Range]:
    """Run `model` on every sample and return (min, max) of each float tensor of the main graph.

    Tensors that were empty, NaN, infinite or masked have no range, and so stay in float. One
    sample is in memory at a time, and of each tensor only its two extremes are kept.

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
    lowest = np.full(len(names), np.inf)
    highest = np.full(len(names), -np.inf)
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
        extremes = np.array([_extremes(value) for value in seen]).reshape(-1, 2)
        np.minimum(lowest, extremes[: len(names), 0], out=lowest)
        np.maximum(highest, extremes[len(names) :, 1], out=highest)
    ranges = {}
    for name, low, high in zip(names, lowest, highest, strict=True):
        if low <= high and low > -_MASK and high < _MASK:
            ranges[name] = (float(low), float(high))
        elif name in outputs:
            message = (
                f"output {name!r}: NaN, infinite or larger than {_MASK:g} on the calibration data; "
                "check the data and the weights"
            )
            raise ConversionError(message)
    return ranges


def _extremes(value: NDArray[Any]) -> tuple[float, float]:
    if value.size == 0:
        return np.inf, -np.inf
    return float(value.min()), float(value.max())


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
    runtime = need("onnxruntime", extra="convert")
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
    options = runtime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    options.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    return runtime.InferenceSession(
        watched.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
