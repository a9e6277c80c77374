"""One product of matrices, ``scores = image @ WEIGHTS``, in many wrappings."""

from __future__ import annotations

from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from onnx import helper

from device_models import onnx_writer, tflite_writer
from device_models.index import Folder
from device_models.tflite_writer import Operator, Tensor
from edgekit.tensors import TensorSpec

WEIGHTS = np.array([[1.0, -1.0, 0.5], [0.5, 1.0, -1.0]], np.float32)
ROWS = np.array([[1, 2], [-0.5, 0.25], [0, 3], [2, -1], [0.1, 0.2], [7, 9]], np.float32)
FULLY_CONNECTED, CUSTOM = 9, 32
TOLERANCE = 1e-5


def make(folder: Folder) -> None:
    """The same weights with a batch of 1, of 4, a free one, without names, and refused ones."""
    one = folder.arrays("dense", {"image": ROWS[:, None]}, {"scores": ROWS[:, None] @ WEIGHTS})
    all_rows = folder.arrays("dense.rows", {"image": ROWS[None]}, {"scores": ROWS[None] @ WEIGHTS})
    _both(folder, "dense", arrays=one)
    _both(folder, "dense.batch-4", batch=4, arrays=all_rows)
    _both(folder, "dense.batch-free", batch=None, arrays=all_rows)
    _both(folder, "dense.doubled", weights=2 * WEIGHTS)
    _both(folder, "dense.other", weights=WEIGHTS[:, :2])
    _tflite(folder, "dense.bare", has_signature=False)
    folder.add("dense.bare", "tflite")
    _refused(folder)


def _refused(folder: Folder) -> None:
    _tflite(folder, "refused.too-new", version=99)
    _tflite(folder, "refused.custom", custom="MyOperator")
    image, scores = _specs(1, WEIGHTS)
    product = ["image", "weights"], ["scores"]
    onnx_writer.write(
        folder.file("refused.too-new", "onnx"),
        [helper.make_node("MatMul", *product)],
        [image],
        [scores],
        weights={"weights": WEIGHTS},
        opsets={"": 99},
    )
    onnx_writer.write(
        folder.file("refused.custom", "onnx"),
        [helper.make_node("MyOperator", *product, domain="my.own")],
        [image],
        [scores],
        weights={"weights": WEIGHTS},
        opsets={"": onnx_writer.OPSET, "my.own": 1},
    )
    for format_ in ("tflite", "onnx"):
        too_new = "FULLY_CONNECTED" if format_ == "tflite" else "99"
        folder.add("refused.too-new", format_, refused_because=too_new)
        folder.add("refused.custom", format_, refused_because="MyOperator")


def _both(
    folder: Folder, name: str, *, batch: int | None = 1, weights: Any = WEIGHTS, arrays: str = ""
) -> None:
    _tflite(folder, name, batch=batch, weights=weights)
    onnx_writer.write(
        folder.file(name, "onnx"),
        [helper.make_node("MatMul", ["image", "weights"], ["scores"])],
        [_specs(batch, weights)[0]],
        [_specs(batch, weights)[1]],
        weights={"weights": weights},
    )
    for format_ in ("tflite", "onnx"):
        folder.add(name, format_, arrays=arrays, tolerance=TOLERANCE, shape_is_free=batch is None)


def _specs(batch: int | None, weights: Any) -> tuple[TensorSpec, TensorSpec]:
    rows, columns = weights.shape
    return (
        TensorSpec(name="image", shape=(batch, rows), dtype="float32"),
        TensorSpec(name="scores", shape=(batch, columns), dtype="float32"),
    )


def _tflite(
    folder: Folder,
    name: str,
    *,
    batch: int | None = 1,
    weights: Any = WEIGHTS,
    version: int = 1,
    custom: str = "",
    has_signature: bool = True,
) -> None:
    rows, columns = weights.shape
    count = batch or -1
    is_builtin = not custom
    tflite_writer.write(
        folder.file(name, "tflite"),
        [
            Tensor(name="raw_image:0", shape=(count, rows)),
            Tensor(name="weights", shape=(columns, rows), data=weights.T),
            Tensor(name="raw_scores:0", shape=(count, columns)),
        ],
        [
            Operator(
                builtin=FULLY_CONNECTED if is_builtin else CUSTOM,
                inputs=[0, 1, -1] if is_builtin else [0, 1],
                outputs=[2],
                options_type=schema.BuiltinOptions.FullyConnectedOptions if is_builtin else 0,
                options=schema.FullyConnectedOptionsT() if is_builtin else None,
                version=version,
                custom=custom,
            )
        ],
        {"image": 0},
        {"scores": 2},
        has_signature=has_signature,
    )
