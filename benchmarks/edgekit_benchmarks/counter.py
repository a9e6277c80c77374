"""Build the plugin that counts instructions for the QEMU of this machine, and see that it counts.

    counter = ensure_counter(tree / "edgekit", "qemu-aarch64")
    # qemu-aarch64 -plugin {counter},out=FILE PROGRAM…

The sources are `qemu_counter.c` and `instruction_class.h`, next to this file.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import struct
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from edgekit.errors import EdgekitError, MissingDependencyError

NAME = "counter.so"
"""Of the plugin, in a tree's folder ``edgekit``."""
_ABOUT = "counter.json"
_FOLDER = Path(__file__).parent
_SOURCE = _FOLDER / "qemu_counter.c"
_HEADER = _FOLDER / "instruction_class.h"
_LIMIT_S = 120.0

# Marks around a widening multiplication, a float32 multiply-add and a load into a vector register:
# what `ensure_counter` tries a plugin with. The rest of the region are the words of the end mark.
_A64 = (
    "c0ad9dd2e000a0f2610080d2020080d2c80780d2010000d42080220e83cc254e"
    "e603c03dc0ad9dd2e000a0f2220080d2010000d4000080d2a80b80d2010000d4"
)
_A32 = (
    "6e0d0ee3070040e30310a0e30020a0e31370a0e3000000ef040892f25a6d08f2"
    "006b9ded6e0d0ee3070040e30120a0e3000000ef0000a0e30170a0e3000000ef"
)
_COUNTED = {
    "region": 3,
    "total": 7,
    "widening_multiply": 1,
    "float32_multiply_add": 1,
    "simd_load": 1,
    "integer": 3,
    "other": 1,
}


def ensure_counter(folder: Path, qemu: str) -> Path:
    """The plugin, built anew if QEMU or its source is another one than when it was built.

    Args:
        folder: where it is, or is to be.
        qemu: the program that is to load it: ``qemu-aarch64`` or ``qemu-arm``.

    Raises:
        MissingDependencyError: there is no such QEMU, or no gcc.
        EdgekitError: it does not build, or this QEMU does not take it.
    """
    library, about = folder / NAME, folder / _ABOUT
    wanted = {"qemu": qemu_version(qemu), "source": _sources_sha256()}
    try:
        if library.exists() and json.loads(about.read_text()) == wanted:
            return library
    except (OSError, ValueError):
        pass  # it is built anew, and this is written then
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".counter-") as work:
        built = _built(Path(work), qemu)
        built.replace(library)
        new = Path(work) / _ABOUT
        new.write_text(json.dumps(wanted))
        new.replace(about)
    return library


def qemu_version(qemu: str) -> str:
    """As it says: ``7.2.22``.

    Raises:
        MissingDependencyError: it is not there.
    """
    said = _run([_need(qemu, "qemu-user"), "--version"])
    found = re.search(r"version (\d+(?:\.\d+)+)", said.stdout)
    if found is None:
        message = f"{qemu}: does not say its version; install Debian's package qemu-user"
        raise MissingDependencyError(message)
    return found[1]


def _built(work: Path, qemu: str) -> Path:
    gcc = _need("gcc", "gcc")
    said = ""
    for api in _apis(qemu_version(qemu)):
        library = work / f"{api}.so"
        options = ["-O2", "-shared", "-fPIC", f"-DEDGEKIT_API={api}", f"-I{_FOLDER}"]
        done = _run([gcc, *options, "-o", str(library), str(_SOURCE)])
        if done.returncode:
            said = done.stderr
            break
        counted, said = _try(library, qemu, work)
        if counted == _COUNTED:
            return library
        said = said or f"counted {counted} instead of {_COUNTED}"
    message = (
        f"{_SOURCE.name}: does not work with {qemu} {qemu_version(qemu)} "
        f"({' '.join(said.split())[:300]}); install Debian's packages qemu-user and libc6-dev"
    )
    raise EdgekitError(message)


def _apis(version: str) -> tuple[int, ...]:
    """The versions of the plugin API to try, oldest first; each is used in the same way."""
    major, minor = (int(part) for part in version.split(".")[:2])
    if major < 9:
        return (1,)
    return (2,) if (major, minor) == (9, 0) else (3, 4, 5, 6)


def _try(library: Path, qemu: str, work: Path) -> tuple[dict[str, Any], str]:
    """What it counts of a program that is known to the instruction; and what QEMU says."""
    program, out = work / "program", work / f"{library.stem}.jsonl"
    program.write_bytes(_elf(is_64_bit=qemu == "qemu-aarch64"))
    program.chmod(0o700)
    plugin = ",".join(word.replace(",", ",,") for word in (str(library), f"out={out}"))
    done = _run([qemu, "-cpu", "max", "-plugin", plugin, str(program)])
    try:
        counted: dict[str, Any] = json.loads(out.read_text())
    except (OSError, ValueError):
        return {}, done.stderr or f"exit code {done.returncode}"
    return {name: number for name, number in counted.items() if number}, ""


def _elf(*, is_64_bit: bool) -> bytes:
    """A program of one segment."""
    code = bytes.fromhex(_A64 if is_64_bit else _A32)
    base, machine, flags = 0x10000, 183 if is_64_bit else 40, 0 if is_64_bit else 0x05000400
    header, segment = (64, 56) if is_64_bit else (52, 32)
    begin, size = base + header + segment, header + segment + len(code)
    identity = bytes([0x7F, *b"ELF", 2 if is_64_bit else 1, 1, 1]) + bytes(9)
    word = "Q" if is_64_bit else "I"
    places = (begin, header, 0, flags, header, segment, 1, 0, 0, 0)
    head = struct.pack(f"<16sHHI{word * 3}I6H", identity, 2, machine, 1, *places)
    if is_64_bit:
        return head + struct.pack("<II6Q", 1, 5, 0, base, base, size, size, 0x1000) + code
    return head + struct.pack("<8I", 1, 0, base, base, size, size, 5, 0x1000) + code


def _sources_sha256() -> str:
    return hashlib.sha256(_SOURCE.read_bytes() + _HEADER.read_bytes()).hexdigest()


def _need(program: str, package: str) -> str:
    found = shutil.which(program)
    if found is None:
        message = f"{program}: not found here; run: sudo apt-get install {package}"
        raise MissingDependencyError(message)
    return found


def _run(words: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        words,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=_LIMIT_S,
        check=False,
    )
