"""The file tree of a Debian for ARM that QEMU runs programs of: Python and the runtimes.

No folder of it may stand for one that programs write to: an emulated program that looks at a path
which the tree has sees the tree's, so there is no ``/tmp``, ``/home``, ``/root``, ``/run`` in it.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edgekit.errors import MissingDependencyError
from edgekit.progress import Progress
from edgekit_benchmarks.debian_packages import fetch_packages, source_files, unpack_packages
from edgekit_benchmarks.target import TargetError
from edgekit_benchmarks.wheels import LITERT, ONNX, TFLITE_RUNTIME, Platform, download

SITE = "edgekit/site"
"""The Python packages of a tree, unzipped."""
ABOUT = "edgekit/tree.json"
"""What went into it."""
_RECIPE = 1
"""Grows with each change of what is made here, so that older trees are made anew."""
_BUILDING = {"apt-get": "apt", "dpkg-deb": "dpkg", "tar": "tar", "gcc": "gcc libc6-dev"}
"""Programs, and the packages they are in."""
_COMMON = (
    *("python3", "libstdc++6", "libgomp1", "libatomic1", "ca-certificates", "bash", "dash"),
    *("coreutils", "procps", "tar", "gzip", "sed", "grep", "openssh-sftp-server"),
)
_WRITTEN = ("tmp", "home", "root", "run", "dev", "var/tmp", "var/run", "srv", "mnt", "media")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sysroot:
    """What a tree is made of; the same for all boards of an architecture."""

    architecture: str
    packages: tuple[str, ...]
    wheels: tuple[str, ...]
    """For pip, with what they depend on."""
    single_wheels: tuple[str, ...] = ()
    """Without that: Debian's packages stand for it."""
    imports: tuple[str, ...]
    """What has to work in the end."""

    @property
    def key(self) -> str:
        """Of everything that is asked for; which versions come is up to the package sources."""
        return hashlib.sha256(f"{_RECIPE}{self}".encode()).hexdigest()[:12]


SYSROOTS = {
    "arm64": Sysroot(
        architecture="arm64",
        packages=_COMMON,
        wheels=(*LITERT.requirements, *ONNX[0].requirements, "click", "pillow"),
        imports=("ai_edge_litert.interpreter", "onnxruntime", "numpy", "click", "PIL.Image"),
    ),
    "armhf": Sysroot(
        architecture="armhf",
        packages=(*_COMMON, "python3-numpy", "python3-pil"),
        wheels=("click",),
        single_wheels=(TFLITE_RUNTIME.requirements[0],),
        imports=("tflite_runtime.interpreter", "numpy", "click", "PIL.Image"),
    ),
}


def need_programs(qemu: str, *, building: bool = False) -> None:
    """Say what has to be installed here before a tree can be run, or made.

    Args:
        qemu: the program that runs it.
        building: whether it is not there yet.

    Raises:
        MissingDependencyError: a program is missing; the message names all of them.
    """
    programs = {qemu: "qemu-user", **(_BUILDING if building else {})}
    missing = [name for name in programs if shutil.which(name) is None]
    if missing:
        packages = " ".join(dict.fromkeys(programs[name] for name in missing))
        message = (
            f"emulated boards: {', '.join(missing)} not found here; "
            f"run: sudo apt-get install {packages}"
        )
        raise MissingDependencyError(message)


def sources_sha256(sources: Path | None) -> str:
    """Of what says where packages come from; None: this system.

    Raises:
        SourceError: there is none.
    """
    digest = hashlib.sha256()
    for file in source_files(sources):
        digest.update(file.read_bytes())
    return digest.hexdigest()


def make_sysroot(
    sysroot: Sysroot, tree: Path, work: Path, *, sources: Path | None, progress: Progress
) -> None:
    """Fill an empty folder with it; four steps of progress.

    Args:
        sysroot: what it is made of.
        tree: to fill; made.
        work: for what is downloaded.
        sources: apt's, instead of the system's.
        progress: told what is done.

    Raises:
        TargetError: a package cannot be had.
        SourceError: apt has no sources.
    """
    progress.step(f"fetch Debian packages for {sysroot.architecture}")
    packages = fetch_packages(
        sysroot.architecture,
        sysroot.packages,
        work / "apt",
        sources=sources,
        say=progress.detail,
        warn=progress.note,
    )
    progress.step(f"unpack {len(packages)} packages")
    tree.mkdir(parents=True)
    unpack_packages(packages, tree, progress.detail)
    _link_alternatives(tree)
    for name in _WRITTEN:
        shutil.rmtree(tree / name, ignore_errors=True)
    progress.step("fetch the runtimes for Python on it")
    platform = _platform(sysroot, packages, tree)
    wheels = _wheels(sysroot, platform, work, progress)
    progress.step(f"unpack {len(wheels)} Python packages")
    site = tree / SITE
    site.mkdir(parents=True)
    for wheel in wheels:
        progress.detail(wheel.name)
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(site)
    about = {
        "architecture": sysroot.architecture,
        "packages": [path.stem for path in packages],
        "wheels": [path.stem for path in wheels],
        "sources": sources_sha256(sources),
    }
    (tree / ABOUT).write_text(json.dumps(about, indent=1) + "\n")


def python_of(tree: Path) -> Path:
    """The tree's Python.

    Raises:
        TargetError: it has none.
    """
    found = [path for path in (tree / "usr/bin").glob("python3.*") if path.suffix[1:].isdigit()]
    if not found:
        message = f"{tree}: has no Python; build it again with --force"
        raise TargetError(message)
    return found[0]


def _platform(sysroot: Sysroot, packages: Sequence[Path], tree: Path) -> Platform:
    minor = int(python_of(tree).suffix[1:])
    libc = next((path.name for path in packages if path.name.startswith("libc6_")), "")
    version = re.match(r"libc6_(\d+)\.(\d+)", libc)
    return Platform(
        machine="aarch64" if sysroot.architecture == "arm64" else "armv7l",
        glibc=(int(version[1]), int(version[2])) if version else None,
        python=(3, minor),
    )


def _wheels(sysroot: Sysroot, platform: Platform, work: Path, progress: Progress) -> list[Path]:
    folder = work / "wheels"
    folder.mkdir()
    download(platform, sysroot.wheels, folder, say=progress.detail)
    if sysroot.single_wheels:
        download(platform, sysroot.single_wheels, folder, alone=True, say=progress.detail)
    return sorted(folder.glob("*.whl"))


def _link_alternatives(tree: Path) -> None:
    """The libraries that an installed package would choose among."""
    for kind in ("blas", "lapack"):
        for library in tree.glob(f"usr/lib/*/{kind}/lib{kind}.so.3"):
            link = library.parent.parent / library.name
            link.symlink_to(f"{kind}/{library.name}")
