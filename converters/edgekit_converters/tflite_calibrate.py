"""Run a float TFLite file on samples and keep the range of every tensor.

The quantizer's own calibration keeps a moving average of the ranges, which clips, and clips more
the more samples it sees. This one keeps the smallest and the largest value.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit._lazy import need
from edgekit.errors import ConversionError, DataError
from edgekit_converters.learned_ranges import (
    NOTHING,
    SAMPLES,
    Learned,
    Matched,
    match,
)
from edgekit_converters.tflite_graph import (
    constant,
    is_custom,
    read_model,
    schema,
    text,
    walk,
    write_model,
)

UNROLLABLE = {
    "WHILE": "a loop",
    "IF": "a branch",
    "CALL_ONCE": "variables",
    "VAR_HANDLE": "variables",
    "READ_VARIABLE": "variables",
    "ASSIGN_VARIABLE": "variables",
    "UNIDIRECTIONAL_SEQUENCE_LSTM": "a fused recurrent layer",
    "UNIDIRECTIONAL_SEQUENCE_RNN": "a fused recurrent layer",
    "BIDIRECTIONAL_SEQUENCE_LSTM": "a fused recurrent layer",
    "BIDIRECTIONAL_SEQUENCE_RNN": "a fused recurrent layer",
    "LSTM": "a fused recurrent layer",
    "RNN": "a fused recurrent layer",
}
"""Operators around which integer activations cannot be made, and what they are in words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """The range of every float tensor of one float file, over all samples."""

    ranges: Mapping[str, tuple[float, float]]
    """Tensor name to ``(smallest, largest)``."""
    ranks: Mapping[str, int]
    """Tensor name to its number of dimensions."""
    samples: int
    learned: Matched = NOTHING
    """What in `ranges` is not of the samples, but was learned in training."""

    def statistics(self) -> dict[str, dict[str, NDArray[np.float32]]]:
        """The ranges in the form of ai-edge-quantizer; fresh arrays, which it may change."""
        found = {}
        for name, (smallest, largest) in self.ranges.items():
            shape = (1,) * self.ranks[name]
            found[name] = {
                "min": np.full(shape, smallest, np.float32),
                "max": np.full(shape, largest, np.float32),
            }
        return found


def refuse_unquantizable(model: Any, source: Path) -> None:
    """Refuse graphs whose activations cannot become integers.

    Raises:
        ConversionError: the graph loops, keeps variables, or has a fused recurrent layer.
    """
    for _, operator, name in walk(model):
        if is_custom(model, operator):
            message = (
                f"{source.name}: {name} is not an operator of TFLite, and cannot be calibrated; "
                "convert without custom operators, or use dynamic or float16"
            )
            raise ConversionError(message)
        if name in UNROLLABLE:
            message = (
                f"{source.name}: {name} ({UNROLLABLE[name]}) cannot have integer activations; "
                "unroll the recurrent layers, or use dynamic or float16"
            )
            raise ConversionError(message)
    for subgraph in model.subgraphs:
        for tensor in subgraph.tensors:
            if tensor.isVariable:
                message = (
                    f"{source.name}: tensor {text(tensor.name)!r} keeps state between calls and "
                    "cannot have integer activations; use dynamic or float16"
                )
                raise ConversionError(message)
    if len(model.subgraphs) > 1:
        message = (
            f"{source.name}: has {len(model.subgraphs)} subgraphs, and integer activations need "
            "one; convert it with one signature and without control flow, or use dynamic"
        )
        raise ConversionError(message)


def calibrate(
    source: Path, samples: Mapping[str, NDArray[Any]], *, learned: Learned | None = None
) -> Calibration:
    """Run the float file `source` on every sample and keep the smallest and largest values.

    Args:
        source: A float32 TFLite file.
        samples: One array for each signature input name, ``(n, *input shape)``; the input shape
            includes the batch dimension, so that sample `i` is ``{k: v[i]}``.
        learned: ranges that were learned in training, which are taken instead where a tensor has
            one; its fingerprints are of the first of `samples`.

    Raises:
        DataError: names, shapes or values that the model cannot take.
        ConversionError: the graph cannot have integer activations.
    """
    model = read_model(source)
    refuse_unquantizable(model, source)
    inputs = _checked(model, samples, source)
    interpreter = _interpreter(write_model(model))
    subgraph = model.subgraphs[0]
    float32 = schema().TensorType.FLOAT32
    read = {int(i) for operator in subgraph.operators for i in operator.inputs}
    read |= {int(i) for i in [*subgraph.inputs, *subgraph.outputs]}
    wanted = {
        index: text(tensor.name)
        for index, tensor in enumerate(subgraph.tensors)
        if tensor.type == float32 and constant(model, tensor) is None and index in read
    }
    count = len(next(iter(inputs.values())))
    ranges: dict[str, tuple[float, float]] = {}
    ranks: dict[str, int] = {}
    matched = NOTHING
    shapes: dict[int, tuple[int, ...]] = {}
    looked_at: dict[str, list[NDArray[np.float32]]] = {}
    for number in range(count):
        sample = {index: values[number] for index, values in inputs.items()}
        _set_inputs(interpreter, sample, shapes, source)
        try:
            interpreter.invoke()
        except RuntimeError as error:
            said = " ".join(str(error).split())[:200].rstrip(".")
            message = (
                f"calibration data: {source.name} does not run on sample {number} ({said}); "
                "check the values of its inputs"
            )
            raise DataError(message) from error
        for index, name in wanted.items():
            values = _values(interpreter, index, name, source)
            if learned is not None and number < SAMPLES:
                looked_at.setdefault(name, []).append(values)
            finite = values if np.isfinite(values).all() else _finite(values, name, number, source)
            if finite.size == 0:
                continue
            smallest, largest = float(finite.min()), float(finite.max())
            before = ranges.get(name, (smallest, largest))
            ranges[name] = (min(before[0], smallest), max(before[1], largest))
            ranks[name] = values.ndim
        if learned is not None and number == min(SAMPLES, count) - 1:
            matched = match(learned, looked_at)
            looked_at.clear()
    ranges |= {name: seen for name, seen in matched.ranges.items() if name in ranges}
    _fill_unread(subgraph, ranges, ranks)
    return Calibration(ranges=ranges, ranks=ranks, samples=count, learned=matched)


