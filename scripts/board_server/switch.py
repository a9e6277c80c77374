"""Switch a board on, off, and off and on again."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from board_server.cable import free_network, lay
from board_server.machine import find_qemu, register, tidy
from board_server.running import BoardError, run
from board_server.tree import cpu_of, find_tree, machine_of

_POWER = str(Path(__file__).with_name("power.py"))
_WAIT_S = 30


def start(
    folder: Path,
    board: str,
    *,
    port: int | None = None,
    cable: bool = False,
    disk_mb: int = 1024,
    files: Sequence[str] = (),
    throttled: int | None = None,
    unmarked: bool = False,
) -> str:
    """Switch the board on, and wait until it answers; returns its URL.

    Raises:
        BoardError: it runs already, or something is missing, or it does not come up.
    """
    tree = find_tree(board)
    machine, cpu = machine_of(tree), cpu_of(tree)
    qemu = find_qemu(machine)
    if _power(folder):
        message = f"{folder}: a board runs there; first: ssh_board stop {folder}"
        raise BoardError(message)
    tidy(folder)
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    network = free_network() if cable else None
    address = f"{network}.2" if network else "127.0.0.1"
    port = port or (22 if network else _free_port())
    settings = {
        "tree": str(tree),
        "name": Path(board).name,
        "cpu": cpu,
        "disk_mb": disk_mb,
        "files": list(files),
        "throttled": throttled,
        "unmarked": unmarked,
        "network": network,
        "address": address,
        "port": port,
        "down_s": 0.0,
    }
    _write_json(folder / "board.json", settings)
    _write_keys(folder, address, port)
    try:
        register(folder, machine, qemu)
        words = lay(folder, network) if network else []
        words += ["unshare", "--mount", sys.executable, _POWER, str(folder)]
        with (folder / "log").open("wb") as log:
            power = subprocess.Popen(
                words, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        _wait_for(folder, address, port, power.poll)
    except BaseException:
        stop(folder)
        raise
    return f"ssh://pi@{address}" + (f":{port}" if port != 22 else "")


def stop(folder: Path) -> None:
    """Switch it off, and undo what `start` did to the machine; safe to do twice."""
    pid = _power(folder)
    if pid:
        os.kill(pid, signal.SIGTERM)
        _wait(lambda: not _power(folder), f"process {pid} does not end")
    tidy(folder)


def reboot(folder: Path, down_s: float) -> None:
    """Kill all that runs there, wait, start it again, and wait until it answers.

    Raises:
        BoardError: no board runs there, or it does not come up.
    """
    pid = _power(folder)
    if not pid:
        message = f"{folder}: no board runs there; start it: ssh_board start {folder} BOARD"
        raise BoardError(message)
    settings = json.loads((folder / "board.json").read_text())
    _write_json(folder / "board.json", {**settings, "down_s": down_s})
    (folder / "up").unlink(missing_ok=True)
    os.kill(pid, signal.SIGHUP)
    _wait((folder / "up").exists, "it does not come up", down_s + _WAIT_S)
    if not settings["network"]:  # a cable may be out
        _wait_for(folder, settings["address"], settings["port"])


def _power(folder: Path) -> int | None:
    """The process that keeps the board on."""
    with contextlib.suppress(OSError, ValueError):
        pid = int((folder / "pid").read_text())
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        if words[-3:-1] == [os.fsencode(_POWER), os.fsencode(folder)]:
            return pid
    return None


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def _write_json(path: Path, settings: dict[str, Any]) -> None:
    waiting = path.with_suffix(".new")
    waiting.write_text(json.dumps(settings, indent=1))
    waiting.replace(path)


def _write_keys(folder: Path, address: str, port: int) -> None:
    """Keys as from an earlier start in the same folder, and what ssh here needs to know."""
    for name in ("host", "id_ed25519"):
        if not (folder / name).exists():
            run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "board", "-f", folder / name)
    key = (folder / "host.pub").read_text()
    (folder / "known_hosts").write_text(f"[{address}]:{port} {key}{address} {key}")
    lines = [
        "Host board",
        f"  HostName {address}",
        f"  Port {port}",
        "  User pi",
        "Host *",
        f"  IdentityFile {folder}/id_ed25519",
        "  IdentitiesOnly yes",
        "  IdentityAgent none",
        f"  UserKnownHostsFile {folder}/known_hosts",
        "  GlobalKnownHostsFile /dev/null",
    ]
    (folder / "ssh_config").write_text("\n".join([*lines, ""]))


def _wait_for(
    folder: Path, address: str, port: int, ended: Callable[[], int | None] = lambda: None
) -> None:
    def answers() -> bool:
        with contextlib.suppress(OSError), socket.create_connection((address, port), 1) as other:
            return other.recv(4) == b"SSH-"
        if ended() is not None:
            said = (folder / "log").read_text(errors="replace").strip().splitlines()
            message = f"{folder}: it does not start ({said[-1] if said else 'it said nothing'})"
            raise BoardError(message)
        return False

    _wait(answers, f"no answer; see {folder}/log")


def _wait(until: Callable[[], object], why: str, limit_s: float = _WAIT_S) -> None:
    end = time.monotonic() + limit_s
    while not until():
        if time.monotonic() > end:
            message = f"ssh_board: {why} within {limit_s:g} s"
            raise BoardError(message)
        time.sleep(0.05)
