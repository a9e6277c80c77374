"""Emulated boards on this machine: built once in a cache folder, and run by QEMU without rights.

    launcher = board_launcher("pi4")
    subprocess.run([launcher, "-c", "import platform; print(platform.machine())"])

They compute what the board would, and their instructions can be counted; **how long they take says
nothing about the board**.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from edgekit.errors import OutputError
from edgekit.progress import Progress
from edgekit_benchmarks.board import BOARDS, Board, find_board
from edgekit_benchmarks.board_identity import identity_files, write_identity
from edgekit_benchmarks.sysroot import (
    ABOUT,
    SITE,
    SYSROOTS,
    Sysroot,
    make_sysroot,
    need_programs,
    python_of,
)
from edgekit_benchmarks.target import TargetError

STEPS = 6
"""Of progress, at most."""
LAUNCHER = "edgekit/python"
"""In a tree: runs the board's Python, as ``python3`` would there."""
_NEW = ".new-"
_IMPORT_S = 300.0


def boards_folder() -> Path:
    """Where the trees are: ``$XDG_CACHE_HOME/edgekit/boards``."""
    cache = os.environ.get("XDG_CACHE_HOME")
    return (Path(cache) if cache else Path.home() / ".cache") / "edgekit" / "boards"


def board_launcher(name: str) -> Path:
    """The program that runs a board's Python here; the board is built if need be.

    Raises:
        EdgekitError: see `board_tree`.
    """
    return board_tree(name) / LAUNCHER


def board_tree(
    name: str,
    *,
    sources: Path | None = None,
    anew: bool = False,
    progress: Progress | None = None,
) -> Path:
    """The file tree of a board; built if need be, and nothing is left of it if that fails.

    Args:
        name: of `BOARDS`.
        sources: apt's, instead of the system's.
        anew: build it even if it is there.
        progress: told what is done, in up to `STEPS` steps; None: one line if it has to be built.

    Raises:
        UsageError: there is no such board.
        MissingDependencyError: a program is missing here.
        TargetError: a package cannot be had, or what was built does not run.
        OutputError: there is no space in the cache folder, or no right to write there.
    """
    board = find_board(name)
    need_programs()
    sysroot = SYSROOTS[board.architecture]
    folder = boards_folder()
    base = folder / f"{board.architecture}-{sysroot.key(sources)}"
    tree = folder / f"{board.name}-{_key(board, base)}"
    if (tree / LAUNCHER).exists() and not anew:
        return tree
    if progress is None:
        progress = Progress(STEPS, enabled=False)
        progress.note(f"{name}: is built in {folder}")
    try:
        with _locked(folder):
            if anew or not (base / ABOUT).exists():
                _build_base(sysroot, base, sources, progress)
            if anew or not (tree / LAUNCHER).exists():
                _build_board(board, base, tree)
    except OSError as error:
        message = (
            f"{error.filename or folder}: {error.strerror}; free some space, or set XDG_CACHE_HOME"
        )
        raise OutputError(message) from error
    return tree


def _build_base(sysroot: Sysroot, base: Path, sources: Path | None, progress: Progress) -> None:
    with tempfile.TemporaryDirectory(prefix=_NEW, dir=base.parent) as work:
        tree = Path(work) / "tree"
        make_sysroot(sysroot, tree, Path(work), sources=sources, progress=progress)
        progress.step("import the runtimes once")
        board = next(one for one in BOARDS.values() if one.architecture == sysroot.architecture)
        write_identity(tree, board)
        _write_launcher(board, tree, tree)
        _import_all(tree, sysroot)
        shutil.rmtree(base, ignore_errors=True)
        tree.rename(base)


def _build_board(board: Board, base: Path, tree: Path) -> None:
    """A copy of the base that shares its files, and has its own identity."""
    with tempfile.TemporaryDirectory(prefix=_NEW, dir=base.parent) as work:
        made = Path(work) / "tree"
        shutil.copytree(base, made, symlinks=True, copy_function=os.link)
        write_identity(made, board)
        _write_launcher(board, made, tree)
        shutil.rmtree(tree, ignore_errors=True)
        made.rename(tree)


def _write_launcher(board: Board, tree: Path, final: Path) -> None:
    """The program that runs the tree's Python; for its place in the end."""
    launcher = tree / LAUNCHER
    launcher.unlink(missing_ok=True)
    launcher.write_text(_launcher(board, final, python_of(tree).relative_to(tree)))
    launcher.chmod(0o755)
    for name in ("python", "python3"):
        link = tree / "edgekit/bin" / name
        link.unlink(missing_ok=True)
        link.symlink_to("../python")


def _launcher(board: Board, tree: Path, python: Path) -> str:
    """Its text.

    PYTHONHOME, since what Python writes next to its modules would go to this machine's ``/usr``
    otherwise, and since QEMU 7.2 does not look for files in the tree when 32-bit programs ask for
    their size.
    """
    quoted = shlex.quote(str(tree))
    return f"""#!/bin/sh
# Python on the emulated {board.model}.
# EDGEKIT_PYTHONPATH: more folders to import from. EDGEKIT_COUNT: a file for instruction counts.
tree={quoted}
export QEMU_CPU={board.cpu} QEMU_LD_PREFIX="$tree" PYTHONHASHSEED=0 PYTHONNOUSERSITE=1
export PYTHONPATH="$tree/{SITE}${{EDGEKIT_PYTHONPATH:+:$EDGEKIT_PYTHONPATH}}"
export PYTHONHOME="$tree/usr" EDGEKIT_PYTHON="$tree/{LAUNCHER}"
case $PATH in "$tree/edgekit/bin":*) ;; *) export PATH="$tree/edgekit/bin:$PATH" ;; esac
unset PYTHONSTARTUP LD_PRELOAD LD_LIBRARY_PATH VIRTUAL_ENV
if [ -n "${{EDGEKIT_COUNT-}}" ]; then
    count=$EDGEKIT_COUNT
    unset EDGEKIT_COUNT
    set -- -plugin "$tree/edgekit/counter.so,out=$count" -0 "$EDGEKIT_PYTHON" "$tree/{python}" "$@"
else
    set -- -0 "$EDGEKIT_PYTHON" "$tree/{python}" "$@"
fi
exec {board.qemu} "$@"
"""


def _import_all(tree: Path, sysroot: Sysroot) -> None:
    """See that they work, and have Python keep them compiled."""
    command = [str(tree / LAUNCHER), "-c", f"import {', '.join(sysroot.imports)}"]
    environment = {name: value for name, value in os.environ.items() if "PYTHON" not in name}
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_IMPORT_S,
            env=environment,
            check=False,
        )
    except subprocess.TimeoutExpired:
        message = f"{sysroot.architecture}: Python does not start under QEMU; try another QEMU"
        raise TargetError(message) from None
    if done.returncode != 0:
        lines = done.stderr.decode(errors="replace").strip().splitlines()
        said = lines[-1] if lines else f"exit code {done.returncode}"
        message = (
            f"{sysroot.architecture}: the runtimes do not import ({said[:300]}); "
            "take other packages: --apt-sources FILE"
        )
        raise TargetError(message)


def _key(board: Board, base: Path) -> str:
    text = f"{base.name}{board}{identity_files(board)}{_launcher(board, Path(), Path())}"
    return hashlib.sha256(text.encode()).hexdigest()[:12]


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """One builds, others wait; what one left behind that was killed is removed."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        for path in folder.glob(f"{_NEW}*"):
            shutil.rmtree(path, ignore_errors=True)
        yield
