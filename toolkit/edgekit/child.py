"""Run dangerous code in a child process that may die without taking anything with it.

TensorFlow's converter, the quantizers and the runtimes crash, abort, loop and eat memory on bad
input. A `Child` serves the functions of one module; requests and answers are one JSON line each,
arrays travel as files. The child has a wall-clock limit for each call and a memory limit; when it
dies, the call raises `CrashError` with the signal in words, and the next call starts a fresh one.

    with Child("edgekit_converters.keras_worker", limits=Limits(time_s=600)) as child:
        child.call("load", path="mnist.keras")
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from edgekit import errors
from edgekit.errors import CrashError, EdgekitError

_POLL_S = 0.1
_GRACE_S = 2.0
_LOG_QUOTE_LINES = 3
_LINE_LIMIT_BYTES = 64 << 20
_STDERR = 2

# A child asks to be killed when the *thread* that started it ends, for that is all Linux offers.
# Hence all of them are started by this one, which lasts as long as the program.
_starter = ThreadPoolExecutor(1, thread_name_prefix="edgekit-child-starter")


def physical_memory_bytes() -> int:
    """Memory this process may use: the machine's, or less where a container limits it."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for limit in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        with contextlib.suppress(OSError, ValueError):
            total = min(total, int(Path(limit).read_text()))
    return total


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How long one call may take, and how much resident memory the child may hold."""

    time_s: float = 3600.0
    memory_bytes: int = field(default_factory=lambda: physical_memory_bytes() * 9 // 10)

    def __post_init__(self) -> None:
        """Refuse limits under which nothing can run."""
        if not (self.time_s > 0 and self.memory_bytes > 0):  # which NaN is not, either
            message = f"limits: {self} must be positive; leave them out for the defaults"
            raise errors.UsageError(message)


class Child:
    """A process that serves the public functions of `module`; started at the first call."""

    def __init__(
        self,
        module: str,
        *,
        limits: Limits | None = None,
        verbose: bool = False,
        on_event: Callable[[str], None] | None = None,
        advice: str = "try another precision or --no-repair, or report the model",
    ) -> None:
        """Name the module to serve; nothing is started yet. `advice` is for when it dies."""
        self.module = module
        self.limits = limits or Limits()
        self._verbose = verbose
        self._on_event = on_event or (lambda _: None)
        self._advice = advice
        self._lock = threading.RLock()
        self._process: subprocess.Popen[bytes] | None = None
        self._answers: int = -1
        self._pending = b""
        self._log: IO[bytes] | None = None
        self._temporary = ""
        self._busy = False
        self._closed = False

    def __enter__(self) -> Child:
        """Use in ``with``: the process is gone at the end, whatever happened."""
        return self

    def __exit__(self, *_: object) -> None:
        """Stop the process."""
        self.close()

    def start(self) -> None:
        """Start the process now, so that its imports overlap with other work."""
        with self._lock:
            self._ensure_started()

    def call(self, function: str, /, **parameters: Any) -> Any:
        """Call `function` in the child and return its (JSON) result.

        Raises:
            EdgekitError: the same error class and message that the function raised.
            OutputError: there is no space for temporary files.
            CrashError: the child died, hung, used too much memory, or failed unexpectedly.
        """
        with self._lock:
            process = self._ensure_started()
            request = json.dumps({"call": function, "with": parameters}).encode() + b"\n"
            self._busy = True
            try:
                assert process.stdin is not None
                process.stdin.write(request)
                process.stdin.flush()
            except BrokenPipeError:
                pass  # it died already; the missing answer says how
            answer = self._await_answer(process, function)
            self._busy = False
        if "error" in answer:
            raise _rebuild(answer["error"])
        return answer["result"]

    def close(self) -> None:
        """Stop the process, at once; safe to call twice, and from another thread."""
        self._closed = True
        while not self._lock.acquire(
            timeout=_POLL_S
        ):  # a call in another thread ends with the child
            self._kill_group(self._process)
        try:
            if not self._busy:
                self._let_go(self._process)
            self._kill()
        finally:
            self._lock.release()

    def log_tail(self) -> str:
        """The last lines the child's libraries printed, for a failure message."""
        if self._log is None or self._log.closed:
            return ""
        try:
            size = os.fstat(self._log.fileno()).st_size
            tail = os.pread(self._log.fileno(), 16384, max(0, size - 16384))
        except OSError:
            return ""
        lines = [line.strip() for line in tail.decode(errors="replace").splitlines()]
        told = [line for line in lines if _worth_quoting(line)]
        return " | ".join(told[-_LOG_QUOTE_LINES:])[:600]

    def _ensure_started(self) -> subprocess.Popen[bytes]:
        if self._closed:
            raise self._stopped()
        # One that is still busy was interrupted, and its late answer would be taken for another's.
        if self._process is not None and self._process.poll() is None and not self._busy:
            return self._process
        self._kill()
        # What libraries put among the temporary files is removed with the process: they die
        # before they clean up.
        try:
            self._temporary = tempfile.mkdtemp(prefix="edgekit-")
            self._log = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the process
        except OSError as error:
            text = f"temporary files: {error.strerror}; free some space, or set TMPDIR elsewhere"
            raise errors.OutputError(text) from error
        self._answers, write_end = os.pipe()
        self._pending = b""
        try:
            self._process = _starter.submit(
                subprocess.Popen[bytes],
                [sys.executable, "-P", "-m", "edgekit.child_main", str(write_end), self.module],
                stdin=subprocess.PIPE,
                stdout=_STDERR if self._verbose else self._log,  # our own stdout is for results
                stderr=_STDERR if self._verbose else self._log,
                pass_fds=(write_end,),
                start_new_session=True,  # Ctrl-C reaches the parent alone, which then stops us
                env={
                    **os.environ,
                    "PYTHONHASHSEED": "0",
                    "EDGEKIT_PARENT": str(os.getpid()),
                    "TMPDIR": self._temporary,
                },
            ).result()
        finally:
            os.close(write_end)
        return self._process

    def _await_answer(self, process: subprocess.Popen[bytes], function: str) -> dict[str, Any]:
        deadline = time.monotonic() + self.limits.time_s
        while True:
            line, newline, rest = self._pending.partition(b"\n")
            if newline:
                self._pending = rest
                message: dict[str, Any] = json.loads(line)
                if "event" not in message:
                    return message
                self._on_event(message["event"])
                continue
            if self._closed:
                raise self._stopped()
            ended = process.poll() is not None
            ready, _, _ = select.select([self._answers], [], [], 0 if ended else _POLL_S)
            if ready:
                chunk = os.read(self._answers, 1 << 16)
                if not chunk:
                    raise self._died(process, function)
                self._pending += chunk
            elif ended:  # and a process that it forked holds the pipe open
                raise self._died(process, function)
            if len(self._pending) > _LINE_LIMIT_BYTES:
                self._kill()
                text = f"{function}: the child's answer is too long; report this as a bug"
                raise CrashError(text)
            if time.monotonic() > deadline:
                self._kill()
                text = (
                    f"{function}: no end after {self.limits.time_s:g} s, stopped; "
                    "raise --time-limit"
                )
                raise CrashError(text)
            used = resident_bytes(process.pid)
            if used > self.limits.memory_bytes:
                self._kill()
                raise CrashError(_out_of_memory(function, used, self.limits.memory_bytes))

    def _died(self, process: subprocess.Popen[bytes], function: str) -> CrashError:
        try:
            code = process.wait(_GRACE_S)
        except subprocess.TimeoutExpired:
            code = 0
        tail = self.log_tail()
        self._kill()
        if self._closed:
            return self._stopped()
        said = f" (it said: {tail})" if tail else ""
        if code == -signal.SIGKILL or (code == -signal.SIGABRT and "bad_alloc" in tail):
            # nobody but the kernel, when memory runs out, kills a child of ours so
            return CrashError(_out_of_memory(function, 0, self.limits.memory_bytes))
        how = f"died of {_signal_name(-code)}" if code < 0 else f"ended with exit code {code}"
        return CrashError(f"{function}: the child process {how}{said}; {self._advice}")

    def _stopped(self) -> CrashError:
        return CrashError(f"{self.module}: stopped; start again")

    @staticmethod
    def _let_go(process: subprocess.Popen[bytes] | None) -> None:
        """Let an idle child end by itself, which it does when it has no more requests to expect."""
        if process is not None and process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                process.stdin.close()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_GRACE_S)

    @staticmethod
    def _kill_group(process: subprocess.Popen[bytes] | None) -> None:
        if process is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)

    def _kill(self) -> None:
        process, self._process, self._busy = self._process, None, False
        if process is not None:
            self._kill_group(process)
            process.wait()
            if process.stdin is not None:
                with contextlib.suppress(BrokenPipeError):
                    process.stdin.close()
        answers, self._answers = self._answers, -1
        if answers >= 0:
            os.close(answers)
        if self._log is not None:
            self._log.close()
            self._log = None
        if self._temporary:
            shutil.rmtree(self._temporary, ignore_errors=True)
            self._temporary = ""


def resident_bytes(pid: int) -> int:
    """Resident memory of process `pid` now; 0 where the system does not tell (no ``/proc``)."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except (OSError, IndexError, ValueError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _out_of_memory(function: str, used: int, limit: int) -> str:
    reached = f"{used / 2**30:.1f} GiB used, " if used else ""
    return (
        f"{function}: out of memory ({reached}limit {limit / 2**30:.1f} GiB), stopped; "
        "raise --memory-limit, or use less data"
    )


def _worth_quoting(line: str) -> bool:
    noise = ("Fatal Python error", "Current thread", "Thread 0x", "File ", "Extension modules")
    return bool(line) and not line.startswith(
        (*noise, "Stack", "I0000", "W0000", "INFO:", "^", "@")
    )


def _rebuild(error: dict[str, str]) -> EdgekitError:
    found = getattr(errors, error["class"], None)
    if isinstance(found, type) and issubclass(found, EdgekitError):
        return found(error["message"])
    return CrashError(error["message"])
