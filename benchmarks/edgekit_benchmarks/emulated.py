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
import json
import os
import shlex
import shutil
import subprocess
import tempfile
import time
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
    sources_sha256,
)
from edgekit_benchmarks.target import TargetError

STEPS = 7
"""Of progress, at most."""
LAUNCHER = "edgekit/python"
"""In a tree: runs the board's Python, as ``python3`` would there."""
_SAME_PLACES = {"qemu-aarch64": "-R 0x1000000000 -seed 1", "qemu-arm": "-seed 1"}
"""Words for QEMU so that memory is laid out alike in every process that is counted."""
_NEW = ".new-"
_IMPORT_S = 300.0
_IN_USE_S = 86400.0


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


def scratch_folder(name: str) -> Path:
    """Where a board's agent works; so each board has its own lock, and none takes this machine's.

    Raises:
        OutputError: it cannot be made.
    """
    folder = boards_folder() / f"tmp-{name}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unwritable(error, folder) from error
    return folder


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
    found = None if anew else existing_tree(name)
    if found is not None and not _are_other(sources, found):
        need_programs(board.qemu)
        return found
    need_programs(board.qemu, building=True)
    folder = boards_folder()
    if progress is None:
        progress = Progress(STEPS, enabled=False)
        progress.note(f"{name}: is built in {folder}")
    try:
        with _locked(folder, progress):
            base = _base(board)
            if anew or not (base / ABOUT).exists() or _are_other(sources, base):
                _build_base(SYSROOTS[board.architecture], base, sources, progress)
            tree = _tree(board)
            if anew or not (tree / LAUNCHER).exists():
                progress.step(f"make it a {board.model}")
                _build_board(board, base, tree)
    except OSError as error:
        raise _unwritable(error, folder) from error
    return tree


def existing_tree(name: str) -> Path | None:
    """The tree of a board that is there already.

    Raises:
        UsageError: there is no such board.
    """
    board = find_board(name)
    if not (_base(board) / ABOUT).exists():
        return None
    tree = _tree(board)
    return tree if (tree / LAUNCHER).exists() else None


def _base(board: Board) -> Path:
    """The tree that all boards of an architecture share their files with."""
    return boards_folder() / f"{board.architecture}-{SYSROOTS[board.architecture].key}"


def _tree(board: Board) -> Path:
    """Of this base: another one makes another tree."""
    base = _base(board)
    about = (base / ABOUT).read_text()
    text = f"{about}{board}{identity_files(board)}{_launcher(board, Path(), Path())}"
    return base.parent / f"{board.name}-{hashlib.sha256(text.encode()).hexdigest()[:12]}"


def _are_other(sources: Path | None, tree: Path) -> bool:
    """Whether a tree was made from other sources than these, where some are named."""
    if sources is None:
        return False
    return bool(json.loads((tree / ABOUT).read_text())["sources"] != sources_sha256(sources))


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
    _remove_old(base, sysroot.architecture)


def _remove_old(base: Path, architecture: str) -> None:
    """The trees that it takes the place of; younger ones may be in use."""
    names = [one.name for one in BOARDS.values() if one.architecture == architecture]
    for path in base.parent.iterdir():
        kind, _, _ = path.name.rpartition("-")
        if path == base or kind not in (architecture, *names):
            continue
        with contextlib.suppress(OSError):
            if time.time() - path.stat().st_ctime > _IN_USE_S:
                shutil.rmtree(path, ignore_errors=True)


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
    set -- -plugin "$tree/edgekit/counter.so,out=$count" \\
        {_SAME_PLACES[board.qemu]} -0 "$EDGEKIT_PYTHON" "$tree/{python}" "$@"
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


def _unwritable(error: OSError, folder: Path) -> OutputError:
    where = error.filename or folder
    return OutputError(f"{where}: {error.strerror}; free some space, or set XDG_CACHE_HOME")


@contextlib.contextmanager
def _locked(folder: Path, progress: Progress) -> Iterator[None]:
    """One builds, others wait; what one left behind that was killed is removed."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            progress.note(f"{folder}: another edgekit builds a board here; waiting for it")
            fcntl.flock(file, fcntl.LOCK_EX)
        for path in folder.glob(f"{_NEW}*"):
            shutil.rmtree(path, ignore_errors=True)
        yield
