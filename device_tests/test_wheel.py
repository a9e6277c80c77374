"""edgekit's own wheel: it installs here without a network, and works."""

import email
import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

Find = Callable[[str], Any]
INSTALL = ["install", "--no-index", "--no-deps", "--no-compile", "--no-input", "-q", "--target"]

pytestmark = pytest.mark.board


@pytest.fixture(scope="module")
def wheel(pytestconfig: pytest.Config) -> Path:
    folder = pytestconfig.getoption("--wheels")
    found = sorted(folder.glob("edgekit*.whl")) if folder else []
    if not found:
        pytest.skip("no wheel here: --target builds one, or give --wheels FOLDER")
    return Path(found[-1])


def _python(*arguments: object, first: Path | None = None) -> str:
    """What Python prints; modules are looked for in the folder `first`."""
    folders = os.pathsep.join(filter(None, [str(first or ""), os.environ.get("PYTHONPATH", "")]))
    done = subprocess.run(
        [sys.executable, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
        env={
            **os.environ,
            "PYTHONPATH": folders,
            "EDGEKIT_PYTHONPATH": folders,
            "PYTHONDONTWRITEBYTECODE": "",  # as a user has it: compiled once
        },
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which pip installed the wheel."""
    folder = tmp_path_factory.mktemp("installed")
    _python("-m", "pip", *INSTALL, folder, wheel)
    return folder


def test_the_wheel_installs_without_a_network(installed: Path) -> None:
    where = _python("-c", "import edgekit; print(edgekit.__file__)", first=installed)
    assert Path(where.strip()).is_relative_to(installed)


def test_the_command_of_the_wheel_runs_a_model(
    installed: Path, tmp_path: Path, find: Find, backend: str
) -> None:
    inputs, expected = next(find("fashion.int8").calls())
    pixels = np.rint(inputs["image"][0, :, :, 0] * 255).astype(np.uint8)
    Image.fromarray(pixels).save(tmp_path / "one.png")
    words = ["run", find("fashion.int8").path, tmp_path / "one.png"]
    told = json.loads(_python("-m", "edgekit", *words, "--json", first=installed))
    assert told["backend"].split()[0].endswith(backend)
    assert told["results"][0]["classes"][0]["index"] == int(expected["scores"].argmax())


def test_what_the_wheel_needs_is_here(wheel: Path) -> None:
    requirement = pytest.importorskip("packaging.requirements", reason="packaging is not installed")
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (one for one in archive.namelist() if one.endswith(".dist-info/METADATA"))
        about = email.message_from_bytes(archive.read(name))
    needed = [requirement.Requirement(text) for text in about.get_all("Requires-Dist", [])]
    for one in needed:
        if one.marker is None or one.marker.evaluate({"extra": ""}):
            assert one.specifier.contains(metadata.version(one.name)), str(one)
