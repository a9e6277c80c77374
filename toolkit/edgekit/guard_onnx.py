"""Check an `.onnx` file before native code sees it.

ONNX Runtime parses with care of its own; what is refused here is what was seen to end the process.
"""

from __future__ import annotations

from edgekit.protobuf import BYTES, WireError, fields


def check_onnx(data: memoryview) -> None:
    """Check a whole `.onnx` file.

    Raises:
        WireError: it is truncated or damaged; the message says what is wrong.
    """
    graphs = sum(number == 7 and kind == BYTES for number, kind, _, _ in fields(data))
    if graphs != 1:
        message = f"it holds {graphs} graphs"
        raise WireError(message)