def _fill_unread(
    subgraph: Any, ranges: dict[str, tuple[float, float]], ranks: dict[str, int]
) -> None:
    """Give outputs that nothing reads, which the runtime may not compute, the input's range."""
    for operator in subgraph.operators:
        for index in operator.outputs:
            name = text(subgraph.tensors[index].name)
            known = [text(subgraph.tensors[i].name) for i in operator.inputs if i >= 0]
            known = [given for given in known if given in ranges]
            if name not in ranges and known:
                ranges[name] = ranges[known[0]]
                ranks[name] = len(subgraph.tensors[index].shape)


def _interpreter(content: bytes) -> Any:
    module = need("ai_edge_litert.interpreter", extra="litert")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # that all tensors are kept is the point
        interpreter = module.Interpreter(
            model_content=content, num_threads=2, experimental_preserve_all_tensors=True
        )
    interpreter.allocate_tensors()
    return interpreter


def _checked(
    model: Any, samples: Mapping[str, NDArray[Any]], source: Path
) -> dict[int, NDArray[Any]]:
    signature = model.signatureDefs[0]
    expected = {text(entry.name): int(entry.tensorIndex) for entry in signature.inputs or []}
    if set(samples) != set(expected):
        message = (
            f"calibration data: have {sorted(samples)}, and {source.name} takes "
            f"{sorted(expected)}; name one array after each input"
        )
        raise DataError(message)
    counts = {name: len(values) for name, values in samples.items()}
    if len(set(counts.values())) > 1 or not all(counts.values()):
        message = f"calibration data: {counts} samples; give the same number for each, at least one"
        raise DataError(message)
    for name, values in samples.items():
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            message = f"calibration data: {name!r} holds NaN or infinity; remove those samples"
            raise DataError(message)
    return {expected[name]: samples[name] for name in sorted(samples)}


def _set_inputs(
    interpreter: Any,
    sample: Mapping[int, NDArray[Any]],
    shapes: dict[int, tuple[int, ...]],
    source: Path,
) -> None:
    details = {detail["index"]: detail for detail in interpreter.get_input_details()}
    for index, values in sample.items():
        known = shapes.setdefault(index, tuple(int(size) for size in details[index]["shape"]))
        if values.shape != known:
            signature = tuple(int(size) for size in details[index]["shape_signature"])
            if len(signature) != values.ndim or any(
                free not in (-1, size) for free, size in zip(signature, values.shape, strict=True)
            ):
                message = (
                    f"calibration data: {details[index]['name']!r} has shape {values.shape}, and "
                    f"{source.name} takes {signature}; give samples of that shape"
                )
                raise DataError(message)
            interpreter.resize_tensor_input(index, values.shape)
            interpreter.allocate_tensors()
            shapes[index] = values.shape
    for index, values in sample.items():
        interpreter.set_tensor(
            index, np.ascontiguousarray(values.astype(details[index]["dtype"], copy=False))
        )


def _values(interpreter: Any, index: int, name: str, source: Path) -> NDArray[np.float32]:
    try:
        found: NDArray[np.float32] = interpreter.get_tensor(index)
    except ValueError as error:
        message = (
            f"{source.name}: tensor {name!r} has no value to calibrate on ({error}); "
            "fix the input shapes, or use dynamic or float16"
        )
        raise ConversionError(message) from error
    return found


def _finite(
    values: NDArray[np.float32], name: str, number: int, source: Path
) -> NDArray[np.float32]:
    """Without infinity, which is a mask: the lowest value stands for it as well."""
    if np.isnan(values).any():
        message = (
            f"{source.name}: tensor {name!r} is not a number for calibration sample {number}; "
            "check the model and its inputs' range, or use float16 or dynamic"
        )
        raise ConversionError(message)
    return values[np.isfinite(values)]
