"""The child's side of `edgekit.child`: serve one module's functions until the parent goes away.

What the served module and its libraries print goes to the log; answers have a descriptor of their
own, so that no library can garble them.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import faulthandler
import importlib
import json
import os
import signal
import sys
import traceback
from typing import Any

from edgekit.errors import EdgekitError

_PR_SET_PDEATHSIG = 1
_answers: int = -1


def tell(event: str) -> None:
    """Tell the parent what is being done now; shown as progress."""
    if _answers >= 0:
        _write({"event": event})


def _write(message: dict[str, Any]) -> None:
    data = json.dumps(message).encode() + b"\n"
    while data:
        data = data[os.write(_answers, data) :]


def _die_with_parent() -> None:
    """Even when the parent is killed outright, nothing is left running (Linux)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if str(os.getppid()) != os.environ.get("EDGEKIT_PARENT"):
        sys.exit(0)


def _answer(module: Any, request: dict[str, Any]) -> dict[str, Any]:
    try:
        return {"result": getattr(module, request["call"])(**request["with"])}
    except EdgekitError as error:
        return {"error": {"class": type(error).__name__, "message": str(error)}}
    except MemoryError:
        message = f"{request['call']}: out of memory; raise --memory-limit, or use fewer samples"
        return {"error": {"class": "CrashError", "message": message}}
    except OSError as error:
        if error.errno not in {errno.ENOSPC, errno.EDQUOT}:
            return _unexpected(request["call"], error)
        message = f"temporary files: {error.strerror}; free some space, or set TMPDIR elsewhere"
        return {"error": {"class": "OutputError", "message": message}}
    except Exception as error:
        return _unexpected(request["call"], error)


def _unexpected(call: str, error: Exception) -> dict[str, Any]:
    """A bug, or a library's surprise: the log has the traceback."""
    traceback.print_exception(error)
    first = (str(error).strip().splitlines() or ["no message"])[0][:300]
    message = (
        f"{call}: unexpected {type(error).__name__}: {first}; "
        "run again with --verbose for the whole log, and report it"
    )
    return {"error": {"class": "CrashError", "message": message}}


def main(descriptor: int, name: str) -> None:
    """Answer requests from standard input, one JSON line each, on `descriptor`."""
    global _answers  # noqa: PLW0603 - one process, one channel
    _answers = descriptor
    os.set_inheritable(descriptor, False)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _die_with_parent()
    faulthandler.enable()
    module = importlib.import_module(name)
    with contextlib.suppress(BrokenPipeError):
        for line in sys.stdin.buffer:
            _write(_answer(module, json.loads(line)))
    os._exit(0)  # the parent is gone or done: no library's shutdown code is of interest


if __name__ == "__main__":
    # Imported again under its real name, so that `tell` and this loop share one channel.
    importlib.import_module("edgekit.child_main").main(int(sys.argv[1]), sys.argv[2])
