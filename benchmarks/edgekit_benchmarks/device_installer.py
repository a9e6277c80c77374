"""Runs on the device, together with the worker: makes an environment with a runtime in it.

The agent's requests, and these: ``probe`` tells what is there, ``begin`` makes an empty
environment, ``install`` has pip fill it, ``unpack`` takes a package that was put there, ``finish``
tries it and puts it in the place of the one before. Until then nothing of it is in use, and
whatever ends the connection also removes it. Python 3.9, and nothing else.
"""

from __future__ import annotations

import contextlib
import fcntl
import importlib.util
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
import zipfile
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgekit_benchmarks.device_worker.agent import Agent
from edgekit_benchmarks.device_worker.errors import Gone, Refused

if TYPE_CHECKING:
    from collections.abc import Sequence

_LINK = "venv"
_MARKER = "edgekit-setup.json"
_PREFIX = "venv-"
_TICK_S = 1.0
_TRY = "import importlib, sys\nfor name in sys.argv[1:]: importlib.import_module(name)"


class Installer(Agent):
    """An agent that also makes environments."""

    def __init__(self, own: str) -> None:
        """Nothing is changed yet."""
        super().__init__(own)
        data = os.environ.get("XDG_DATA_HOME") or os.path.expanduser("~/.local/share")  # noqa: PTH111
        self._home = Path(data) / "edgekit"
        self._new: Path | None = None
        self._child: subprocess.Popen[bytes] | None = None
        self._owned: int | None = None
        self._requests.update(
            probe=self.probe,
            begin=self.begin,
            install=self.install,
            unpack=self.unpack,
            finish=self.finish,
        )

    def close(self) -> None:
        """Stop what runs, and remove what is not finished."""
        if self._child is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._child.pid, signal.SIGKILL)
            self._child.wait()
        if self._new is not None:
            shutil.rmtree(self._new, ignore_errors=True)
        super().close()

    def probe(self) -> dict[str, Any]:
        """What decides about packages, and what is set up already."""
        numpy = None
        with contextlib.suppress(metadata.PackageNotFoundError):
            numpy = metadata.version("numpy")
        made = next(folder for folder in (self._home, *self._home.parents) if folder.is_dir())
        return {
            "machine": platform.machine(),
            "bits": 64 if sys.maxsize > 1 << 32 else 32,
            "libc": " ".join(platform.libc_ver()),
            "python": platform.python_version(),
            "base": sys.base_prefix,
            "ensurepip": importlib.util.find_spec("ensurepip") is not None,
            "pip": importlib.util.find_spec("pip") is not None,
            "numpy": numpy,
            "free_bytes": shutil.disk_usage(made).free,
            "folder": str(self._home / _LINK),
            "marker": self._marker(),
        }

    def begin(self, with_pip: bool, with_system: bool) -> dict[str, Any]:
        """Make an empty environment.

        Args:
            with_pip: bring the pip of the device's Python.
            with_system: let it see the packages of the system.
        """
        self._home.mkdir(parents=True, exist_ok=True)
        self._lock_home()
        link = self._home / _LINK
        if link.exists() and not link.is_symlink():
            message = f"{link}: was not made by edgekit; move it away on the device"
            raise Refused(message, "OutputError")
        current = link.resolve() if link.is_symlink() else None
        for old in self._home.glob(_PREFIX + "*"):
            if old != current:
                shutil.rmtree(old, ignore_errors=True)
        self._new = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=self._home))
        self._new.chmod(0o755)
        options = [] if with_pip else ["--without-pip"]
        options += ["--system-site-packages"] if with_system else []
        code, said = self._run([sys.executable, "-m", "venv", *options, str(self._new)])
        if code != 0:
            message = (
                f"the environment: cannot be made there ({said}); on Debian run there: "
                "sudo apt install python3-venv"
            )
            raise Refused(message, "OutputError")
        return {"path": str(self._new)}

    def install(self, requirements: Sequence[str], pip: str | None = None) -> dict[str, Any]:
        """Let pip fill it, from where the device's pip finds packages.

        Args:
            requirements: for pip.
            pip: a package of pip, where the environment has none.
        """
        command = [f"{pip}/pip"] if pip else ["-m", "pip"]
        command += ["install", "--no-input", "--disable-pip-version-check", "--no-cache-dir"]
        command += ["--progress-bar", "off", "--only-binary", ":all:"]
        temporary = self._unfinished() / "tmp"
        temporary.mkdir()
        code, said = self._run([self._python(), *command, *requirements], TMPDIR=str(temporary))
        shutil.rmtree(temporary, ignore_errors=True)
        if code != 0:
            message = (
                f"pip: cannot install {' '.join(requirements)} there ({said}); check the device's "
                "network, or add --offline"
            )
            raise Refused(message, "OutputError")
        return {}

    def unpack(self, path: str) -> dict[str, Any]:
        """Take a package that was put here, and remove it from where it was put."""
        minor = f"python{sys.version_info[0]}.{sys.version_info[1]}"
        site = self._unfinished() / "lib" / minor / "site-packages"
        with zipfile.ZipFile(path) as archive:
            for entry in archive.infolist():
                target = _inside(entry.filename)
                if target is None:
                    continue
                self._event({"kind": "watch", "detail": target})
                self._heed()
                archive.getinfo(entry.filename).filename = target
                archive.extract(entry, site)
        return self.remove(path)

    def finish(self, modules: Sequence[str], marker: dict[str, Any]) -> dict[str, Any]:
        """Try the modules, and put the environment in the place of the one before.

        Args:
            modules: names to import.
            marker: what was asked for, to know it again.
        """
        new = self._unfinished()
        own = str(self._folder.path)  # where runtimes leave files of their own
        code, said = self._run([self._python(), "-c", _TRY, *modules], XDG_CACHE_HOME=own)
        if code != 0:
            message = (
                f"{' and '.join(modules)}: installed, and cannot be imported there ({said}); try "
                "another --runtime or --python"
            )
            raise Refused(message, "OutputError")
        (new / _MARKER).write_text(json.dumps(marker))
        os.sync()
        link, waiting = self._home / _LINK, self._home / f"{_LINK}.new"
        waiting.unlink(missing_ok=True)
        before = link.resolve() if link.is_symlink() else None
        waiting.symlink_to(new.name)
        waiting.replace(link)
        self._new = None
        if before is not None and before != new:
            shutil.rmtree(before, ignore_errors=True)
        return {"folder": str(link)}

    def _lock_home(self) -> None:
        if self._owned is None:
            self._owned = os.open(self._home, os.O_RDONLY | os.O_CLOEXEC)
        try:
            fcntl.flock(self._owned, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            message = "device: is being set up by someone else just now; wait until that ends"
            raise Refused(message, "EdgekitError") from None

    def _marker(self) -> Any:
        with contextlib.suppress(OSError, ValueError):
            return json.loads((self._home / _LINK / _MARKER).read_text())
        return None

    def _unfinished(self) -> Path:
        assert self._new is not None, "begin comes first"
        return self._new

    def _python(self) -> str:
        return str(self._unfinished() / "bin/python")

    def _heed(self) -> None:
        """See whether the other side is still there."""
        self._wire.wait(0)
        if self._wire.has_ended:
            raise Gone

    def _run(self, command: Sequence[str], **environment: str) -> tuple[int, str]:
        """Run a program and pass on what it prints; returns its code and its last words."""
        own = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")
        inherited = {name: value for name, value in os.environ.items() if name not in own}
        child = self._child = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={
                **inherited,
                "PYTHONNOUSERSITE": "1",
                "TMPDIR": str(self._folder.path),
                **environment,
            },
            start_new_session=True,
        )
        assert child.stdout is not None
        output = child.stdout.fileno()
        lines: list[str] = []
        rest = b""
        while True:
            ready = self._wire.wait(_TICK_S, output)
            if self._wire.has_ended:
                raise Gone
            if output in ready:
                got = os.read(output, 1 << 16)
                *whole, rest = (rest + got).split(b"\n")
                texts = [line.decode(errors="replace").strip() for line in (*whole, rest)]
                lines = [*lines, *filter(None, texts[: -1 if got else None])][-20:]
                if not got:
                    break
            self._event({"kind": "watch", "detail": lines[-1] if lines else ""})
        child.stdout.close()
        self._child = None
        return child.wait(), _reason(lines)


def _inside(name: str) -> str | None:
    """Where in site-packages a package's file goes; None: nowhere, as a program or its data."""
    top, _, rest = name.partition("/")
    if top.endswith(".data"):
        kind, _, name = rest.partition("/")
        if kind not in {"purelib", "platlib"}:
            return None
    parts = name.split("/")
    if name.startswith("/") or ".." in parts or name.endswith("/"):
        return None
    return name


def _reason(lines: Sequence[str]) -> str:
    """The lines that say why, or the last one."""
    told = [line for line in lines if line.startswith(("ERROR", "Error", "ImportError"))]
    return (told or [*lines, "it said nothing"])[-1].removeprefix("ERROR: ")[:300]


def main(own: str) -> None:
    """Serve until the input ends; the file that runs removes itself."""

    def leave(number: int, _: object) -> None:
        sys.exit(128 + number)

    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(number, leave)
    installer = Installer(own)
    try:
        with contextlib.suppress(Gone, BrokenPipeError):
            installer.serve()
    finally:
        installer.close()
        Path(own).unlink(missing_ok=True)
