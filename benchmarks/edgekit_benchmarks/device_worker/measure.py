"""One measurement, in a process of its own that began for it."""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import resource
import signal
import sys
from typing import Any

from .errors import Refused
from .wire import write_all

MODES = ("steady", "start", "profile", "pieces", "predict", "count")
OUT_OF_MEMORY = "out of memory"
_DIE_WITH_PARENT = 1
_RESERVED_BYTES = 1 << 30


def main(_: str) -> None:
    """Read the request, measure, write the answer; what libraries print goes to stderr."""
    answers = os.dup(1)
    os.dup2(2, 1)
    request: dict[str, Any] = json.loads(sys.stdin.buffer.readline())
    _die_with(request["parent"])

    def tell(message: dict[str, Any]) -> None:
        if os.getppid() != request["parent"]:
            sys.exit(0)  # nobody waits for the answer
        write_all(answers, json.dumps(message).encode() + b"\n")

    try:
        tell({"answer": _measured(request, tell)})
    except Refused as error:
        tell({"error": error.as_dict()})
    except MemoryError:
        tell({"error": Refused(OUT_OF_MEMORY, "CrashError").as_dict()})
    except OSError as error:
        subject = error.filename or request["spec"]["mode"]
        message = f"{subject}: {error.strerror or error}; look after the device"
        tell({"error": Refused(message, "OutputError").as_dict()})


def _measured(request: dict[str, Any], tell: Any) -> dict[str, Any]:
    spec = request["spec"]
    _limit(request.get("memory_bytes"))
    if spec.get("affinity"):
        _pin(spec["affinity"])
    if spec.get("mode") not in MODES:
        message = f"mode {spec.get('mode')!r}: is none; choose from: {', '.join(MODES)}"
        raise Refused(message, "UsageError")
    mode = importlib.import_module(f"{__package__}.{spec['mode']}")
    found: dict[str, Any] = mode.measure(spec, tell)
    return found


def _pin(cores: list[int]) -> None:
    try:
        os.sched_setaffinity(0, cores)
    except (OSError, ValueError, AttributeError) as error:
        message = f"cores {cores}: cannot be pinned to ({error}); choose among the online ones"
        raise Refused(message, "UsageError") from error


def _die_with(parent: int) -> None:
    """Be killed when the agent is, even where it cannot say goodbye (Linux)."""
    with contextlib.suppress(ImportError, OSError, AttributeError):
        import ctypes

        ctypes.CDLL(None).prctl(_DIE_WITH_PARENT, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        sys.exit(0)


def _limit(memory_bytes: int | None) -> None:
    """Let what would go far beyond fail; the agent, which looks often, ends what goes a bit beyond.

    What the system can limit is not what is resident but what is reserved, and runtimes reserve a
    lot: a limit as narrow as that of the resident memory would stop what needs little.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if memory_bytes:
        most = memory_bytes + _RESERVED_BYTES
        kind = resource.RLIMIT_DATA if sys.platform == "linux" else resource.RLIMIT_AS
        resource.setrlimit(kind, (most, most))
