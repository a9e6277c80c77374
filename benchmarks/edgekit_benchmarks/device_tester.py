"""Runs on the device, together with the worker: has pytest run tests there, and tells each outcome.

The agent's requests, and these: ``needs`` tells which modules are missing, ``unpack`` puts an
archive that was sent into one of the run's own folders, ``test`` runs tests. All of it lies in the
agent's folder, and is gone with it: whatever ends the connection ends the tests, and leaves the
device as it was. Python 3.9, and nothing else.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgekit_benchmarks.device_worker.agent import Agent
from edgekit_benchmarks.device_worker.errors import Gone

if TYPE_CHECKING:
    from collections.abc import Sequence

_TICK_S = 1.0
_GRACE_S = 10.0
_QUOTED_BYTES = 4096
_SOME = 1 << 18


class Tester(Agent):
    """An agent that also runs tests."""

    def __init__(self, own: str) -> None:
        """Nothing runs yet."""
        super().__init__(own)
        self._child: subprocess.Popen[bytes] | None = None
        self._site = self._folder.path / "site"
        self._work = self._folder.path / "work"
        self._home = self._folder.path / "home"
        for folder in (self._site, self._work, self._home):
            folder.mkdir()
        self._requests.update(needs=self.needs, unpack=self.unpack, test=self.test)

    def close(self) -> None:
        """Stop what runs, and remove everything."""
        self._kill()
        super().close()

    def needs(self, modules: Sequence[str]) -> dict[str, Any]:
        """Which of these modules are missing, and whose compiled files this Python takes.

        Args:
            modules: top-level names.
        """
        return {
            "missing": [name for name in modules if importlib.util.find_spec(name) is None],
            "magic": importlib.util.MAGIC_NUMBER.hex(),
        }

    def unpack(self, path: str, where: str) -> dict[str, Any]:
        """Put what is in an archive into one of the run's folders.

        Args:
            path: of a file that was put here.
            where: ``site`` for packages, ``work`` for tests and what they need.
        """
        target = {"site": self._site, "work": self._work}[where]
        with zipfile.ZipFile(path) as archive:
            told = time.monotonic()
            for entry in archive.infolist():
                archive.extract(entry, target)
                if time.monotonic() - told >= _TICK_S:
                    told = time.monotonic()
                    self._event({"kind": "watch", "detail": entry.filename})
                    self._heed()
        return {"path": str(target)}

    def test(
        self, arguments: Sequence[str], ids: Sequence[str], silence_s: float
    ) -> dict[str, Any]:
        """Run tests; each outcome is an event as soon as it is known.

        Args:
            arguments: of pytest.
            ids: of the tests, in their order.
            silence_s: one test may take so long.

        Returns:
            How pytest ended: its exit code or the negative signal, None if it was stopped as no
            outcome came any more; and its last words.
        """
        request = self._folder.path / "tests.json"
        log = self._folder.path / "pytest.log"
        reading, writing = os.pipe()
        request.write_text(json.dumps({"ids": list(ids), "descriptor": writing}))
        try:
            self._start(arguments, request, log, writing)
            code = self._follow(reading, silence_s)
        finally:
            os.close(reading)
            self._kill()
        return {"code": code, "said": _said(log)}

    def _start(self, arguments: Sequence[str], request: Path, log: Path, writing: int) -> None:
        own = str(self._home)
        command = [os.environ.get("EDGEKIT_PYTHON") or sys.executable, "-m", "pytest"]
        command += ["-p", "edgekit_benchmarks.device_outcomes", *arguments]
        try:
            with log.open("wb") as output:
                self._child = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    cwd=self._work,
                    pass_fds=[writing],
                    env={
                        **os.environ,
                        "PYTHONPATH": str(self._site),
                        "EDGEKIT_PYTHONPATH": str(self._site),  # of an emulated board
                        "PYTHONDONTWRITEBYTECODE": "1",
                        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
                        "EDGEKIT_TESTS": str(request),
                        "TMPDIR": own,
                        "XDG_CACHE_HOME": own,
                    },
                    start_new_session=True,
                )
        finally:
            os.close(writing)

    def _follow(self, reading: int, silence_s: float) -> int | None:
        """Pass on what comes, until all is told; returns how the tests' process ended."""
        assert self._child is not None
        heard = told = time.monotonic()
        rest = b""
        while (now := time.monotonic()) - heard < silence_s:
            ready = self._wire.wait(_TICK_S, reading)
            if self._wire.has_ended:
                raise Gone
            if reading in ready:
                heard = now
                got = os.read(reading, _SOME)
                *lines, rest = (rest + got).split(b"\n")
                for line in lines:
                    self._event({"kind": "test", **json.loads(line)})
                if not got:
                    with contextlib.suppress(subprocess.TimeoutExpired):
                        return self._child.wait(_GRACE_S)
                    return None
            if now - told >= _TICK_S:
                told = now
                self._event({"kind": "watch"})
        return None

    def _kill(self) -> None:
        """End what runs, with all that it started."""
        child, self._child = self._child, None
        if child is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(child.pid, signal.SIGKILL)
            child.wait()

    def _heed(self) -> None:
        """See whether the other side is still there."""
        self._wire.wait(0)
        if self._wire.has_ended:
            raise Gone


def _said(log: Path) -> str:
    """The last lines of what a program printed."""
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - _QUOTED_BYTES))
        text = file.read().decode(errors="replace")
    return " | ".join([line.strip() for line in text.splitlines() if line.strip()][-4:])


def main(own: str) -> None:
    """Serve until the input ends."""

    def leave(number: int, _: object) -> None:
        sys.exit(128 + number)

    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(number, leave)
    tester = Tester(own)
    try:
        with contextlib.suppress(Gone, BrokenPipeError):
            tester.serve()
    finally:
        tester.close()
