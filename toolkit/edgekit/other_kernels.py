"""Run a model file on kernels that its runtime has, and does not take by itself.

They compute the same by other means, as another processor or another version of the runtime does:
TFLite's built-in kernels instead of XNNPACK's; ONNX Runtime without fusing operators, so that
quantized ones work in float between their quantizers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit._lazy import need
from edgekit.sessions.quantized import dequantize, stored
from edgekit.sessions.runtime_session import RuntimeSession

Outputs = dict[str, NDArray[Any]]


def run_otherwise(
    path: Path, session: RuntimeSession, cases: Sequence[Mapping[str, NDArray[Any]]]
) -> list[Outputs] | None:
    """What other kernels give: outputs as real numbers, for each case, from a fresh model.

    Args:
        path: the file.
        session: the same file, opened: names, dtypes and quantization are from here.
        cases: for each, arrays of real numbers that fit the inputs exactly.

    Returns:
        None where the other kernels refuse the file.
    """
    specs = {spec.name: spec for spec in session.inputs}
    raw = [
        {name: np.ascontiguousarray(stored(values, specs[name])) for name, values in case.items()}
        for case in cases
    ]
    runners = {"ai-edge-litert": _tflite, "onnxruntime": _onnx}
    run = runners.get(session.runtime.partition(" ")[0])
    if run is None:
        return None
    try:
        found = [run(path, case) for case in raw]
    except session.failures:
        return None
    if not all({spec.name for spec in session.outputs} <= set(given) for given in found):
        return None
    return [
        {
            spec.name: dequantize(given[spec.name], spec) if spec.quantization else given[spec.name]
            for spec in session.outputs
        }
        for given in found
    ]


def _tflite(path: Path, inputs: Mapping[str, NDArray[Any]]) -> Outputs:
    module = need("ai_edge_litert.interpreter", extra="litert")
    plain = module.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    interpreter = module.Interpreter(
        model_path=str(path), num_threads=1, experimental_op_resolver_type=plain
    )
    known = interpreter.get_signature_list()
    if not known:
        return {}
    signature = "serving_default" if "serving_default" in known else next(iter(sorted(known)))
    outputs: Outputs = interpreter.get_signature_runner(signature)(**inputs)
    return {name: np.array(values) for name, values in outputs.items()}


def _onnx(path: Path, inputs: Mapping[str, NDArray[Any]]) -> Outputs:
    runtime = need("onnxruntime", extra="onnx")
    options = runtime.SessionOptions()
    options.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    plain = runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    names = [output.name for output in plain.get_outputs()]
    return dict(zip(names, plain.run(names, dict(inputs)), strict=True))
