"""What a board takes from the machine: programs, rights, and a way to run foreign code."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
from pathlib import Path

from board_server.running import BoardError, run

_BINFMT = Path("/proc/sys/fs/binfmt_misc")
_PACKAGES = {
    "sshd": "openssh-server",
    "ssh-keygen": "openssh-client",
    "unshare": "util-linux",
    "mount": "mount",
    "ip": "iproute2",
}
_CLASSES = {"aarch64": (2, 0xB7), "arm": (1, 0x28)}
_INTERPRETER = 3


def mark_of(folder: Path) -> str:
    """What names of a board in the machine end with."""
    return hashlib.sha256(str(folder).encode()).hexdigest()[:8]


def check_root() -> None:
    """Refuse anybody else.

    Raises:
        BoardError: it is somebody else.
    """
    if os.geteuid() != 0:
        message = "ssh_board: takes root, as it mounts and registers; use sudo"
        raise BoardError(message)


def find_qemu(machine: str) -> str:
    """The path of QEMU for this machine type; it must run where its libraries are not.

    Raises:
        BoardError: a program is missing, or a right.
    """
    names = [shutil.which(f"qemu-{machine}-static"), shutil.which(f"qemu-{machine}")]
    qemu = next((name for name in names if name and _is_static(Path(name))), None)
    missing = {package for name, package in _PACKAGES.items() if not shutil.which(name)}
    if not qemu:
        missing.add("qemu-user-static")
    if missing:
        listed = " ".join(sorted(missing))
        message = f"ssh_board: programs are missing; on Debian: apt-get install {listed}"
        raise BoardError(message)
    if not (_BINFMT / "register").exists():
        try:
            run("mount", "-t", "binfmt_misc", "none", _BINFMT)
        except BoardError as error:
            message = f"ssh_board: not allowed on this machine ({error}); try a real or virtual one"
            raise BoardError(message) from None
    return str(qemu)


def register(folder: Path, machine: str, qemu: str) -> None:
    """Have the kernel run the board's programs with QEMU.

    Each board has an entry of its own, which comes before older ones for the same programs: so one
    can be removed while the others stay. The kernel opens QEMU now, not in the board's files.

    Raises:
        BoardError: the kernel does not take it.
    """
    size, number = _CLASSES[machine]
    magic = b"\x7fELF" + bytes([size, 1, 1, 0]) + bytes(8) + bytes([2, 0, number, 0])
    mask = b"\xff" * 7 + b"\0" + b"\xff" * 8 + b"\xfe\xff\xff\xff"
    escaped = ["".join(f"\\x{byte:02x}" for byte in data) for data in (magic, mask)]
    words = ["", f"edgekit-{mark_of(folder)}", "M", "", *escaped, qemu, "POF"]
    try:
        (_BINFMT / "register").write_text(":".join(words))
    except OSError as error:
        message = f"{_BINFMT}: not allowed on this machine ({error.strerror})"
        raise BoardError(message) from None


def tidy(folder: Path) -> None:
    """Remove what a board has left in the machine, also one that was killed."""
    name = f"edgekit-{mark_of(folder)}"
    with contextlib.suppress(OSError):
        (_BINFMT / name).write_text("-1")
    if Path("/run/netns", name).exists():
        run("ip", "netns", "del", name)
    for left in ("up", "pid"):
        (folder / left).unlink(missing_ok=True)


def _is_static(program: Path) -> bool:
    """Whether no segment of a 64-bit program names an interpreter."""
    data = program.read_bytes()[: 1 << 12]
    first, size, count = (
        int.from_bytes(data[a:b], "little") for a, b in ((32, 40), (54, 56), (56, 58))
    )
    return all(data[first + i * size] != _INTERPRETER for i in range(count))
