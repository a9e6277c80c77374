"""Files that give back what they are given: all that is left is the arithmetic at their ends."""

from __future__ import annotations

from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from onnx import helper

from device_models import onnx_writer, tflite_writer
from device_models.index import Folder
from device_models.tflite_writer import Operator, Tensor
from edgekit.tensors import Quantization, TensorSpec

RESHAPE = 22
PLAIN = ("float32", "float16", "int32", "int64", "bool")
QUANTIZED = {
    "int8": Quantization(scale=(0.1,), zero_point=(-3,)),
    "uint8": Quantization(scale=(0.0123,), zero_point=(131,)),
    "int16": Quantization(scale=(0.001,), zero_point=(0,)),
}
PER_CHANNEL = Quantization(scale=(0.5, 0.25, 0.1), zero_point=(0, 10, -10), axis=1)
PICTURE = (1, 224, 224, 3)
TYPED = {
    "float16": np.array([[0.0, 1.5, -2.25, 0.1]]),
    "int32": np.array([[0, -7, 2**31 - 1, -(2**31)]]),
    "int64": np.array([[0, -7, 2**40, -(2**63)]]),
    "bool": np.array([[True, False, False, True]]),
}


def make(folder: Folder) -> None:
    """Every stored type; quantized for a whole tensor and for each channel; large pictures."""
    for dtype in (*PLAIN, *QUANTIZED):
        one = QUANTIZED.get(dtype)
        _echo(folder, f"echo.{dtype}", _spec("values", (1, 4), dtype, one), one)
    step = Quantization(scale=(0.5,), zero_point=(0,))
    _echo(folder, "echo.per-channel", _spec("values", (1, 3), "int8", step), PER_CHANNEL)
    _echo(folder, "echo.per-channel-in", _spec("values", (1, 3), "int8", PER_CHANNEL), step)
    _echo(folder, "picture.float32", _spec("values", PICTURE, "float32", None), None)
    _echo(folder, "picture.int8", _spec("values", PICTURE, "int8", QUANTIZED["int8"]), step)
    _picky(folder)
    _passed(folder)


def _spec(
    name: str, shape: tuple[int, ...], dtype: str, quantization: Quantization | None
) -> TensorSpec:
    return TensorSpec(name=name, shape=shape, dtype=dtype, quantization=quantization)


def _echo(folder: Folder, name: str, taken: TensorSpec, given: Quantization | None) -> None:
    arrays = ""
    if taken.dtype in TYPED:
        values = TYPED[taken.dtype].astype(taken.dtype)[np.newaxis]
        results = values.astype(np.float32) if taken.dtype == "float16" else values
        arrays = folder.arrays(name, {"values": values}, {"same": results})
    shape = tuple(size or 1 for size in taken.shape)
    result = _spec("same", shape, taken.dtype, given)
    _echo_tflite(folder, name, _tensor("raw_values:0", taken), _tensor("raw_same:0", result))
    onnx_writer.write(
        folder.file(name, "onnx"),
        [helper.make_node("Identity", ["values"], ["same"])],
        [taken],
        [result],
    )
    for format_ in ("tflite", "onnx"):
        folder.add(name, format_, arrays=arrays)


def _picky(folder: Folder) -> None:
    """Says that it takes any number of rows, and can only make two of them."""
    taken = TensorSpec(name="values", shape=(None, 4), dtype="float32")
    result = TensorSpec(name="same", shape=(2, 4), dtype="float32")
    free = Tensor(name="raw_values:0", shape=(-1, 4))
    _echo_tflite(folder, "picky", free, _tensor("raw_same:0", result))
    onnx_writer.write(
        folder.file("picky", "onnx"),
        [helper.make_node("Reshape", ["values", "two_rows"], ["same"])],
        [taken],
        [result],
        weights={"two_rows": np.array([2, 4])},
    )
    for format_ in ("tflite", "onnx"):
        folder.add("picky", format_, shape_is_free=True)


def _passed(folder: Folder) -> None:
    """Gives its input itself as a second output."""
    spec = TensorSpec(name="values", shape=(1, 4), dtype="float32")
    tensors = _tensor("raw_values:0", spec), _tensor("raw_same:0", spec)
    _echo_tflite(folder, "passed", *tensors, outputs={"values": 0, "same": 1})
    onnx_writer.write(
        folder.file("passed", "onnx"),
        [helper.make_node("Identity", ["values"], ["same"])],
        [spec],
        [spec, TensorSpec(name="same", shape=(1, 4), dtype="float32")],
    )
    values = np.array([[[1, -2, 3, 0.5]], [[0, 7, 7, -1]]], np.float32)
    arrays = folder.arrays("passed", {"values": values}, {"values": values, "same": values})
    for format_ in ("tflite", "onnx"):
        folder.add("passed", format_, arrays=arrays)


def _echo_tflite(
    folder: Folder,
    name: str,
    taken: Tensor,
    given: Tensor,
    *,
    outputs: dict[str, int] | None = None,
) -> None:
    tflite_writer.write(
        folder.file(name, "tflite"),
        [taken, given],
        [
            Operator(
                builtin=RESHAPE,
                inputs=[0],
                outputs=[1],
                options_type=schema.BuiltinOptions.ReshapeOptions,
                options=_reshape_options(given.shape),
            )
        ],
        {"values": 0},
        outputs or {"same": 1},
    )


def _tensor(name: str, spec: TensorSpec) -> Tensor:
    shape = tuple(size or 1 for size in spec.shape)
    return Tensor(name=name, shape=shape, dtype=spec.dtype, quantization=spec.quantization)


def _reshape_options(shape: tuple[int, ...]) -> Any:
    options = schema.ReshapeOptionsT()
    options.newShape = np.array(shape, np.int32)
    return options
