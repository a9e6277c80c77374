"""Check a model file's structure before native code sees it.

Runtimes are written for files that converters made. A file that a bad download, a worn-out card or
a hostile hand has changed can end the process, where no exception handler helps.
"""

from __future__ import annotations

from typing import Literal

from edgekit.errors import SourceError
from edgekit.flatbuffer import FlatBufferError
from edgekit.protobuf import WireError


def check(data: memoryview | bytes, kind: Literal["tflite", "onnx"], name: str) -> None:
    """Refuse a file on which a runtime could crash.

    The weights themselves are not read: a damaged one gives wrong numbers, not a crash. For that
    there are the seal and the self-test.

    Args:
        data: the whole file.
        kind: what `edgekit.source_kind.sniff` found it to be.
        name: how messages call it.

    Raises:
        SourceError: it is truncated or damaged; the message says where.
    """
    view = memoryview(data)
    try:
        if kind == "tflite":
            from edgekit.guard_tflite import check_tflite

            check_tflite(view)
        else:
            from edgekit.guard_onnx import check_onnx

            check_onnx(view)
    except (FlatBufferError, WireError) as error:
        message = f"{name}: the file is truncated or damaged ({error}); make or copy it again"
        raise SourceError(message) from None
