"""Make a device ready: an environment of its own with the runtime that fits.

    done = set_up(find_target("pi5"), runtime="litert")
    print(done.folder, done.packages)

It is made beside the one before and takes its place when it works. With `offline` the packages are
fetched here, with pip as it is configured here, and sent.
"""

from __future__ import annotations

import io
import tempfile
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from edgekit.errors import UsageError
from edgekit.progress import Progress
from edgekit_benchmarks.emulated import board_tree, existing_tree
from edgekit_benchmarks.open_link import open_link
from edgekit_benchmarks.ssh_client import adding
from edgekit_benchmarks.ssh_link import SshLink
from edgekit_benchmarks.ssh_words import one_line
from edgekit_benchmarks.target import Target, TargetError
from edgekit_benchmarks.wheels import CHOICES, Platform, Runtime, choose, download
from edgekit_benchmarks.worker_file import FOLDER

_LONG_AGO = (1980, 1, 1, 0, 0, 0)
_ASK_S = 30
_MAKE_S = 600
_INSTALL_S = 3600
_SILENCE_S = 180  # a memory card takes its time to write
STEPS = 4
"""Of the progress."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SetupReport:
    """What is there now."""

    target: Target
    folder: str
    """Of the environment, on the device."""
    python: str
    """Its version."""
    packages: dict[str, str]
    """Versions of the runtimes and NumPy."""
    changed: bool
    """False: it was all there already."""

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "name": self.target.name,
            "url": self.target.url,
            "folder": self.folder,
            "python": self.python,
            "packages": self.packages,
            "changed": self.changed,
        }


def set_up(
    target: Target,
    *,
    runtime: str = "auto",
    offline: bool = False,
    python: str | None = None,
    progress: Progress | None = None,
) -> SetupReport:
    """Make the environment on the device, unless it is there as asked for.

    Args:
        target: the device.
        runtime: one of `edgekit_benchmarks.wheels.CHOICES`.
        offline: the device needs no network.
        python: to make it with; by default the device's ``python3``.
        progress: told what is being done, in `STEPS` steps.

    Raises:
        UsageError: the target measures with a Python of its own, or is this machine.
        TargetError: no connection, no Python, no runtime for it, no packages.
        OutputError: no space there, or the packages do not work.
        CrashError: the connection broke; nothing is left there.
    """
    _check(target, runtime)
    progress = progress or Progress(STEPS, enabled=False)
    if target.is_emulated:
        return _emulated(target, progress)
    progress.step(f"{target.name}: connect")
    base = replace(target, python=python)
    program = ("setup", installer_bytes())
    with SshLink(base, program=program, plain=True, silence_s=_SILENCE_S) as link:
        found = link.request("probe", timeout_s=_ASK_S)
        platform = Platform.of(found)
        try:
            runtimes = choose(runtime, platform)
        except TargetError as error:
            message = f"{target.name}: {error}"
            raise TargetError(message) from None
        marker = {
            "format_version": 1,
            "packages": sorted(f"{one.package}=={one.version}" for one in runtimes),
            "python": found["python"],
            "base": found["base"],
        }
        changed = found["marker"] != marker
        if changed:
            _check_room(target, runtimes, found["free_bytes"])
            _Making(link, found, platform, runtimes, progress).make(marker, offline=offline)
    progress.step(f"{target.name}: try it")
    with SshLink(target) as link:
        packages = link.request("facts", timeout_s=_ASK_S)["runtimes"]
    return SetupReport(
        target=target,
        folder=found["folder"],
        python=found["python"],
        packages=packages,
        changed=changed,
    )


def _emulated(target: Target, progress: Progress) -> SetupReport:
    """It has its runtimes from the start."""
    assert target.board is not None
    known = existing_tree(target.board)
    tree = board_tree(target.board, progress=progress)
    progress.step(f"{target.name}: try it")
    with open_link(target) as link:
        facts = link.request("facts", timeout_s=_ASK_S)
    return SetupReport(
        target=target,
        folder=str(tree),
        python=facts["python"],
        packages=facts["runtimes"],
        changed=tree != known,
    )


class _Making:
    """One environment, on its way."""

    def __init__(
        self,
        link: SshLink,
        found: dict[str, Any],
        platform: Platform,
        runtimes: Sequence[Runtime],
        progress: Progress,
    ) -> None:
        self._link = link
        self._found = found
        self._platform = platform
        self._runtimes = runtimes
        self._progress = progress
        # No numpy is published for 32-bit ARM: the system's own will do.
        self._with_system = platform.machine == "armv7l" and str(found["numpy"]).startswith("1.")

    def make(self, marker: dict[str, Any], *, offline: bool) -> None:
        """All of it."""
        fill = self._send if offline else self._install
        requirements = [word for one in self._runtimes for word in one.requirements]
        if self._with_system:
            requirements = [word for word in requirements if not word.startswith("numpy")]
        fill(sorted(set(requirements)))
        modules = ["numpy", *(one.module for one in self._runtimes)]
        self._ask("finish", _MAKE_S, modules=modules, marker=marker)

    def _begin(self, *, with_pip: bool) -> None:
        name = self._link.name
        self._progress.step(f"{name}: make an environment of Python {self._found['python']}")
        self._ask("begin", _MAKE_S, with_pip=with_pip, with_system=self._with_system)

    def _install(self, requirements: Sequence[str]) -> None:
        """From the device's own network."""
        pip = None if self._found["ensurepip"] else _bundled_pip()
        if not self._found["ensurepip"] and pip is None:
            message = (
                f"{self._link.name}: its Python makes no environments with pip; run there: "
                "sudo apt install python3-venv, or add --offline"
            )
            raise TargetError(message)
        self._begin(with_pip=pip is None)
        there = self._link.put(pip) if pip else None
        names = ", ".join(one.package for one in self._runtimes)
        self._progress.step(f"{self._link.name}: install {names} from its network")
        self._ask("install", _INSTALL_S, requirements=requirements, pip=there)

    def _send(self, requirements: Sequence[str]) -> None:
        """From here."""
        if self._platform.machine == "armv7l" and not self._with_system:
            message = (
                f"{self._link.name}: there is no numpy 1 for it to send; run there: "
                "sudo apt install python3-numpy"
            )
            raise TargetError(message)
        with tempfile.TemporaryDirectory(prefix="edgekit-wheels-") as folder:
            self._progress.step(f"{self._link.name}: fetch its packages here")
            files = self._named(
                lambda: download(
                    self._platform,
                    requirements,
                    Path(folder),
                    alone=self._with_system,
                    say=lambda text: self._progress.detail(one_line(text)),
                )
            )
            self._begin(with_pip=False)
            for file in files:
                self._progress.detail(f"send {file.name}")
                self._ask("unpack", _MAKE_S, path=self._link.put(file))

    def _named(self, fetch: Callable[[], list[Path]]) -> list[Path]:
        try:
            return fetch()
        except TargetError as error:
            message = f"{self._link.name}: {error}"
            raise TargetError(message) from None

    def _ask(self, do: str, timeout_s: float, **arguments: Any) -> None:
        def tell(event: dict[str, Any]) -> None:
            self._progress.detail(one_line(str(event.get("detail", ""))))

        self._link.request(do, on_event=tell, timeout_s=timeout_s, **arguments)


