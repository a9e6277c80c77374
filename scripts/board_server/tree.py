"""The files of a board: where they are, and for which processor."""

from __future__ import annotations

import contextlib
from pathlib import Path

from board_server.running import BoardError

_MACHINES = {0xB7: "aarch64", 0x28: "arm"}
_CPUS = {"0xc07": "cortex-a7", "0xd03": "cortex-a53", "0xd08": "cortex-a72", "0xd0b": "cortex-a76"}


def find_tree(board: str) -> Path:
    """The folder that `board` is, or that edgekit builds for a board of this name.

    Raises:
        BoardError: there is none, and none can be built.
    """
    if Path(board).is_dir():
        return Path(board).resolve()
    try:
        from edgekit.errors import EdgekitError
        from edgekit_benchmarks.emulated import board_tree
    except ImportError as error:
        message = f"{board}: no such folder, and only the Python of edgekit builds boards ({error})"
        raise BoardError(message) from None
    try:
        return board_tree(board).resolve()
    except EdgekitError as error:
        raise BoardError(str(error)) from None


def machine_of(tree: Path) -> str:
    """``aarch64`` or ``arm``.

    Raises:
        BoardError: it holds no programs for these.
    """
    with contextlib.suppress(OSError):
        head = _inside(tree, "usr/bin/env").read_bytes()[:20]
        if head[:4] == b"\x7fELF" and head[18] in _MACHINES:
            return _MACHINES[head[18]]
    message = f"{tree}: holds no programs for 64-bit or 32-bit ARM"
    raise BoardError(message)


def cpu_of(tree: Path) -> str:
    """What QEMU is to emulate: the processor that the board says it has.

    Raises:
        BoardError: it says nothing, or something unknown.
    """
    part = "none"
    with contextlib.suppress(OSError):
        info = (tree / "proc/cpuinfo").read_text().splitlines()
        part = next((line.split(":")[1].strip() for line in info if "CPU part" in line), part)
    if part not in _CPUS:
        message = f"{tree}/proc/cpuinfo: its CPU part is {part}; I know: {', '.join(_CPUS)}"
        raise BoardError(message)
    return _CPUS[part]


def _inside(tree: Path, path: str) -> Path:
    """A file of the tree; links are followed as inside of it."""
    found = tree / path
    while found.is_symlink():
        link = str(found.readlink())
        found = tree / link.lstrip("/") if link.startswith("/") else found.parent / link
    return found
