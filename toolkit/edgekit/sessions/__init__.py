"""Model files, opened and ready to run: TFLite by LiteRT, ONNX by ONNX Runtime.

with open_session("mnist.int8.tflite", threads=2) as session:
    outputs = session.run_real({"image": image})
"""

from __future__ import annotations

import os
from pathlib import Path

from edgekit.errors import SourceError
from edgekit.sessions.session import Session
from edgekit.source_kind import sniff

__all__ = ["Session", "open_session"]


def open_session(path: str | os.PathLike[str], *, threads: int = 1) -> Session:
    """Open a .tflite or .onnx file with the runtime that runs it on the device.

    The content decides, not the name.

    Args:
        path: the file.
        threads: how many threads one inference may use.

    Raises:
        SourceError: missing, empty, truncated, or neither TFLite nor ONNX.
        VerificationError: the runtime refuses the file; the message names the operator.
        MissingDependencyError: the runtime is not installed.
    """
    file = Path(path)
    kind = sniff(file)
    if kind == "tflite":
        from edgekit.sessions.litert import LiteRTSession

        return LiteRTSession(file, threads=threads)
    if kind == "onnx":
        from edgekit.sessions.onnxruntime import OnnxRuntimeSession

        return OnnxRuntimeSession(file, threads=threads)
    message = f"{file}: a {kind} model, which no runtime for devices opens; run: edgekit convert"
    raise SourceError(message)
