"""Keeps a board running, in mounts of its own; all that it started ends with it.

Started by `board_server.switch`: power.py DIR. SIGHUP restarts the board, SIGTERM ends it.

Below DIR/disk: ``board`` is what a login sees, ``changes`` what was written there, and the rest
belongs to the server. It becomes /run, as sshd wants a path that only root can change.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

PI = 1000
DEVICES = ("null", "zero", "full", "random", "urandom", "tty")
MARKER = "etc/edgekit-board"
MODEL = "sys/firmware/devicetree/base/model"
PASSWD = (
    "root:x:0:0:root:/root:/bin/bash\n"
    "sshd:x:104:65534::/run/sshd:/usr/sbin/nologin\n"
    "nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n"
    "pi:*:1000:1000::/home/pi:/bin/bash\n"
)
GROUP = "root:x:0:\ntty:x:5:\nvideo:x:44:pi\nnogroup:x:65534:\npi:x:1000:\n"


def run(*words: object) -> None:
    """A command that must succeed; what it says goes to the log."""
    subprocess.run([str(word) for word in words], check=True)


class Power:
    """Of one board."""

    def __init__(self, folder: Path) -> None:
        """Nothing runs yet."""
        self.folder = folder
        self.board: subprocess.Popen[bytes] | None = None
        self.wanted: str | None = "on"

    def keep(self) -> None:
        """Run the board, and start it again as often as it is told to."""
        for number, word in ((signal.SIGTERM, "off"), (signal.SIGHUP, "again")):
            signal.signal(number, self._pressing(word))
        (self.folder / "pid").write_text(str(os.getpid()))
        make_disk(self.folder, self.settings())
        while self.wanted != "off":
            if self.wanted == "again":
                time.sleep(self.settings()["down_s"])
            self.wanted = None
            self.board = subprocess.Popen(
                [
                    *("setpriv", "--pdeathsig", "KILL"),
                    *("unshare", "--mount", "--pid", "--uts", "--ipc", "--fork", "--kill-child"),
                    *(sys.executable, __file__, str(self.folder), "boot"),
                ]
            )
            if self.wanted is not None:
                self.kill()
            self.board.wait()
            if self.wanted is None:
                sys.exit("the board ended by itself")

    def settings(self) -> dict[str, Any]:
        """As they are now."""
        found: dict[str, Any] = json.loads((self.folder / "board.json").read_text())
        return found

    def _pressing(self, word: str) -> Callable[[int, object], None]:
        def press(_number: int, _frame: object) -> None:
            if self.wanted != "off":
                self.wanted = word
            self.kill()

        return press

    def kill(self) -> None:
        """The first process of the board, and with it all others; `unshare` waits for that."""
        if self.board is None:
            return
        with contextlib.suppress(OSError):
            first = Path(f"/proc/{self.board.pid}/task/{self.board.pid}/children").read_text()
            os.kill(int(first or self.board.pid), signal.SIGKILL)


def make_disk(folder: Path, settings: dict[str, Any]) -> None:
    """The tree, under what is written; and the server's own files."""
    disk, tree = folder / "disk", settings["tree"]
    disk.mkdir(exist_ok=True)
    run("mount", "-t", "tmpfs", "-o", f"mode=755,size={settings['disk_mb']}m", "none", disk)
    board, changes, work = (disk / name for name in ("board", "changes", "work"))
    for made in (board, changes, work, disk / "sshd"):
        made.mkdir()
    layers = f"lowerdir={tree},upperdir={changes},workdir={work}"
    words = ["mount", "-t", "overlay", "overlay", "-o", layers, str(board)]
    if subprocess.run(words, check=False).returncode:
        run("mount", "-o", f"remount,size={settings['disk_mb'] + 1024}m", disk)
        run("cp", "-a", f"{tree}/.", board)
    for name, text in (("etc/passwd", PASSWD), ("etc/group", GROUP)):
        write(board / name, text)
        (disk / Path(name).name).write_text(text)
    write(board / "etc/hostname", "raspberrypi\n")
    if settings["unmarked"]:
        (board / MARKER).unlink(missing_ok=True)
    elif not (board / MARKER).exists():
        write(board / MARKER, json.dumps({"board": settings["name"], "emulated": True}))
    with contextlib.suppress(FileNotFoundError):
        write(board / MODEL, (board / "proc/device-tree/model").read_text())
    if settings["throttled"] is not None:
        set_throttled(board, settings["throttled"])
    for one in settings["files"]:
        path, _, text = one.partition("=")
        write(board / path.lstrip("/"), text + "\n")
    home = board / "home/pi"
    home.mkdir(parents=True, exist_ok=True)
    home.chmod(0o755)
    run("chown", "-R", f"{PI}:{PI}", home)
    run("chown", "0:0", board, board / "home")
    (board / "home").chmod(0o755)
    board.chmod(0o755)
    for name in ("host", "id_ed25519.pub"):
        shutil.copy(folder / name, disk / name)
    (disk / "id_ed25519.pub").chmod(0o644)
    write(disk / "sshd_config", "\n".join([*server(settings), ""]))


