"""Files that remember between calls, written by hand: a filter and a sum."""

from __future__ import annotations

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from onnx import helper

from device_models import onnx_writer, tflite_writer
from device_models.index import Folder
from device_models.tflite_writer import Operator, Tensor
from edgekit.tensors import TensorSpec

SVDF = 27
TAPS = np.array([[0.25, 0.5, 1.0]], np.float32)
"""Of the sample before the last, the last one, and this one."""
SAMPLES = np.array([1.0, 0.0, 0.0, 0.0, 2.0, -3.0, 5.0, 0.5], np.float32)
TOLERANCE = 1e-5


def make(folder: Folder) -> None:
    """`filter`: ``y[t] = taps @ x[t-2 .. t]``, by a variable tensor or by an explicit state."""
    padded = np.concatenate([[0, 0], SAMPLES])
    filtered = np.convolve(padded, TAPS[0, ::-1], mode="valid").astype(np.float32)
    arrays = folder.arrays(
        "filter", {"sample": SAMPLES[:, None, None]}, {"filtered": filtered[:, None, None]}
    )
    _filter_tflite(folder)
    _filter_onnx(folder)
    for format_ in ("tflite", "onnx"):
        folder.add("filter", format_, arrays=arrays, tolerance=TOLERANCE)
    _sum_onnx(folder)


def sum_arrays(folder: Folder) -> str:
    """What `sum` takes and gives, in either format."""
    return folder.arrays(
        "sum", {"sample": SAMPLES[:, None, None]}, {"total": np.cumsum(SAMPLES)[:, None, None]}
    )


def _filter_tflite(folder: Folder) -> None:
    options = schema.SvdfoptionsT() if hasattr(schema, "SvdfoptionsT") else schema.SVDFOptionsT()
    options.rank = 1
    tflite_writer.write(
        folder.file("filter", "tflite"),
        [
            Tensor(name="sample", shape=(1, 1)),
            Tensor(name="feature", shape=(1, 1), data=np.ones((1, 1), np.float32)),
            Tensor(name="taps", shape=TAPS.shape, data=TAPS),
            Tensor(name="history", shape=TAPS.shape, is_variable=True),
            Tensor(name="filtered", shape=(1, 1)),
        ],
        [
            Operator(
                builtin=SVDF,
                inputs=[0, 1, 2, -1, 3],
                outputs=[4],
                options_type=schema.BuiltinOptions.SVDFOptions,
                options=options,
            )
        ],
        {"sample": 0},
        {"filtered": 4},
    )


def _filter_onnx(folder: Folder) -> None:
    one, history = (1, 1), (1, 2)
    onnx_writer.write(
        folder.file("filter", "onnx"),
        [
            helper.make_node("Concat", ["history", "sample"], ["window"], axis=1),
            helper.make_node("MatMul", ["window", "taps"], ["filtered"]),
            helper.make_node("Slice", ["window", "from", "to", "axis"], ["history_next"]),
        ],
        [_spec("sample", one), _spec("history", history)],
        [_spec("filtered", one), _spec("history_next", history)],
        weights={
            "taps": TAPS.T.copy(),
            "from": np.array([1]),
            "to": np.array([3]),
            "axis": np.array([1]),
        },
        manifest={"states": [{"input": "history", "output": "history_next"}]},
    )


def _sum_onnx(folder: Folder) -> None:
    one = (1, 1)
    onnx_writer.write(
        folder.file("sum", "onnx"),
        [
            helper.make_node("Add", ["before", "sample"], ["total"]),
            helper.make_node("Identity", ["total"], ["before_next"]),
        ],
        [_spec("sample", one), _spec("before", one)],
        [_spec("total", one), _spec("before_next", one)],
        manifest={"states": [{"input": "before", "output": "before_next"}]},
    )
    folder.add("sum", "onnx", arrays=sum_arrays(folder), tolerance=TOLERANCE)


def _spec(name: str, shape: tuple[int, ...]) -> TensorSpec:
    return TensorSpec(name=name, shape=shape, dtype="float32")
