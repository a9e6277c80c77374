"""A device over ``ssh`` that answers as this machine does.

    with SshLink(find_target("pi5")) as link:
        facts = link.request("facts", timeout_s=30)

One login finds a Python there, brings it the worker unless it has the same one already, and starts
it. Whatever ends the link also ends the worker, and with it all that it wrote.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import os
import re
import select
import subprocess
import time
from pathlib import Path

from edgekit_benchmarks.link import StreamLink
from edgekit_benchmarks.ssh import Connection, no_commands
from edgekit_benchmarks.ssh_client import adding
from edgekit_benchmarks.ssh_words import one_line
from edgekit_benchmarks.stream_link import DEAD_S, SILENCE_S
from edgekit_benchmarks.target import Target, TargetError
from edgekit_benchmarks.worker_file import worker_bytes

ENVIRONMENT = "${XDG_DATA_HOME:-$HOME/.local/share}/edgekit/venv"
"""The virtual environment of ``targets setup``, for the device's shell."""

_BOOT = Path(__file__).with_name("device_boot.py")
_BOOT_S = 60.0
_BLOCK = 1 << 16
_NAMES = " ".join(f"python3.{minor}" for minor in (13, 12, 11, 14, 10, 9))
# $1 the wanted Python or nothing, $2 what runs if it fits, $3 and on its arguments.
_PLAIN_START = (
    's=$1; b=$2; shift 2; case $s in "~/"*) s=$HOME/${s#??};; esac; '
    't() { p=$1; shift; command -v "$p" >/dev/null 2>&1 && '
    '"$p" -ISc "import sys; sys.exit(sys.version_info < (3, 9))" >/dev/null 2>&1 && '
    'exec "$p" -ISc "$b" "$@"; }; '
    f'if [ -n "$s" ]; then t "$s" "$@"; else '
    f'for n in python3 {_NAMES}; do t "$n" "$@"; done; fi; '
    'echo; echo edgekit-boot no-python $("${s:-python3}" -V 2>&1)'
)
_START = _PLAIN_START.replace("in python3", f'in "{ENVIRONMENT}/bin/python" python3')
# $1 the agent, $2 its folder: let it end by itself, for a moment.
_SWEEP = (
    "for i in 1 2 3 4 5 6 7 8 9 10; do grep -q edgekit /proc/$1/cmdline || break; sleep 0.1; done; "
    "grep -q edgekit /proc/$1/cmdline && kill -9 $1 && sleep 0.2; "
    'case $2 in */edgekit-bench-*) rm -rf -- "$2";; esac; '
    'l="${2%/*}/edgekit-bench.lock"; grep -q "process $1," "$l" && rm -f "$l"'
)


