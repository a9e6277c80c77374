"""ONNX files, on ONNX Runtime's CPU provider, names in and names out."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import numpy as np

from .inputs import Input

if TYPE_CHECKING:
    from collections.abc import Callable

_DTYPES = {"float": "float32", "double": "float64", "string": "object"}
_MANIFEST = "edgekit.manifest"
_QUIET = 3


class OnnxRuntime:
    """A .onnx file in an inference session."""

    package = "onnxruntime"
    profile_prefix: str | None = None
    """Where the session writes what its operators took, if it is to."""
    call: Callable[[Any], Any]
    """One inference."""

    def __init__(self) -> None:
        """Import the runtime."""
        import onnxruntime

        self._runtime: Any = onnxruntime

    def load(self, path: str, threads: int) -> None:
        """Read the file and prepare its graph."""
        options = self._runtime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = _QUIET
        if self.profile_prefix is not None:
            options.enable_profiling = True
            options.profile_file_prefix = self.profile_prefix
        self.session = self._runtime.InferenceSession(
            path, options, providers=["CPUExecutionProvider"]
        )

    def inputs(self) -> list[Input]:
        """As the graph lists them; edgekit's manifest tells what integers stand for."""
        told = self.session.get_modelmeta().custom_metadata_map.get(_MANIFEST)
        listed = json.loads(told).get("inputs", []) if told else []
        described = {one["name"]: one.get("quantization") or {} for one in listed}
        found = []
        for node in self.session.get_inputs():
            kind = re.sub(r"tensor\((\w+)\)", r"\1", node.type)
            dtype = np.dtype(_DTYPES.get(kind, kind))
            shape = tuple(size if isinstance(size, int) else None for size in node.shape)
            about = described.get(node.name, {}) if dtype.kind in "iu" else {}
            scale, point = about.get("scale") or [None], about.get("zero_point") or [0]
            found.append(Input(node.name, shape, dtype.type, scale[0], int(point[0])))
        return found

    def prepare(self, rows: list[list[Any]]) -> list[Any]:
        """Make `call`; returns what to call it with, one a row."""
        given = [node.name for node in self.session.get_inputs()]
        made = [node.name for node in self.session.get_outputs()]
        run = self.session.run

        def call(feed: Any) -> Any:
            return run(made, feed)

        self.call = call
        return [dict(zip(given, row)) for row in rows]  # noqa: B905

    def predict(self, arrays: list[Any]) -> list[Any]:
        """One inference on an array for each input, in their order."""
        given = [node.name for node in self.session.get_inputs()]
        found: list[Any] = self.session.run(None, dict(zip(given, arrays)))  # noqa: B905
        return found
