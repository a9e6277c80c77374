"""Try one runtime on a model of one addition; served by `edgekit.child`, as a runtime may crash.

Each function loads its runtime, adds two vectors, and returns the sums; `EXPECTED` is right.
"""

from pathlib import Path
from typing import Any

import numpy as np

from edgekit._lazy import need

_FILES = Path(__file__).parent / "probe_files"
_ADDENDS = np.array([[1.0, -2.0, 0.5, 1e3], [2.0, 2.0, 0.25, -1.0]], np.float32)
EXPECTED = [3.0, 0.0, 0.75, 999.0]


def ai_edge_litert() -> list[float]:
    """Add with LiteRT."""
    return _tflite(need("ai_edge_litert.interpreter", extra="litert"))


def tflite_runtime() -> list[float]:
    """Add with the older TFLite runtime of 32-bit boards."""
    return _tflite(need("tflite_runtime.interpreter", extra="tflite-runtime"))


def onnxruntime() -> list[float]:
    """Add with ONNX Runtime."""
    runtime = need("onnxruntime", extra="onnx")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = 1
    session = runtime.InferenceSession(
        str(_FILES / "add.onnx"), options, providers=["CPUExecutionProvider"]
    )
    (sums,) = session.run(["sum"], dict(zip("ab", _ADDENDS, strict=True)))
    return [float(value) for value in sums]


def _tflite(module: Any) -> list[float]:
    interpreter = module.Interpreter(model_path=str(_FILES / "add.tflite"), num_threads=1)
    interpreter.allocate_tensors()
    for detail, values in zip(interpreter.get_input_details(), _ADDENDS, strict=True):
        interpreter.set_tensor(detail["index"], values)
    interpreter.invoke()
    sums = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
    return [float(value) for value in sums]
