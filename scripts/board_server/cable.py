"""A network of the board's own, with a cable to this machine that one can cut."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

from board_server.machine import mark_of
from board_server.running import BoardError, run


def lay(folder: Path, network: str) -> list[str]:
    """Connect the board as NETWORK.2 with us as NETWORK.1; returns the words to run in there.

    Raises:
        BoardError: this machine has no networks of their own.
    """
    name, here = f"edgekit-{mark_of(folder)}", _name(folder)
    run("ip", "netns", "add", name)
    run("ip", "link", "add", here, "type", "veth", "peer", "name", "eth0", "netns", name)
    run("ip", "addr", "add", f"{network}.1/24", "dev", here)
    run("ip", "link", "set", here, "up")
    run("ip", "-n", name, "addr", "add", f"{network}.2/24", "dev", "eth0")
    run("ip", "-n", name, "link", "set", "eth0", "up")
    run("ip", "-n", name, "link", "set", "lo", "up")
    return ["nsenter", f"--net=/run/netns/{name}"]


def free_network() -> str:
    """The first three numbers of addresses that nobody here has."""
    taken = run("ip", "-o", "-4", "addr")
    candidates = (f"10.213.{number}" for number in range(8, 255))
    return next(one for one in candidates if f" {one}." not in taken)


def pull(folder: Path, to: str) -> None:
    """Cut the cable (to ``down``), or mend it (``up``).

    Raises:
        BoardError: there is none.
    """
    with contextlib.suppress(OSError, ValueError):
        if json.loads((folder / "board.json").read_text())["network"]:
            run("ip", "link", "set", _name(folder), to)
            return
    message = f"{folder}: has no board with a cable; start it with --cable"
    raise BoardError(message)


def _name(folder: Path) -> str:
    return f"ek{mark_of(folder)}"
