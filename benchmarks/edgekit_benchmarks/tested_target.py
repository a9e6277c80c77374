"""A target that runs tests: what they need is brought there, and each outcome comes back.

    with TestedTarget(find_target("pi5")) as tested:
        tested.bring(repository, models)
        tested.run(["device_tests/test_runtimes.py::test_a_runtime_is_installed"], [], print)

All that is brought lies in one temporary folder there, which goes when the block ends, whatever
ends it. The device's own environment gives Python, NumPy and the runtimes, and is not changed.
"""

from __future__ import annotations

import importlib.util
import re
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from edgekit_benchmarks.device_archive import (
    PIP,
    PYTEST,
    build_wheel,
    pack_files,
    pack_packages,
    pack_wheel,
)
from edgekit_benchmarks.emulated import board_launcher, scratch_folder
from edgekit_benchmarks.link import LocalLink, StreamLink
from edgekit_benchmarks.program_file import program_bytes
from edgekit_benchmarks.ssh_link import SshLink
from edgekit_benchmarks.ssh_words import one_line
from edgekit_benchmarks.target import Target, TargetError
from edgekit_benchmarks.wheels import Platform, download

OLDEST_PYTHON = (3, 11)
RUNTIMES = ("ai-edge-litert", "tflite-runtime", "onnxruntime")
TESTS = "device_tests"
MODELS = "models"
WHEELS = "wheels"
"""Where things are, below the folder in which pytest runs there."""

_NEEDED = {"PIL": "pillow", "click": "click"}
_DEBIAN = {"PIL": "python3-pil", "click": "python3-click"}
_PROGRAM = "device_tester"
_ASK_S = 60.0
_UNPACK_S = 600.0
_SLOW_S = 60.0
"""Python under QEMU may say nothing for so long."""
_SILENCE_S = 600.0
"""One test may take so long; faulthandler has said where it hangs by then."""

Message = Mapping[str, Any]


