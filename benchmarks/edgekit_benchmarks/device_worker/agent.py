"""The worker that stays: answers requests until its input ends, and is gone with all it made."""

from __future__ import annotations

import binascii
import contextlib
import hashlib
import json
import math
import os
import platform
import shutil
import signal
import sys
import tempfile
import time
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .board import Board
from .device_lock import DeviceLock
from .errors import Gone, Refused
from .facts import facts
from .measuring import Measuring
from .own_folder import OwnFolder
from .wire import Wire, write_all

if TYPE_CHECKING:
    from collections.abc import Callable

VERSION = 1
_TICK_S = 1.0
_SPARE_BYTES = 1 << 20
_SENT_BYTES = 3 << 16


class Agent:
    """Requests by name; the keys of a request are the parameters."""

    def __init__(self, own: str) -> None:
        """Make a folder; run from one file, unpack it there, so that it is compiled only once."""
        self._wire = Wire()
        self._request: Any = None
        self._root = os.environ.get("EDGEKIT_BOARD_ROOT") or "/"
        self._lock = DeviceLock()
        self._files: dict[str, Path] = {}
        self._measuring: Measuring | None = None
        self._sha256 = fingerprint(own)
        self._folder = OwnFolder()
        self._own = own
        if Path(own).is_file():
            try:
                self._own = _unpacked(own, self._folder.path)
            except OSError:
                self._folder.remove()
                raise
        self._requests: dict[str, Callable[..., dict[str, Any]]] = {
            "hello": self.hello,
            "facts": self.facts,
            "lock": self.lock,
            "unlock": self.unlock,
            "put": self.put,
            "get": self.get,
            "remove": self.remove,
            "run": self.run,
        }

    def serve(self) -> None:
        """Answer one request after the other.

        Raises:
            Gone: the other side went away.
            BrokenPipeError: so it did.
        """
        while (line := self._wire.line()) is not None:
            self._request = None
            try:
                request = json.loads(line)
                self._request = request.pop("id")
                name = request.pop("do")
                if name == "bye":
                    self._say({"ok": {}})
                    return
                answer = {"ok": self._requests[name](**request)}
            except Refused as error:
                answer = {"error": error.as_dict()}
            except BrokenPipeError:
                raise
            except OSError as error:
                answer = {"error": self._no_space(error).as_dict()}
            except (ValueError, TypeError, AttributeError, KeyError) as error:
                message = f"worker: does not understand this ({error!r}); use it with its edgekit"
                answer = {"error": Refused(message, "UsageError").as_dict()}
            self._say(answer)

    def close(self) -> None:
        """Stop what runs and remove what was written."""
        if self._measuring is not None:
            self._measuring.kill()
        self._lock.let_go()
        self._folder.remove()

    def hello(self, root: str | None = None, silence_s: float | None = None) -> dict[str, Any]:
        """Who is here.

        Args:
            root: what stands for ``/`` when the board is looked at, for tests.
            silence_s: end when nothing is heard for so long.
        """
        self._root = root or self._root
        self._wire.silence_s = silence_s or math.inf
        return {
            "worker_version": VERSION,
            "sha256": self._sha256,
            "python": platform.python_version(),
            "pid": os.getpid(),
            "folder": str(self._folder.path),
        }

    def facts(self, root: str | None = None) -> dict[str, Any]:
        """What the device is."""
        return facts(Board(root or self._root), str(self._folder.path))

    def lock(self, wait_s: float = 0) -> dict[str, Any]:
        """Make sure that nobody else measures here; wait for others for so long."""
        end = time.monotonic() + wait_s
        while not self._lock.try_to_take():
            holder = self._lock.holder()
            rest_s = end - time.monotonic()
            if rest_s <= 0:
                message = (
                    f"device: another benchmark runs on it ({holder}); wait until it ends, "
                    "or stop it"
                )
                raise Refused(message, "EdgekitError")
            self._event({"kind": "waiting", "holder": holder})
            next_try = time.monotonic() + min(_TICK_S, rest_s)
            while (pause_s := next_try - time.monotonic()) > 0:
                self._wire.wait(pause_s)
                if self._wire.has_ended:
                    raise Gone
        return {}

    def unlock(self) -> dict[str, Any]:
        """Let others measure."""
        self._lock.let_go()
        return {}

    def put(self, name: str, bytes: int, sha256: str) -> dict[str, Any]:  # noqa: A002 - the wire's
        """Take a file: after the event ``send`` its bytes come, and nothing else."""
        if sha256 in self._files:
            return {"path": str(self._files[sha256])}
        if Path(name).name != name or name in {"", ".."}:
            message = f"{name!r}: not a file name; leave folders out"
            raise Refused(message, "UsageError")
        free = shutil.disk_usage(self._folder.path).free
        if free < bytes + _SPARE_BYTES:
            message = (
                f"{name}: takes {bytes} bytes, and {free} are free in {self._folder.path.parent} "
                "on the device; free some space, or set TMPDIR there"
            )
            raise Refused(message, "OutputError")
        path = self._folder.path / sha256[:16] / name
        path.parent.mkdir(exist_ok=True)
        try:
            self._receive(path, bytes, sha256)
        except BaseException:
            shutil.rmtree(path.parent, ignore_errors=True)
            raise
        self._files[sha256] = path
        return {"path": str(path)}

    def _receive(self, path: Path, count: int, sha256: str) -> None:
        failed: OSError | None = None
        digest = hashlib.sha256()
        with path.open("wb", buffering=0) as file:
            self._event({"kind": "send"})
            told = time.monotonic()
            for block in self._wire.blocks(count):
                digest.update(block)
                try:
                    if failed is None:
                        write_all(file.fileno(), block)
                except OSError as error:  # the rest must be read all the same
                    failed = error
                if time.monotonic() - told >= _TICK_S:
                    told = time.monotonic()
                    self._event({"kind": "receiving", "bytes": file.tell()})
        if failed is not None:
            raise failed
        if digest.hexdigest() != sha256:
            message = f"{path.name}: was damaged on the way; send it again"
            raise Refused(message, "CrashError")

    def get(self, path: str) -> dict[str, Any]:
        """Send a file of the own folder: events ``bytes``, then what they are to be."""
        own = self._own_file(path)
        digest = hashlib.sha256()
        with own.open("rb") as file:
            while block := file.read(_SENT_BYTES):
                digest.update(block)
                text = binascii.b2a_base64(block, newline=False).decode()
                self._event({"kind": "bytes", "base64": text})
                self._wire.wait(0)
                if self._wire.has_ended:
                    raise Gone
            return {"bytes": file.tell(), "sha256": digest.hexdigest()}

    def remove(self, path: str) -> dict[str, Any]:
        """Remove a file that was put or made here."""
        for digest, own in list(self._files.items()):
            if str(own) == path:
                shutil.rmtree(own.parent, ignore_errors=True)
                del self._files[digest]
                return {}
        self._own_file(path).unlink()
        return {}

    def _own_file(self, path: str) -> Path:
        found, folder = Path(path).resolve(), self._folder.path.resolve()
        if folder not in found.parents or not found.is_file():
            message = f"{path}: no file of this worker's; name one that it made"
            raise Refused(message, "UsageError")
        return found

    def run(
        self,
        spec: dict[str, Any],
        limit_s: float,
        memory_bytes: int | None = None,
        watch_s: float = _TICK_S,
    ) -> dict[str, Any]:
        """Measure in a fresh process, and watch the machine meanwhile."""
        board = Board(self._root)
        self._measuring = Measuring(self._own, self._folder.path, board, self._wire)
        return self._measuring.run(spec, limit_s, memory_bytes, watch_s, self._event)

    def _say(self, message: dict[str, Any]) -> None:
        self._wire.say({"id": self._request, **message})

    def _event(self, event: dict[str, Any]) -> None:
        self._say({"event": event})

    def _no_space(self, error: OSError) -> Refused:
        free = shutil.disk_usage(self._folder.path).free
        message = (
            f"{error.filename or self._folder.path}: {error.strerror} ({free} bytes are free there "
            "on the device); free some space, or set TMPDIR there"
        )
        return Refused(message, "OutputError")


def _unpacked(own: str, folder: Path) -> str:
    with zipfile.ZipFile(own) as archive:
        archive.extractall(folder / "worker")
    return str(folder / "worker")


def fingerprint(own: str) -> str:
    """Of the worker's sources, however they are packed: which version of it runs."""
    sources: dict[str, bytes] = {}
    if Path(own).is_file():
        with zipfile.ZipFile(own) as archive:
            sources = {name: archive.read(name) for name in archive.namelist()}
    else:
        sources = {path.name: path.read_bytes() for path in Path(own).glob("*.py")}
    digest = hashlib.sha256()
    for name, content in sorted(sources.items()):
        digest.update(f"{name}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()


def main(own: str) -> None:
    """Serve until the input ends, the connection closes, or a signal says so."""

    def leave(number: int, _: object) -> None:
        sys.exit(128 + number)

    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(number, leave)
    try:
        agent = Agent(own)
    except OSError as error:
        where = error.filename or tempfile.gettempdir()
        sys.exit(f"{where}: {error.strerror}; free some space, or set TMPDIR elsewhere")
    try:
        with contextlib.suppress(Gone, BrokenPipeError):
            agent.serve()
    finally:
        agent.close()
