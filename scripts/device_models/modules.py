"""Files that TensorFlow's converter makes from functions, and their counterparts in ONNX."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf
from onnx import helper

from device_models import memories, onnx_writer
from device_models.index import Folder
from edgekit.tensors import TensorSpec

IDS = np.array([[[1, -2, 0, 2**40]], [[5, 6, 7, -8]]], np.int64)
FLAGS = np.array([[True], [False]])
GRID = np.array([[[0, 1, -2], [3, 0, 4]], [[-1, -1, -1], [-1, -1, 5]]], np.float32)
SCALARS = np.array([0.5, -3.0, 1e6], np.float32)
TOLERANCE = 1e-5


def make(folder: Folder) -> None:
    """Bool and int64, a scalar, a result whose shape depends on values, a variable, signatures."""
    _choose(folder)
    _scalar(folder)
    _positive(folder)
    _sum(folder)
    _signatures(folder)
    _flex(folder)


def _choose(folder: Folder) -> None:
    def choose(flag: Any, ids: Any) -> dict[str, Any]:
        return {"chosen": tf.where(flag, ids * 2, -ids)}

    _tflite(folder, "choose", choose, flag=((1,), tf.bool), ids=((1, 4), tf.int64))
    onnx_writer.write(
        folder.file("choose", "onnx"),
        [
            helper.make_node("Mul", ["ids", "two"], ["doubled"]),
            helper.make_node("Neg", ["ids"], ["negated"]),
            helper.make_node("Where", ["flag", "doubled", "negated"], ["chosen"]),
        ],
        [_spec("flag", (1,), "bool"), _spec("ids", (1, 4), "int64")],
        [_spec("chosen", (1, 4), "int64")],
        weights={"two": np.array(2)},
    )
    chosen = np.where(FLAGS[:, :, None], IDS * 2, -IDS)
    arrays = folder.arrays("choose", {"flag": FLAGS, "ids": IDS}, {"chosen": chosen})
    _add(folder, "choose", arrays)


def _scalar(folder: Folder) -> None:
    def line(x: Any) -> dict[str, Any]:
        return {"y": x * 2.0 + 1.0}

    _tflite(folder, "scalar", line, x=((), tf.float32))
    onnx_writer.write(
        folder.file("scalar", "onnx"),
        [
            helper.make_node("Mul", ["x", "two"], ["doubled"]),
            helper.make_node("Add", ["doubled", "one"], ["y"]),
        ],
        [_spec("x", ())],
        [_spec("y", ())],
        weights={"two": np.float32(2), "one": np.float32(1)},
    )
    _add(folder, "scalar", folder.arrays("scalar", {"x": SCALARS}, {"y": SCALARS * 2 + 1}))


def _positive(folder: Folder) -> None:
    def positive(grid: Any) -> dict[str, Any]:
        return {"places": tf.where(grid > 0)}

    _tflite(folder, "positive", positive, grid=((2, 3), tf.float32))
    onnx_writer.write(
        folder.file("positive", "onnx"),
        [
            helper.make_node("Greater", ["grid", "zero"], ["found"]),
            helper.make_node("NonZero", ["found"], ["columns"]),
            helper.make_node("Transpose", ["columns"], ["places"], perm=[1, 0]),
        ],
        [_spec("grid", (2, 3))],
        [TensorSpec(name="places", shape=(None, 2), dtype="int64")],
        weights={"zero": np.float32(0)},
    )
    for format_ in ("tflite", "onnx"):  # results of different shapes do not go into one array
        folder.add("positive", format_)


def _sum(folder: Folder) -> None:
    class Sum(tf.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            self.total = tf.Variable(tf.zeros((1, 1)))

        @tf.function(input_signature=[tf.TensorSpec((1, 1), tf.float32, name="sample")])  # type: ignore[untyped-decorator]
        def __call__(self, sample: Any) -> dict[str, Any]:
            return {"total": self.total.assign_add(sample)}

    module = Sum()
    converter = tf.lite.TFLiteConverter.from_concrete_functions(
        [module.__call__.get_concrete_function()], module
    )
    converter.experimental_enable_resource_variables = True
    folder.file("sum", "tflite").write_bytes(converter.convert())
    folder.add("sum", "tflite", arrays=memories.sum_arrays(folder), tolerance=TOLERANCE)


def _signatures(folder: Folder) -> None:
    taken = [tf.TensorSpec((1, 2), tf.float32, name="x")]

    class Two(tf.Module):  # type: ignore[misc]
        @tf.function(input_signature=taken)  # type: ignore[untyped-decorator]
        def double(self, x: Any) -> dict[str, Any]:
            return {"doubled": x * 2.0}

        @tf.function(input_signature=taken)  # type: ignore[untyped-decorator]
        def negate(self, x: Any) -> dict[str, Any]:
            return {"negated": -x, "x_plus_1": x + 1.0}

    module = Two()
    with tempfile.TemporaryDirectory() as saved:
        functions = {"double": module.double, "negate": module.negate}
        tf.saved_model.save(module, saved, signatures=functions)
        converter = tf.lite.TFLiteConverter.from_saved_model(saved, signature_keys=list(functions))
        folder.file("signatures", "tflite").write_bytes(converter.convert())
    folder.add("signatures", "tflite")


def _flex(folder: Folder) -> None:
    def determinant(matrix: Any) -> dict[str, Any]:
        return {"determinant": tf.linalg.det(matrix)}

    _tflite(folder, "refused.flex", determinant, flex=True, matrix=((3, 3), tf.float32))
    folder.add("refused.flex", "tflite", refused_because="Flex")


def _tflite(
    folder: Folder, name: str, function: Callable[..., Any], *, flex: bool = False, **taken: Any
) -> None:
    specs = [tf.TensorSpec(shape, dtype, name=key) for key, (shape, dtype) in taken.items()]
    module = tf.Module()
    module.call = tf.function(function, input_signature=specs)
    with tempfile.TemporaryDirectory() as saved:
        tf.saved_model.save(module, saved, signatures={"serving_default": module.call})
        converter = tf.lite.TFLiteConverter.from_saved_model(saved)
        if flex:
            converter.target_spec.supported_ops = [
                tf.lite.OpsSet.TFLITE_BUILTINS,
                tf.lite.OpsSet.SELECT_TF_OPS,
            ]
        folder.file(name, "tflite").write_bytes(converter.convert())


def _add(folder: Folder, name: str, arrays: str) -> None:
    for format_ in ("tflite", "onnx"):
        folder.add(name, format_, arrays=arrays, tolerance=TOLERANCE)


def _spec(name: str, shape: tuple[int, ...], dtype: str = "float32") -> TensorSpec:
    return TensorSpec(name=name, shape=shape, dtype=dtype)