class TestedTarget:
    """Used in ``with``, and from one thread."""

    __test__ = False  # nothing that pytest should collect

    def __init__(self, target: Target, *, say: Callable[[str], None] = lambda _: None) -> None:
        """Connect, and see whether tests can run there.

        Args:
            target: this machine, a device, or an emulated board.
            say: told what is being done.

        Raises:
            TargetError: unreachable, or without a Python, NumPy or runtime that fits.
            CrashError: the agent does not start.
        """
        self.target = target
        self._say = say
        self._folder = tempfile.TemporaryDirectory(prefix="edgekit-tests-")
        self._here = Path(self._folder.name)
        self._link: StreamLink | None = None
        try:
            self._link = self._connected()
            self.facts = self._link.request("facts", timeout_s=_ASK_S)
            modules = ["numpy", *_NEEDED]
            self._needs = self._link.request("needs", timeout_s=_ASK_S, modules=modules)
            self._check()
        except BaseException:
            self.close()
            raise

    @property
    def runtimes(self) -> dict[str, str]:
        """Versions of the runtimes there, by package."""
        found = self.facts["runtimes"]
        return {name: found[name] for name in RUNTIMES if found.get(name)}

    def bring(self, repository: Path, models: Path) -> None:
        """Send edgekit's wheel, pytest, the tests and the model files.

        Args:
            repository: edgekit's own.
            models: the folder of ``scripts/make_device_models.py``.

        Raises:
            OutputError: no wheel can be built here, or no space there.
            MissingDependencyError: pytest or pip is not installed here as a package.
            TargetError: a package that is missing there cannot be had.
            CrashError: the connection broke.
        """
        self._say("building edgekit's wheel")
        wheel = build_wheel(repository, self._here)
        compiled = self._needs["magic"] == importlib.util.MAGIC_NUMBER.hex()
        packages = pack_packages([*PYTEST, PIP], self._here, compiled=compiled)
        places = {
            TESTS: repository / TESTS,
            "examples": repository / "examples",
            "pyproject.toml": repository / "pyproject.toml",
            MODELS: models,
            f"{WHEELS}/{wheel.name}": wheel,
        }
        self._unpack(packages, "site")
        for missing in self._missing():
            self._unpack(missing, "site")
        self._unpack(pack_wheel(wheel, self._here, compiled=compiled), "site")
        self._unpack(pack_files(places, self._here), "work")

    def run(
        self, ids: Sequence[str], arguments: Sequence[str], on_message: Callable[[Message], None]
    ) -> tuple[int | None, str]:
        """Run tests there.

        Args:
            ids: in the order in which they run.
            arguments: further ones of pytest.
            on_message: told what `edgekit_benchmarks.device_outcomes` tells, as it comes.

        Returns:
            How pytest ended there (exit code, negative signal, or None if it was stopped as it
            hung), and its last words.

        Raises:
            CrashError: the connection broke.
        """

        def tell(event: dict[str, Any]) -> None:
            if event.get("kind") == "test":
                on_message(event)

        files = sorted({one.partition("::")[0] for one in ids})
        fixed = ["-p", "no:cacheprovider", "--models", MODELS, "--wheels", WHEELS]
        answer = self._open().request(
            "test",
            on_event=tell,
            timeout_s=float("inf"),
            arguments=[*fixed, *arguments, *files],
            ids=list(ids),
            silence_s=_SILENCE_S,
        )
        return answer["code"], one_line(answer["said"])

    def close(self) -> None:
        """End what runs there, and remove what was brought; safe to call twice."""
        if self._link is not None:
            self._link.close()
        self._folder.cleanup()

    def __enter__(self) -> Self:
        """Close at the end of the block."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close."""
        self.close()

    def _connected(self) -> StreamLink:
        """As `edgekit_benchmarks.open_link` does, with another program than the worker."""
        target = self.target
        if not (target.is_local or target.is_emulated):
            return SshLink(target, program=("tests", program_bytes(_PROGRAM)))
        program = self._here / "tests.pyz"
        program.write_bytes(program_bytes(_PROGRAM))
        if target.board is not None:
            return LocalLink(
                target.name,
                python=str(board_launcher(target.board)),
                worker=program,
                silence_s=_SLOW_S,
                environment={"TMPDIR": str(scratch_folder(target.board))},
            )
        python = str(Path(target.python).expanduser()) if target.python else sys.executable
        return LocalLink(target.name, python=python, worker=program)

    def _open(self) -> StreamLink:
        assert self._link is not None, "closed"
        return self._link

    def _check(self) -> None:
        """Whether tests can run there.

        Raises:
            TargetError: they cannot, and what to do.
        """
        name, python = self.target.name, str(self.facts["python"])
        numbers = re.findall(r"\d+", python)
        lacking = ""
        if tuple(map(int, numbers[:2])) < OLDEST_PYTHON:
            oldest = ".".join(map(str, OLDEST_PYTHON))
            message = (
                f"{name}: has Python {python}, and edgekit takes {oldest} or newer; name one with "
                "edgekit targets add --python"
            )
            raise TargetError(message)
        if "numpy" in self._needs["missing"]:
            lacking = "NumPy"
        elif not self.runtimes:
            lacking = f"runtime ({', '.join(RUNTIMES)})"
        if lacking:
            setup = "pip install" if self.target.is_local else f"edgekit targets setup {name}"
            message = f"{name}: has no {lacking} for its Python {python}; run: {setup}"
            raise TargetError(message)

    def _missing(self) -> list[Path]:
        """Packages that edgekit needs, and which are not there."""
        names = [name for name in _NEEDED if name in self._needs["missing"]]
        if not names:
            return []
        platform = Platform.of(self.facts)
        requirements = [_NEEDED[name] for name in names]
        self._say(f"fetching {', '.join(requirements)}")
        try:
            folder = self._here / "fetched"
            folder.mkdir()
            return download(platform, requirements, folder, alone=True)
        except TargetError as error:
            packages = " ".join(_DEBIAN[name] for name in names)
            message = f"{self.target.name}: {error}; or run there: sudo apt install {packages}"
            raise TargetError(message) from None

    def _unpack(self, file: Path, where: str) -> None:
        self._say(f"sending {file.name} ({file.stat().st_size / 1e6:.1f} MB)")
        link = self._open()
        link.request("unpack", timeout_s=_UNPACK_S, path=link.put(file), where=where)
