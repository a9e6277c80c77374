"""Write a small `.onnx` file node by node."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from edgekit.tensors import TensorSpec

OPSET = 15
IR_VERSION = 8


def write(
    path: Path,
    nodes: Sequence[onnx.NodeProto],
    inputs: Sequence[TensorSpec],
    outputs: Sequence[TensorSpec],
    *,
    weights: Mapping[str, NDArray[Any]] | None = None,
    opsets: Mapping[str, int] | None = None,
    manifest: Mapping[str, Any] | None = None,
) -> None:
    """Write a file; quantized inputs and outputs are described in a manifest."""
    graph = helper.make_graph(
        list(nodes),
        path.stem,
        [_value(spec) for spec in inputs],
        [_value(spec) for spec in outputs],
        [numpy_helper.from_array(np.asarray(v), name) for name, v in (weights or {}).items()],
    )
    imports = [helper.make_opsetid(d, v) for d, v in (opsets or {"": OPSET}).items()]
    model = helper.make_model(graph, opset_imports=imports, ir_version=IR_VERSION)
    said = dict(manifest or {})
    if any(spec.quantization for spec in (*inputs, *outputs)):
        said["inputs"] = [spec.to_dict() for spec in inputs]
        said["outputs"] = [spec.to_dict() for spec in outputs]
    if said:
        helper.set_model_props(model, {"edgekit.manifest": json.dumps(said, sort_keys=True)})
    path.write_bytes(model.SerializeToString())


def _value(spec: TensorSpec) -> Any:
    element = helper.np_dtype_to_tensor_dtype(np.dtype(spec.dtype))
    shape = [f"free_{at}" if size is None else size for at, size in enumerate(spec.shape)]
    return helper.make_tensor_value_info(spec.name, element, shape)
