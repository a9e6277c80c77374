"""Which runtime runs a file."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from .errors import Refused, first_line

_OF = {
    "tflite": ("ai-edge-litert", "tflite-runtime"),
    "onnx": ("onnxruntime",),
    "keras": ("keras",),
}
NAMES = tuple(name for names in _OF.values() for name in names)


def import_runtime(path: str, asked: str = "auto") -> Any:
    """Import the runtime for a file: the one asked for, or the first that is installed.

    Args:
        path: the file; its content tells what it is.
        asked: one of `NAMES`, also with underscores, or as edgekit's backends are called.

    Raises:
        Refused: no such file, runtime or package.
    """
    asked = {"litert": "ai-edge-litert"}.get(asked, asked.replace("_", "-"))
    names = _OF[kind_of(path)] if asked == "auto" else (asked,)
    if names[0] not in NAMES:
        message = f"runtime {asked!r}: is none; choose from: auto, {', '.join(NAMES)}"
        raise Refused(message, "UsageError")
    missing: list[ImportError] = []
    for name in names:
        try:
            return _import(name)
        except ImportError as error:
            missing.append(error)
    if names[0] == "onnxruntime" and sys.maxsize < 2**32:
        message = f"{Path(path).name}: onnxruntime is not made for 32 bits; use a .tflite file"
        raise Refused(message, "MissingDependencyError") from missing[0]
    fitting = names[-1] if sys.version_info < (3, 10) or sys.maxsize < 2**32 else names[0]
    message = (
        f"{' or '.join(names)}: does not import in {sys.executable} ({first_line(missing[0])}); "
        f"set the target up, or run: {sys.executable} -m pip install {fitting}"
    )
    raise Refused(message, "MissingDependencyError") from missing[0]


def _import(name: str) -> Any:
    if name == "onnxruntime":
        from .run_onnx import OnnxRuntime

        return OnnxRuntime()
    if name == "keras":
        from .run_keras import Keras

        return Keras()
    from .run_tflite import TFLite

    return TFLite(name)


def kind_of(path: str) -> str:
    """``tflite``, ``keras`` or ``onnx``; the latter has no mark of its own.

    Raises:
        Refused: the file cannot be read; SourceError.
    """
    try:
        with Path(path).open("rb") as file:
            head = file.read(8)
    except OSError as error:
        message = f"{path}: cannot be read ({error.strerror}); check the path"
        raise Refused(message, "SourceError") from error
    if head[4:8] == b"TFL3":
        return "tflite"
    return "keras" if head.startswith((b"PK\x03\x04", b"\x89HDF")) else "onnx"
