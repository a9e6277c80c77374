"""The runtimes of this device, and the model files they have to run.

pytest device_tests [--models FOLDER]                      with the runtimes of this machine
pytest device_tests --target pi5                           there: a name of `edgekit targets`
pytest device_tests --target emulated://pi4 -m board       what every board runs
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import edgekit
from edgekit.requirement import installed_version

FORMATS = {"litert": "tflite", "tflite-runtime": "tflite", "onnxruntime": "onnx"}
PACKAGES = {
    "litert": "ai-edge-litert",
    "tflite-runtime": "tflite-runtime",
    "onnxruntime": "onnxruntime",
}
MAKER = Path(__file__).resolve().parent.parent / "scripts" / "make_device_models.py"
LOCAL = "local"
_FOLDER = pytest.StashKey[Path]()
_BACKENDS = pytest.StashKey[dict[str, str]]()


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One model file under one runtime."""

    backend: str
    name: str
    path: Path
    arrays: Path | None
    tolerance: float
    shape_is_free: bool
    refused_because: str
    """A word of the reason for which it must not load; empty where it has to."""

    def calls(self) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
        """What goes in and what has to come out, call by call."""
        assert self.arrays is not None
        with np.load(self.arrays) as stored:
            arrays = dict(stored)
        count = len(next(iter(arrays.values())))
        for at in range(count):
            now = {key: array[at] for key, array in arrays.items()}
            yield (
                {key.removeprefix("in:"): a for key, a in now.items() if key.startswith("in:")},
                {key.removeprefix("out:"): a for key, a in now.items() if key.startswith("out:")},
            )


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--models",
        metavar="FOLDER",
        type=Path,
        help="model files from scripts/make_device_models.py; made once where TensorFlow is",
    )
    parser.addoption(
        "--target",
        metavar="NAME",
        default=LOCAL,
        help="run there: a name of edgekit targets, or a URL; %(default)s is this machine",
    )
    parser.addoption(
        "--wheels",
        metavar="FOLDER",
        type=Path,
        help="where edgekit's own wheel is, for the test that installs it",
    )


def pytest_report_header(config: pytest.Config) -> list[str]:
    told = ", ".join(f"{PACKAGES[b]} {v}" for b, v in config.stash[_BACKENDS].items())
    models = config.getoption("--models") or "made when a test needs them"
    return [f"runtimes: {told or 'none'}", f"models: {models}"]


def pytest_collection(session: pytest.Session) -> None:
    files = {Path(argument.partition("::")[0]).name for argument in session.config.args}
    if files != {"test_runtimes.py"}:  # which needs none
        _folder(session.config)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "case" in metafunc.fixturenames:
        cases = _cases(metafunc.config)
        wanted = metafunc.definition.get_closest_marker("cases")
        if wanted is not None:
            cases = [case for case in cases if wanted.kwargs["keep"](case)]
        ids = [f"{case.backend}-{case.name}" for case in cases]
        metafunc.parametrize("case", cases, ids=ids)
    elif "backend" in metafunc.fixturenames:
        marker = metafunc.definition.get_closest_marker("backends")
        formats = marker.args if marker else tuple(FORMATS.values())
        there = metafunc.config.stash[_BACKENDS]
        backends = [name for name in there if FORMATS[name] in formats]
        metafunc.parametrize("backend", backends)


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers", "cases(keep=…): only model files for which keep(case) is true"
    )
    config.addinivalue_line("markers", "backends(format, …): only runtimes of these formats")
    config.addinivalue_line("markers", "board: every board runs it, also emulated ones in CI")
    config.stash[_BACKENDS] = _backends(config)


def _backends(config: pytest.Config) -> dict[str, str]:
    """The runtimes of the target, with their versions; connects to one that is not this machine."""
    target = config.getoption("--target")
    found = {package: installed_version(package) for package in PACKAGES.values()}
    if target != LOCAL:
        from edgekit_benchmarks.pytest_on_target import OnTarget

        on_target = OnTarget(config, target, lambda: _folder(config))
        config.pluginmanager.register(on_target, "edgekit-on-target")
        found = dict(on_target.tested.runtimes)
    versions = {name: found.get(package) for name, package in PACKAGES.items()}
    return {name: version for name, version in versions.items() if version}


def _folder(config: pytest.Config) -> Path:
    """The folder of model files; made when it is not given, and TensorFlow can make it."""
    if _FOLDER not in config.stash:
        given = config.getoption("--models")
        if given is None:
            given = _made()
        if not (given / "index.json").is_file():
            message = f"{given}: no model files; run: python {MAKER} {given}"
            raise pytest.UsageError(message)
        config.stash[_FOLDER] = Path(given).absolute()
    return config.stash[_FOLDER]


def _made() -> Path:
    if find_spec("tensorflow") is None or not MAKER.is_file():
        message = (
            "device_tests: no model files, and no TensorFlow to make them; run "
            "scripts/make_device_models.py FOLDER on the machine that converts, copy the folder "
            "here, and give it with --models FOLDER"
        )
        raise pytest.UsageError(message)
    made = subprocess.run(  # apart from this process, as runtimes must not meet TensorFlow
        [sys.executable, MAKER], stdout=subprocess.PIPE, text=True, check=False
    )
    if made.returncode:
        message = f"{MAKER.name}: failed; its last lines say why"
        raise pytest.UsageError(message)
    return Path(made.stdout.splitlines()[-1])


def _cases(config: pytest.Config) -> list[Case]:
    folder = _folder(config)
    index = json.loads((folder / "index.json").read_text(encoding="utf-8"))
    assert index["format_version"] == 1, "made by another version; make the models again"
    cases = []
    for backend in config.stash[_BACKENDS]:
        for file in index["files"]:
            if file["format"] != FORMATS[backend]:
                continue
            reason = file["refused_because"]
            if backend == "tflite-runtime":
                reason = reason or file["old_runtime_refuses"]
            cases.append(
                Case(
                    backend=backend,
                    name=file["name"],
                    path=folder / f"{file['name']}.{file['format']}",
                    arrays=folder / file["arrays"] if file["arrays"] else None,
                    tolerance=file["tolerance"],
                    shape_is_free=file["shape_is_free"],
                    refused_because=reason,
                )
            )
    return cases


@pytest.fixture(scope="session")
def is_emulated() -> bool:
    """Whether QEMU stands for the board that this runs on."""
    with suppress(OSError):  # opened, as QEMU does not tell of every file that it opens
        return bool(json.loads(Path("/etc/edgekit-board").read_text())["emulated"])
    return False


@pytest.fixture
def find(request: pytest.FixtureRequest, backend: str) -> Callable[[str], Case]:
    """A function that gives the model file of a name, for the runtime of this test."""
    cases = {c.name: c for c in _cases(request.config) if c.backend == backend}
    return cases.__getitem__


@pytest.fixture
def open_model(find: Callable[[str], Case], backend: str) -> Iterator[Callable[..., edgekit.Model]]:
    """A function that loads the model file of a name; closed at the end of the test."""
    with ExitStack() as stack:
        yield lambda name, **options: stack.enter_context(
            edgekit.load(find(name).path, backend=backend, **options)
        )