def set_throttled(board: Path, bits: int) -> None:
    """What the firmware and the kernel tell about the supply."""
    vcgencmd = board / "usr/bin/vcgencmd"
    before = vcgencmd.read_text().splitlines() if vcgencmd.exists() else ["#!/bin/sh"]
    own = f'[ "$1" != get_throttled ] || {{ echo throttled={bits:#x}; exit; }}'
    write(vcgencmd, "\n".join([before[0], own, *before[1:], ""]))
    vcgencmd.chmod(0o755)
    write(board / "sys/devices/platform/soc/soc:firmware/get_throttled", f"{bits:x}\n")


def server(settings: dict[str, Any]) -> list[str]:
    """The lines of its configuration."""
    return [
        f"Port {settings['port']}",
        f"ListenAddress {settings['address']}",
        "HostKey /run/host",
        "AuthorizedKeysFile /run/id_ed25519.pub",
        "ChrootDirectory /run/board",
        "AllowUsers pi",
        "PidFile none",
        "UsePAM no",
        "PasswordAuthentication no",
        "KbdInteractiveAuthentication no",
        "AllowTcpForwarding no",
        "AllowAgentForwarding no",
        "X11Forwarding no",
        "PrintMotd no",
        "UseDNS no",
        "MaxStartups 100",
        "Subsystem sftp internal-sftp",
        f"SetEnv QEMU_CPU={settings['cpu']} LANG=C.UTF-8",
    ]


def boot(folder: Path) -> None:
    """The first process of the board: make its /proc and /dev, and become the server."""
    disk = folder / "disk"
    board = disk / "board"
    tree = Path(json.loads((folder / "board.json").read_text())["tree"])
    run("hostname", "raspberrypi")
    for name in ("tmp", "run"):
        path = board / name
        if not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
            path.mkdir(exist_ok=True)
            path.chmod(0o1777 if name == "tmp" else 0o755)
    write(disk / "boot_id", f"{uuid.uuid4()}\n")
    run("mount", "-t", "proc", "proc", "/proc")
    proc = board / "proc"
    own = [(path, proc / path.relative_to(tree / "proc")) for path in (tree / "proc").rglob("*")]
    own.append((disk / "boot_id", proc / "sys/kernel/random/boot_id"))
    run("mount", "-t", "proc", "proc", proc)
    for source, path in own:
        if source.is_file() and path.is_file():
            run("mount", "--bind", source, path)
    (board / "dev").mkdir(exist_ok=True)
    run("mount", "-t", "tmpfs", "-o", "mode=755,size=1m", "none", board / "dev")
    for name in DEVICES:
        (board / "dev" / name).touch()
        run("mount", "--bind", Path("/dev") / name, board / "dev" / name)
    for name in ("pts", "shm"):
        (board / "dev" / name).mkdir()
    run("mount", "--bind", "/dev/pts", board / "dev/pts")
    run("mount", "-t", "tmpfs", "-o", "mode=1777,size=64m", "none", board / "dev/shm")
    for name, to in (("fd", ""), ("stdin", "/0"), ("stdout", "/1"), ("stderr", "/2")):
        (board / "dev" / name).symlink_to(f"/proc/self/fd{to}")
    (board / "dev/ptmx").symlink_to("pts/ptmx")
    for name in ("passwd", "group"):
        run("mount", "--bind", disk / name, Path("/etc") / name)
    sshd = shutil.which("sshd") or "/usr/sbin/sshd"
    (folder / "up").touch()
    run("mount", "--rbind", disk, "/run")
    os.chdir("/")
    os.execv(sshd, [sshd, "-D", "-e", "-f", "/run/sshd_config"])


def write(path: Path, text: str) -> None:
    """A file, in folders that may be missing, never through a link."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    path.write_text(text)


if __name__ == "__main__":
    if sys.argv[2:] == ["boot"]:
        boot(Path(sys.argv[1]))
    else:
        Power(Path(sys.argv[1])).keep()
