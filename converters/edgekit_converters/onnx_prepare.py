"""Bring a float ONNX model into the shape in which it can be compressed.

Everything here works on copies in memory; nothing is ever written next to the source file.
"""

from __future__ import annotations

import tempfile
from functools import lru_cache
from pathlib import Path
from typing import Any

from edgekit._lazy import need
from edgekit.errors import SourceError
from edgekit_converters.onnx_edit import name_nodes, tidy
from edgekit_converters.onnx_files import read
from edgekit_converters.onnx_fold import fold_into_convolutions
from edgekit_converters.onnx_hard_sigmoid import join_hard_sigmoids
from edgekit_converters.onnx_layer_norm import join_layer_normalizations
from edgekit_converters.onnx_recurrent import replace_loops


def prepare(source: Path) -> Any:
    """Load, fold constants and batch normalisations, infer shapes, and give every node a name.

    The result computes the same as the source and uses standard operators only. It is a pure
    function of the file, so the node names in it can be kept and used again later.

    Raises:
        SourceError: not an ONNX model, or ONNX Runtime cannot load it.
    """
    onnx = need("onnx", extra="convert")
    try:
        stamp = source.stat().st_mtime_ns, source.stat().st_size
    except OSError:
        stamp = 0, 0  # reading it will say what is wrong
    return onnx.ModelProto.FromString(_prepared(source.absolute(), stamp))


@lru_cache(maxsize=1)
def _prepared(source: Path, _: tuple[int, int]) -> bytes:
    """The prepared model; repairing a file asks for it again and again."""
    onnx = need("onnx", extra="convert")
    model = onnx.ModelProto.FromString(_optimized(read(source).SerializeToString(), source))
    tidy(model)
    name_nodes(model)
    replace_loops(model)
    join_hard_sigmoids(model)
    join_layer_normalizations(model)
    fold_into_convolutions(model)
    del model.graph.value_info[:]
    inferred = onnx.shape_inference.infer_shapes(model, strict_mode=False, data_prop=True)
    serialized: bytes = inferred.SerializeToString(deterministic=True)
    return serialized


def _optimized(serialized: bytes, source: Path) -> bytes:
    runtime = need("onnxruntime", extra="convert")
    options = runtime.SessionOptions()
    options.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    with tempfile.TemporaryDirectory(prefix="edgekit-onnx-") as folder:
        path = Path(folder) / "optimized.onnx"
        options.optimized_model_filepath = str(path)
        try:
            runtime.InferenceSession(serialized, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # its exceptions share no base class but this one
            said = str(error).splitlines()[0]
            message = f"{source}: ONNX Runtime cannot load it ({said}); export it again"
            raise SourceError(message) from error
        return path.read_bytes()
