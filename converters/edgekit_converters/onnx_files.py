"""Read and write ONNX files, weights included, in one piece."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edgekit._lazy import need
from edgekit.errors import ConversionError, OutputError, SourceError
from edgekit.recipe import CALIBRATED, Precision
from edgekit_converters.onnx_edit import graphs, tidy

SIZE_LIMIT_BYTES = 2**31 - 1
"""One ONNX file holds at most this; larger models need a second file beside it, which we refuse."""


def read(source: Path) -> Any:
    """Load an ONNX file, weights included.

    Raises:
        SourceError: the file is missing, or is not an ONNX model.
    """
    onnx = need("onnx", extra="convert")
    decode_error = need("google.protobuf.message", extra="convert").DecodeError

    try:
        model = onnx.load(str(source))
    except FileNotFoundError as error:
        message = f"{source}: a file of this model is missing ({error.filename}); check the path"
        raise SourceError(message) from error
    except (decode_error, onnx.checker.ValidationError) as error:
        message = f"{source}: not a readable ONNX model; export it again"
        raise SourceError(message) from error
    if not model.HasField("graph"):
        message = f"{source}: an ONNX file without a graph; export it again"
        raise SourceError(message)
    return model


def write(model: Any, out: Path) -> None:
    """Write `model` as one file; equal models give equal bytes.

    Raises:
        ConversionError: the model is too large for one file.
        OutputError: the file cannot be written.
    """
    if model.ByteSize() > SIZE_LIMIT_BYTES:
        message = (
            f"{out.name}: the model exceeds the 2 GB of one ONNX file; use a smaller precision"
        )
        raise ConversionError(message)
    try:
        out.write_bytes(model.SerializeToString(deterministic=True))
    except OSError as error:
        message = f"{out}: cannot be written ({error.strerror}); choose another place with -o"
        raise OutputError(message) from error


def write_compressed(model: Any, out: Path, float_bytes: int, precision: Precision) -> None:
    """Tidy `model`, drop what only helps tools, and write it.

    Raises:
        ConversionError: its only merit would be its size, and that is not below `float_bytes`.
        OutputError: the file cannot be written.
    """
    tidy(model)
    for graph in graphs(model.graph):
        del graph.value_info[:]
    size = model.ByteSize()
    if size >= float_bytes and precision not in CALIBRATED:
        message = (
            f"{precision} makes this ONNX model no smaller ({size} bytes) than "
            f"float32 ({float_bytes} bytes); keep float32"
        )
        raise ConversionError(message)
    write(model, out)
