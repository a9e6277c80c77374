"""What tests on a device need of this machine, packed to be sent.

archive = pack_packages(["pytest", "pip"], folder, compiled=True)
wheel = build_wheel(repository, folder)
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import py_compile
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from edgekit.errors import MissingDependencyError, OutputError

PYTEST = ("pytest", "iniconfig", "packaging", "pluggy", "pygments")
"""pytest and all it needs where Python is 3.11 or newer; none of it is compiled for a machine."""
PIP = "pip"


def build_wheel(repository: Path, folder: Path) -> Path:
    """Build edgekit's own wheel from its sources.

    Args:
        repository: with ``pyproject.toml``.
        folder: for the file.

    Raises:
        OutputError: it cannot be built.
    """
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel"]
    command += ["--directory", str(folder)]
    if importlib.util.find_spec("hatchling") is None:
        command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps"]
        command += ["--wheel-dir", str(folder), str(repository)]
    done = subprocess.run(command, cwd=repository, capture_output=True, text=True, check=False)
    made = sorted(folder.glob("edgekit*.whl"))
    if done.returncode or not made:
        last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        message = f"{repository}: no wheel can be built of it ({last}); run: pip install hatchling"
        raise OutputError(message)
    return made[-1]


def pack_packages(names: Iterable[str], folder: Path, *, compiled: bool) -> Path:
    """Pack packages that are installed here, and pure Python.

    Args:
        names: of the distributions.
        folder: for the archive.
        compiled: with compiled files of this Python, so that imports take less time.

    Raises:
        MissingDependencyError: one is not installed.
    """
    files: dict[str, Path] = {}
    for name in names:
        try:
            distribution = importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError as error:
            message = f"{name}: not installed here; run: pip install {name}"
            raise MissingDependencyError(message) from error
        for file in distribution.files or ():
            if ".." not in file.parts and "__pycache__" not in file.parts:
                files[file.as_posix()] = Path(str(distribution.locate_file(file)))
    return _packed(files, folder / "packages.zip", compiled=compiled)


def pack_wheel(wheel: Path, folder: Path, *, compiled: bool) -> Path:
    """Pack what a wheel of pure Python holds; parameters as of `pack_packages`."""
    with tempfile.TemporaryDirectory(dir=folder) as unpacked:
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(unpacked)
        files = dict(_below(Path(unpacked), ""))
        return _packed(files, folder / f"{wheel.stem}.zip", compiled=compiled)


def pack_files(places: Mapping[str, Path], folder: Path) -> Path:
    """Pack files and folders.

    Args:
        places: what goes where; a folder with all that is below it.
        folder: for the archive.
    """
    files: dict[str, Path] = {}
    for where, path in places.items():
        files.update(_below(path, where) if path.is_dir() else {where: path})
    return _packed(files, folder / "tests.zip", compiled=False)


def _below(path: Path, where: str) -> Iterator[tuple[str, Path]]:
    for file in sorted(path.rglob("*")):
        if file.is_file() and "__pycache__" not in file.parts:
            yield (Path(where) / file.relative_to(path)).as_posix(), file


def _packed(files: Mapping[str, Path], archive: Path, *, compiled: bool) -> Path:
    with (
        tempfile.TemporaryDirectory(dir=archive.parent) as work,
        zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as packed,
    ):
        made = Path(work) / "compiled"
        for name, path in sorted(files.items()):
            packed.write(path, name)
            if compiled and name.endswith(".py") and _compile(path, name, made):
                cached = Path(importlib.util.cache_from_source(name))
                packed.write(made, cached.as_posix())
    return archive


def _compile(path: Path, name: str, made: Path) -> bool:
    """Not bound to the file's time, which an archive does not keep."""
    mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
    try:
        py_compile.compile(str(path), str(made), name, doraise=True, invalidation_mode=mode)
    except py_compile.PyCompileError:
        return False
    return True
