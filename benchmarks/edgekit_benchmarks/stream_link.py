"""A link over the pipes of a process, whichever process that is.

What comes back may be anything: greetings and warnings before the first message, lines of many
megabytes, half a line and then nothing. Whatever is no message is kept to be quoted.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import select
import selectors
import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

from edgekit import errors
from edgekit.errors import CrashError, EdgekitError, SourceError
from edgekit_benchmarks.line_cutter import LineCutter
from edgekit_benchmarks.sent_file import Arrival, hashed

SILENCE_S = 15.0
"""An agent at work says something every second; after so long without a word it hangs."""
DEAD_S = 60.0
"""An agent that hears nothing for so long ends by itself: the network took us away."""

_PING_S = 2.0
_GRACE_S = 5.0
_LOOK_S = 0.5
_LOOKS = 3
"""A process that is seen dead so often, while nothing comes from it, has said everything."""
_BLOCK = 1 << 18
_KEPT_LINES = 20
_AGAIN = "try again"

OnEvent = Callable[[dict[str, Any]], None]


class StreamLink:
    """A link over the pipes of a process; a subclass says how that is started."""

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        name: str,
        *,
        root: str | None = None,
        silence_s: float = SILENCE_S,
        dead_s: float = DEAD_S,
        greeting_s: float = 60.0,
    ) -> None:
        """Greet the agent.

        Args:
            process: with pipes for stdin, stdout and stderr, unbuffered; ours from now on.
            name: of the device, for messages.
            root: what stands for ``/`` when the agent reads the board's facts, for tests.
            silence_s: how long a working agent may say nothing.
            dead_s: how long the agent waits for a word from us before it ends by itself.
            greeting_s: how long it may take to start.

        Raises:
            CrashError: nothing answers; the message quotes what the process said instead.
        """
        self.name = name
        self.silence_s = silence_s
        self._process = process
        self._inbox: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        self._noise: deque[str] = deque(maxlen=_KEPT_LINES)
        self._writing = threading.Lock()
        self._sends = False
        """A file is on its way: nothing may get between its bytes."""
        self._number = 0
        self._paths: dict[str, str] = {}
        self._closed = False
        self._why: str | None = None
        self._hangs = False
        self._has_read = threading.Event()
        assert process.stdin is not None
        assert process.stdout is not None
        self._input = process.stdin.fileno()
        os.set_blocking(self._input, False)
        self._listener = threading.Thread(
            target=self._listen, name=f"edgekit-link-{name}", daemon=True
        )
        self._listener.start()
        self.hello: dict[str, Any] = {}
        try:
            self.hello = self._ask(
                "hello", None, greeting_s, greeting_s, {"root": root, "silence_s": dead_s}
            )
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        """Close at the end of the block."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close."""
        self.close()

    @property
    def said(self) -> str:
        """The last lines that were no messages: warnings, greetings, reasons of ``ssh``."""
        return " | ".join(self._noise)[-500:]

    def request(
        self, do: str, /, *, on_event: OnEvent | None = None, timeout_s: float, **arguments: Any
    ) -> dict[str, Any]:
        """Ask the agent, and wait for the answer; see `edgekit_benchmarks.link.Link.request`."""
        return self._ask(do, on_event, timeout_s, self.silence_s, arguments)

    def put(self, path: Path) -> str:
        """Send a file unless it is there; see `edgekit_benchmarks.link.Link.put`."""
        digest, size = hashed(path)
        if digest in self._paths:
            return self._paths[digest]

        def send(event: dict[str, Any]) -> None:
            if event.get("kind") == "send":
                self._send_file(path, size)

        about = {"name": path.name, "bytes": size, "sha256": digest}
        with self._writing:
            self._sends = True
        try:
            answer = self._ask("put", send, float("inf"), max(self.silence_s, 60.0), about)
        finally:
            self._sends = False
        self._paths[digest] = str(answer["path"])
        return self._paths[digest]

    def get(self, path: str, to: Path) -> None:
        """Bring a file; see `edgekit_benchmarks.link.Link.get`."""
        with Arrival(to) as arrival:
            about = {"path": path}
            answer = self._ask("get", arrival.take, float("inf"), self.silence_s, about)
        if answer["sha256"] != arrival.sha256:
            message = f"{self.name}: {Path(path).name} was damaged on the way; try again"
            raise CrashError(message)

    def remove(self, path: str) -> None:
        """Remove a file there; see `edgekit_benchmarks.link.Link.remove`."""
        self._paths = {digest: own for digest, own in self._paths.items() if own != path}
        self._ask("remove", None, 60.0, self.silence_s, {"path": path})

    def close(self) -> None:
        """End the agent by ending its input; by force if it does not go."""
        if self._closed:
            return
        self._closed = True
        process = self._process
        assert process.stdin is not None
        if self._writing.acquire(timeout=_GRACE_S):  # else its thread is stuck, until it is killed
            try:
                with contextlib.suppress(OSError):
                    process.stdin.close()
            finally:
                self._writing.release()
        try:
            process.wait(1.0 if self._hangs else _GRACE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdin is not None:
            with contextlib.suppress(OSError):
                process.stdin.close()
        self._listener.join(1.0)  # longer only where a process it left behind holds its output

    # -- how it ended, in words; a subclass knows its process better

    def explain(self, returncode: int | None, said: str) -> str:
        """``what is wrong`` for a process that ended by itself; `returncode` None if it lingers."""
        quoted = f" (it said: {said})" if said else ""
        if returncode is None or returncode == 255:
            return f"the connection broke off{quoted}"
        if returncode < 0:
            return f"the worker died of {_signal(-returncode)}{quoted}"
        return f"the worker ended with exit code {returncode}{quoted}"

    # -- requests

    def _ask(
        self,
        do: str,
        on_event: OnEvent | None,
        timeout_s: float,
        silence_s: float,
        arguments: dict[str, Any],
    ) -> dict[str, Any]:
        if self._closed or self._why is not None:
            raise self._broken(self._why or "the link is closed")
        self._number += 1
        number = self._number
        request = {"id": number, "do": do, **arguments}
        try:
            self._write(json.dumps(request).encode() + b"\n")
            answer = self._await(number, do, on_event, timeout_s, silence_s)
        except BaseException:  # its late answer would be taken for the next one's
            self._why = self._why or "the link was interrupted"
            self.close()
            raise
        if "error" in answer:
            raise self._rebuilt(answer["error"])
        found: dict[str, Any] = answer["ok"]
        return found

    def _await(
        self,
        number: int,
        do: str,
        on_event: OnEvent | None,
        timeout_s: float,
        silence_s: float,
    ) -> dict[str, Any]:
        begun = heard = time.monotonic()
        looks = 0
        while True:
            now = time.monotonic()
            if now - begun >= timeout_s:
                what = f"{do}: no answer after {timeout_s:g} s, stopped"
                raise self._hanging(what)
            if now - heard >= silence_s:
                what = f"{do}: not a word for {silence_s:g} s, the worker or the connection hangs"
                raise self._hanging(what)
            try:
                message = self._inbox.get(timeout=_LOOK_S)
            except queue.Empty:
                looks = looks + 1 if self._process.poll() is not None else 0
                if looks < _LOOKS or not self._has_read.is_set():
                    continue
                message = None  # it is dead, though one that it left behind holds its output open
            heard = time.monotonic()
            if message is None:
                raise self._failed(self._how_it_ended())
            if message.get("id") != number:
                continue
            if "event" not in message:
                return message
            if on_event is not None:
                on_event(message["event"])

    def _rebuilt(self, error: dict[str, str]) -> EdgekitError:
        found = getattr(errors, str(error.get("kind")), None)
        text = f"{self.name}: {error.get('message')}"
        if isinstance(found, type) and issubclass(found, EdgekitError):
            return found(text)
        return EdgekitError(text)

    def _how_it_ended(self) -> str:
        try:
            code: int | None = self._process.wait(_GRACE_S)
        except subprocess.TimeoutExpired:
            code = None
        self._listener.join(_LOOK_S)  # it may still be reading the reason
        return self.explain(code, self.said)

    def _hanging(self, what: str) -> CrashError:
        self._hangs = True
        return self._failed(what)

    def _failed(self, what: str) -> CrashError:
        self._why = what
        return self._broken(what)

    def _broken(self, what: str) -> CrashError:
        return CrashError(f"{self.name}: {what}{'' if '; ' in what else f'; {_AGAIN}'}")

    # -- bytes

    def _write(self, data: bytes) -> None:
        """All of it, as fast as the other side takes it; it may pause for `silence_s`."""
        view = memoryview(data)
        with self._writing:
            while view:
                _, ready, _ = select.select([], [self._input], [], self.silence_s)
                if not ready:
                    what = f"nothing was taken for {self.silence_s:g} s, it hangs"
                    raise self._hanging(what)
                try:
                    view = view[os.write(self._input, view) :]
                except BlockingIOError:
                    continue
                except OSError:
                    raise self._failed(self._how_it_ended()) from None

    def _send_file(self, path: Path, size: int) -> None:
        with path.open("rb") as file:
            while size:
                block = file.read(min(size, _BLOCK))
                if not block:
                    message = f"{path}: became shorter while it was sent; wait until it is written"
                    raise SourceError(message)
                self._write(block)
                size -= len(block)

    def _listen(self) -> None:
        """Read both outputs until they end, and give a sign of life now and then (own thread)."""
        try:
            self._read_on()
        finally:
            for stream in (self._process.stdout, self._process.stderr):
                if stream is not None:
                    stream.close()

    def _read_on(self) -> None:
        process = self._process
        assert process.stdout is not None
        lines = {process.stdout.fileno(): LineCutter(self._heard)}
        if process.stderr is not None:
            lines[process.stderr.fileno()] = LineCutter(self._noted)
        output = process.stdout.fileno()
        pinged = time.monotonic()
        with selectors.DefaultSelector() as selector:
            for descriptor in lines:
                selector.register(descriptor, selectors.EVENT_READ)
            while selector.get_map():
                ready = selector.select(0)
                if not ready:
                    self._has_read.set()
                    ready = selector.select(_PING_S)
                self._has_read.clear()
                for key, _ in ready:
                    try:
                        got = os.read(key.fd, _BLOCK)
                    except OSError:
                        got = b""
                    if got and lines[key.fd].feed(got):
                        continue
                    selector.unregister(key.fd)
                    lines[key.fd].end()
                    if got:
                        self._noted(b"a line without an end")
                    if key.fd == output:
                        self._inbox.put(None)
                if time.monotonic() - pinged >= _PING_S:
                    pinged = time.monotonic()
                    self._ping()
                if self._closed and process.poll() is not None:
                    break

    def _ping(self) -> None:
        """An empty line, unless something is being written anyway."""
        if not self._writing.acquire(blocking=False):
            return
        try:
            if not self._closed and not self._sends:
                with contextlib.suppress(OSError):
                    os.write(self._input, b"\n")
        finally:
            self._writing.release()

    def _heard(self, line: bytes) -> None:
        """A message; or a line of something else, perhaps with a message at its end."""
        start = line.find(b'{"id": ')
        try:
            message = json.loads(line[start:]) if start >= 0 else None
        except ValueError:
            message = None
        if isinstance(message, dict):
            self._inbox.put(message)
            line = line[:start]
        self._noted(line)

    def _noted(self, line: bytes) -> None:
        text = line.decode(errors="replace").strip()
        if text:
            self._noise.append(text[:300])


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
