"""The agent's side of a measuring process: start it, watch it, tell how it ended."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .errors import Gone, Refused
from .measure import OUT_OF_MEMORY
from .watch import Watch

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from .board import Board
    from .wire import Wire

_SOME = 1 << 18
_MIB = 1 << 20
_GRACE_S = 1.0
_LOOK_S = 0.05
"""Between two looks at the memory, where it is limited."""
_QUOTED_BYTES = 4096
_COUNTED = "count"
_KEPT = ("PATH", "EDGEKIT_PYTHON")
_ALONE = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
_NOISE = ("INFO", "I0", "W0", "Traceback")


class Measuring:
    """One run of the worker in its other role."""

    def __init__(self, own: str, folder: Path, board: Board, wire: Wire) -> None:
        """Nothing is started yet.

        Args:
            own: what to run: the worker's folder or file.
            folder: for what it writes.
            board: to watch.
            wire: to the other side, which may go away meanwhile.
        """
        self._own, self._folder, self._board, self._wire = own, folder, board, wire
        self._log = folder / "measure.log"
        self._process: subprocess.Popen[bytes] | None = None

    def run(
        self,
        spec: dict[str, Any],
        limit_s: float,
        memory_bytes: int | None,
        watch_s: float,
        on_event: Callable[[dict[str, Any]], None],
    ) -> dict[str, Any]:
        """Measure; the process is gone afterwards, whatever happened.

        Raises:
            Refused: what the process refused; or it died, took too long or too much memory.
            Gone: nobody waits for the answer any more.
        """
        if memory_bytes and not Path("/proc/self/statm").exists():
            message = "memory limit: cannot be kept here, as there is no /proc; leave it out"
            raise Refused(message, "UsageError")
        is_counted = spec.get("mode") == "count"
        if is_counted:
            spec = {**spec, "count_file": str(self._folder / _COUNTED / "counts.jsonl")}
        process = self._start(spec["count_file"] if is_counted else None)
        watch = Watch(self._board, process.pid, watch_s)
        request = {"spec": spec, "memory_bytes": memory_bytes, "parent": os.getpid()}
        try:
            assert process.stdin is not None
            with contextlib.suppress(BrokenPipeError), process.stdin:
                process.stdin.write(json.dumps(request).encode() + b"\n")
            answer = self._await(process, watch, limit_s, memory_bytes, on_event)
        finally:
            self.kill()
        watch.look()
        if "error" in answer:
            kind, message = answer["error"]["kind"], answer["error"]["message"]
            if message == OUT_OF_MEMORY:
                message = _out_of_memory(watch.name, memory_bytes)
            raise Refused(message, kind)
        if "answer" not in answer:
            message = _death(process.returncode, watch, self._said(), memory_bytes)
            raise Refused(message, "CrashError")
        found = answer["answer"]
        if memory_bytes and found.get("memory", {}).get("peak_bytes", 0) > memory_bytes:
            raise Refused(_out_of_memory(watch.name, memory_bytes), "CrashError")
        return {"answer": found, "watch": watch.samples, "clock": watch.jumps}

    def kill(self) -> None:
        """End the process and what it started; safe to call twice."""
        process, self._process = self._process, None
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        if process.stdout is not None:
            process.stdout.close()

    def _start(self, count_file: str | None) -> subprocess.Popen[bytes]:
        """Start it.

        Args:
            count_file: where its instructions are counted; it then finds the same of everything,
                whoever counts whenever, as they depend a little on how the memory is laid out.
        """
        folder = self._folder
        kept: Mapping[str, str] = os.environ
        if count_file is not None:
            folder /= _COUNTED
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
            kept = {**kept, **_ALONE, "EDGEKIT_COUNT": count_file}
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [os.environ.get("EDGEKIT_PYTHON") or sys.executable, self._own, "measure"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                cwd=folder,
                env={
                    **kept,
                    "TMPDIR": str(folder),
                    "XDG_CACHE_HOME": str(folder),  # ONNX Runtime leaves a file there
                },
                start_new_session=True,
            )
        return self._process

    def _await(
        self,
        process: subprocess.Popen[bytes],
        watch: Watch,
        limit_s: float,
        memory_bytes: int | None,
        on_event: Callable[[dict[str, Any]], None],
    ) -> dict[str, Any]:
        """The answer or error; nothing if it died."""
        assert process.stdout is not None
        output = process.stdout.fileno()
        end = time.monotonic() + limit_s
        pieces: list[bytes] = []
        while True:
            if watch.rest_s == 0:
                on_event({"kind": "watch", **watch.look()})
            if memory_bytes and (watch.resident_bytes() or 0) > memory_bytes:
                raise Refused(_out_of_memory(watch.name, memory_bytes), "CrashError")
            rest_s = min(watch.rest_s, end - time.monotonic(), _LOOK_S if memory_bytes else limit_s)
            ready = self._wire.wait(max(0.0, rest_s), output)
            if self._wire.has_ended:
                raise Gone
            if output in ready:
                got = os.read(output, _SOME)
                if not got:
                    with contextlib.suppress(subprocess.TimeoutExpired):
                        process.wait(_GRACE_S)
                    return {}
                pieces.append(got)
                if b"\n" in got:
                    *lines, rest = b"".join(pieces).split(b"\n")
                    pieces = [rest]
                    for line in lines:
                        message: dict[str, Any] = json.loads(line)
                        if "answer" in message or "error" in message:
                            return message
                        self._pass_on(message, watch, on_event)
            if time.monotonic() >= end:
                message_of_limit = (
                    f"{watch.name}: no end after {limit_s:g} s (in phase: {watch.phase}), stopped; "
                    "raise the time limit, or measure less"
                )
                raise Refused(message_of_limit, "CrashError")

    @staticmethod
    def _pass_on(
        message: dict[str, Any], watch: Watch, on_event: Callable[[dict[str, Any]], None]
    ) -> None:
        if "event" in message:
            on_event(message["event"])
            return
        watch.phase = message["phase"]
        watch.name = message.get("name") or watch.name
        on_event({"kind": "phase", **message})

    def _said(self) -> str:
        """The last lines of what its libraries printed."""
        try:
            text = self._log.read_bytes()[-_QUOTED_BYTES:].decode(errors="replace")
        except OSError:
            return ""
        lines = [line.strip() for line in text.splitlines()]
        return " | ".join([line for line in lines if line and not line.startswith(_NOISE)][-3:])


def _out_of_memory(name: str, memory_bytes: int | None) -> str:
    return f"{name}: {OUT_OF_MEMORY}{_limit(memory_bytes)}; raise the limit, or use a smaller file"


def _limit(memory_bytes: int | None) -> str:
    return f" (limit {memory_bytes / _MIB:.0f} MiB)" if memory_bytes else ""


def _death(code: int, watch: Watch, said: str, memory_bytes: int | None) -> str:
    """How a measuring process ended, in words."""
    if "bad_alloc" in said:
        return _out_of_memory(watch.name, memory_bytes)
    quoted = f" (it said: {said[-500:]})" if said else ""
    if code >= 0:
        how, advice = f"ended with exit code {code}", "try another runtime, or report the file"
    else:
        names = {one.value: one.name for one in signal.Signals}
        how = f"was killed by {names.get(-code, f'signal {-code}')}"
        advice = "try another runtime, or report the file"
    if code == -signal.SIGKILL:  # not by us
        advice = "if the device ran out of memory, stop other programs or use a smaller file"
    return f"{watch.name}: the measuring process {how} in phase {watch.phase}{quoted}; {advice}"
