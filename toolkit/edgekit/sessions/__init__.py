"""Model files, opened and ready to run: TFLite by LiteRT, ONNX by ONNX Runtime.

with open_session("mnist.int8.tflite", threads=2) as session:
    outputs = session.run_real({"image": image})
"""

from __future__ import annotations

import os
from typing import Literal, get_args

from edgekit.errors import SourceError, UsageError
from edgekit.mapped_file import file_name
from edgekit.sessions.runtime_session import CPU, Providers, RuntimeSession
from edgekit.sessions.session import Session

__all__ = ["BACKENDS", "CPU", "Backend", "Providers", "RuntimeSession", "Session", "open_session"]

Backend = Literal["auto", "litert", "tflite-runtime", "onnxruntime"]
BACKENDS: tuple[Backend, ...] = get_args(Backend)
_MOST_THREADS = 256
"""More are a mistake on any device, and a runtime that starts thousands brings it to a halt."""
_OF: dict[str, tuple[Backend, ...]] = {
    "tflite": ("litert", "tflite-runtime"),
    "onnx": ("onnxruntime",),
}


def open_session(
    source: str | os.PathLike[str] | bytes,
    *,
    threads: int = 1,
    backend: Backend = "auto",
    providers: Providers = CPU,
    signature: str | None = None,
    name: str | None = None,
) -> RuntimeSession:
    """Open a .tflite or .onnx file with the runtime that runs it on the device.

    The content decides, not the name.

    Args:
        source: the file, or its content.
        threads: how many threads one inference may use.
        backend: the runtime; ``auto`` takes the first that is installed.
        providers: ONNX Runtime's execution providers, the preferred one first.
        signature: which of a TFLite file's signatures to run; its default one if None.
        name: what messages call it; the path if None.

    Raises:
        SourceError: missing, empty, truncated, or neither TFLite nor ONNX.
        VerificationError: the runtime refuses the file; the message names the operator.
        MissingDependencyError: the runtime is not installed.
        UsageError: a backend, provider or signature that is not there, or that does not fit.
    """
    content = source if isinstance(source, bytes) else None
    path = (name or "model") if isinstance(source, bytes) else os.fspath(source)
    kind = _kind(path, content)
    if kind not in _OF:
        message = (
            f"{path}: a {kind} model, which no runtime for devices opens; run: edgekit convert"
        )
        raise SourceError(message)
    if not 1 <= threads <= _MOST_THREADS:
        message = f"threads={threads}: not a number of threads; give 1 to {_MOST_THREADS}"
        raise UsageError(message)
    if backend != "auto" and backend not in _OF[kind]:
        known = backend in BACKENDS
        told = f"does not run {kind} files" if known else "is no backend"
        message = f"backend={backend!r}: {told}; choose from: auto, {', '.join(_OF[kind])}"
        raise UsageError(message)
    if kind == "tflite":
        from edgekit.sessions.litert import LiteRTSession

        if tuple(providers) != CPU:
            message = (
                f"{file_name(path)}: execution providers are for .onnx files; leave providers out"
            )
            raise UsageError(message)
        return LiteRTSession(
            path, content=content, threads=threads, backend=backend, signature=signature
        )
    if signature is not None:
        message = f"{file_name(path)}: an ONNX file has no signatures; leave signature out"
        raise UsageError(message)
    from edgekit.sessions.onnxruntime import OnnxRuntimeSession

    return OnnxRuntimeSession(path, content=content, threads=threads, providers=providers)


def _kind(path: str, content: bytes | None) -> str:
    if content is not None and content[4:8] == b"TFL3":
        return "tflite"
    from edgekit.source_kind import sniff, sniff_bytes

    return sniff(path) if content is None else sniff_bytes(content, path)