class SshLink(StreamLink):
    """A link to a device; see `edgekit_benchmarks.link.Link`."""

    def __init__(
        self,
        target: Target,
        *,
        connection: Connection | None = None,
        program: tuple[str, bytes] | None = None,
        plain: bool = False,
        root: str | None = None,
        silence_s: float = SILENCE_S,
        dead_s: float = DEAD_S,
    ) -> None:
        """Log in and start the agent.

        Args:
            target: the device.
            connection: to it, and closed with the link; a new one if there is none yet.
            program: name and contents of another agent than the worker's.
            plain: leave the environment of ``targets setup`` aside.
            root: what stands for ``/`` there when the board's facts are read, for tests.
            silence_s: how long a working agent may say nothing.
            dead_s: how long the agent waits for a word from us before it ends by itself.

        Raises:
            TargetError: no connection, no Python there, or no space.
            CrashError: the agent does not answer.
            MissingDependencyError: there is no ssh here.
        """
        self._target = target
        self._connection = connection or Connection(target)
        try:
            name, content = program or ("worker", worker_bytes())
            process = self._booted(_PLAIN_START if plain else _START, name, content)
        except BaseException:
            self._connection.close()
            raise
        super().__init__(process, target.name, root=root, silence_s=silence_s, dead_s=dead_s)

    def explain(self, returncode: int | None, said: str) -> str:
        """How it ended: by the connection, or over there."""
        if returncode == 255 and self._connection.alive:
            return "the worker was killed there, perhaps for lack of memory"
        if returncode in {None, 255}:
            return self._connection.why(said)
        return super().explain(returncode, said)

    def close(self) -> None:
        """End the agent, by force if it hangs; then the connection."""
        is_open = not self._closed
        super().close()
        if is_open and self._why is not None:
            self._sweep()
        self._connection.close()

    def _sweep(self) -> None:
        """Kill an agent that hangs, as nothing else ends it there."""
        pid, folder = self.hello.get("pid"), self.hello.get("folder")
        if pid and folder and self._connection.alive:
            with contextlib.suppress(TargetError):
                self._connection.run(_SWEEP, str(int(pid)), str(folder), timeout_s=8)

    def _booted(self, script: str, name: str, content: bytes) -> subprocess.Popen[bytes]:
        """A process here that leads to the agent there."""
        about = (name, hashlib.sha256(content).hexdigest(), str(len(content)))
        boot = base64.b64encode(_BOOT.read_bytes()).decode()
        code = f'import base64; exec(base64.b64decode("{boot}"))'
        wanted = self._target.python or ""
        process = subprocess.Popen(
            self._connection.argv(script, wanted, code, *about, "agent"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            start_new_session=True,  # Ctrl-C reaches us alone, and we end the agent
        )
        try:
            self._serve_boot(process, content)
        except BaseException:
            process.kill()
            process.communicate()
            raise
        return process

    def _serve_boot(self, process: subprocess.Popen[bytes], content: bytes) -> None:
        """Bring what the boot asks for, until the agent runs."""
        assert process.stdin is not None
        end = time.monotonic() + _BOOT_S
        printed = bytearray()
        while True:
            line = _line(process, printed, end)
            if line is None:
                raise self._no_boot(process, bytes(printed), time.monotonic() >= end)
            word, _, rest = line.partition(" ")
            if word == "ready":
                return
            if word == "need":
                end = time.monotonic() + _BOOT_S
                _feed(process, content, end)
            elif word == "no-python":
                raise self._no_python(rest)
            else:
                message = (
                    f"{self._target.name}: the worker cannot be put there ({one_line(rest)}); "
                    "free some space, or make the folder writable"
                )
                raise TargetError(message)

    def _no_python(self, version: str) -> TargetError:
        found = re.match(r"Python [\d.]+", version)
        has = f"only {found[0]}" if found else "none"
        named = adding(self._target, python="PATH")
        if self._target.python is not None:
            message = (
                f"{self._target.name}: {self._target.python} is no Python 3.9 or newer there "
                f"(has {has}); name another one: {named}"
            )
        else:
            message = (
                f"{self._target.name}: has no Python 3.9 or newer ({has}); install one there: "
                f"sudo apt install python3, or name it: {named}"
            )
        return TargetError(message)

    def _no_boot(
        self, process: subprocess.Popen[bytes], printed: bytes, is_late: bool
    ) -> TargetError:
        name = self._target.name
        if is_late:
            message = f"{name}: Python does not start within {_BOOT_S:g} s there; is it very busy?"
            return TargetError(message)
        said = process.communicate()[1].decode(errors="replace").strip()
        if process.returncode == 255 and not self._connection.alive:
            return TargetError(f"{name}: {self._connection.why(said)}")
        return TargetError(f"{name}: {no_commands(self._target, printed, said)}")


def _line(process: subprocess.Popen[bytes], printed: bytearray, end: float) -> str | None:
    """The next line of the boot; what the login shell prints before is kept in `printed`."""
    assert process.stdout is not None
    output = process.stdout.fileno()
    while True:
        found = re.search(rb"^edgekit-boot (.*)\n", printed, re.MULTILINE)
        if found:
            line = found[1].decode(errors="replace")  # before the match loses its text
            del printed[: found.end()]
            return line
        ready, _, _ = select.select([output], [], [], max(0.0, end - time.monotonic()))
        got = os.read(output, _BLOCK) if ready else b""
        if not got:
            return None
        printed += got


def _feed(process: subprocess.Popen[bytes], content: bytes, end: float) -> None:
    """Write, though the other side may have gone or take nothing."""
    assert process.stdin is not None
    view = memoryview(content)
    os.set_blocking(process.stdin.fileno(), False)
    while view and time.monotonic() < end:
        select.select([], [process.stdin], [], max(0.0, end - time.monotonic()))
        try:
            view = view[os.write(process.stdin.fileno(), view) :]
        except BlockingIOError:
            continue
        except BrokenPipeError:
            return  # what it said about that comes next