def installer_bytes() -> bytes:
    """One file for the device: the installer, with the worker that it is built on."""
    package = FOLDER.parent
    main = "import sys\nfrom edgekit_benchmarks.device_installer import main\nmain(sys.argv[0])\n"
    files = [package / "__init__.py", package / "device_installer.py", *FOLDER.glob("*.py")]
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr(zipfile.ZipInfo("__main__.py", _LONG_AGO), main)
        for file in sorted(files):
            name = file.relative_to(package.parent).as_posix()
            entry = zipfile.ZipInfo(name, _LONG_AGO)
            archive.writestr(entry, file.read_bytes(), zipfile.ZIP_DEFLATED)
    return packed.getvalue()


def _check(target: Target, runtime: str) -> None:
    if runtime not in CHOICES:
        message = f"runtime {runtime!r}: is none; choose from: {', '.join(CHOICES)}"
        raise UsageError(message)
    if target.is_local:
        message = "local: is this machine; what it lacks is told by: edgekit doctor"
        raise UsageError(message)
    if target.python is not None:
        message = (
            f"{target.name}: measures with {target.python}, which you look after; to have an "
            f"environment made, first run: {adding(target)}"
        )
        raise UsageError(message)


def _check_room(target: Target, runtimes: Sequence[Runtime], free_bytes: int) -> None:
    needed = sum(one.size_bytes for one in runtimes)
    if free_bytes < needed:
        message = (
            f"{target.name}: the environment takes about {needed / 1e6:.0f} MB, and "
            f"{free_bytes / 1e6:.0f} MB are free there; free some space"
        )
        raise TargetError(message)


def _bundled_pip() -> Path | None:
    """The package of pip that our own Python carries."""
    try:
        import ensurepip
    except ImportError:
        return None
    found = sorted((Path(ensurepip.__file__).parent / "_bundled").glob("pip-*.whl"))
    return found[-1] if found else None
