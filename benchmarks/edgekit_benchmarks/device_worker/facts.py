"""Everything about a device that a latency depends on; "unknown" where it does not tell."""

from __future__ import annotations

import contextlib
import os
import platform
import re
import shutil
import sys
from importlib import metadata
from typing import Any

from .board import UNKNOWN, Board, as_int

_PARTS = {
    "0xb76": "ARM1176", "0xc07": "Cortex-A7", "0xc08": "Cortex-A8", "0xc09": "Cortex-A9",
    "0xc0f": "Cortex-A15", "0xd03": "Cortex-A53", "0xd04": "Cortex-A35", "0xd05": "Cortex-A55",
    "0xd07": "Cortex-A57", "0xd08": "Cortex-A72", "0xd09": "Cortex-A73", "0xd0a": "Cortex-A75",
    "0xd0b": "Cortex-A76", "0xd0c": "Neoverse-N1", "0xd40": "Neoverse-V1", "0xd41": "Cortex-A78",
    "0xd49": "Neoverse-N2", "0xd4f": "Neoverse-V2",
}  # fmt: skip
_THROTTLED = ("under-voltage", "frequency capped", "throttled", "soft temperature limit")
_SINCE_BOOT = 16
_PACKAGES = ("ai-edge-litert", "tflite-runtime", "onnxruntime", "tensorflow", "keras", "numpy")
_CPU = "sys/devices/system/cpu"
_NO_LIMIT = 1 << 60
"""Control groups of the first version say so much where they limit nothing."""


def facts(board: Board, folder: str) -> dict[str, Any]:
    """The board, its system, and its state now.

    Args:
        board: where to read.
        folder: the disk whose free space counts.
    """
    info = board.fields("proc/cpuinfo")
    cores = _cores(board.read(f"{_CPU}/online") or "")
    found: dict[str, Any] = {
        "model": board.read("proc/device-tree/model")
        or info.get("Model")
        or board.read("sys/devices/virtual/dmi/id/product_name"),
        "cpu": _cpu(info),
        "features": sorted((info.get("Features") or info.get("flags") or "").split()),
        "cores_online": len(cores) or os.cpu_count(),
        "cores_physical": _physical(board, cores),
        "affinity": sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None,
        "governor": _governor(board),
        "frequency_khz": {
            "min": min(board.policies("scaling_min_freq"), default=UNKNOWN),
            "max": max(board.policies("scaling_max_freq"), default=UNKNOWN),
            "current": board.frequency_khz() or UNKNOWN,
        },
        "turbo": _turbo(board),
        "smt": {"1": "on", "0": "off"}.get(board.read(f"{_CPU}/smt/active") or ""),
        "load": [float(one) for one in (board.read("proc/loadavg") or "").split()[:3]],
        "aslr": {"0": "off", "1": "partial", "2": "full"}.get(
            board.read("proc/sys/kernel/randomize_va_space") or ""
        ),
        "kernel": board.read("proc/sys/kernel/osrelease") or platform.release(),
        "boot_id": board.read("proc/sys/kernel/random/boot_id"),
        "machine": platform.machine(),
        "bits": 64 if sys.maxsize > 2**32 else 32,
        "libc": _libc(),
        "system": _system(board),
        "memory_bytes": _memory(board, total="MemTotal", available="MemAvailable"),
        "swap": _memory(board, total_bytes="SwapTotal", free_bytes="SwapFree"),
        "container": _container(board),
        "emulated": _emulated(board),
        "virtual_machine": "hypervisor" in (info.get("flags") or "").split(),
        "temperature_c": board.temperature_c(),
        "throttled": throttled(board.throttled()),
        "runtimes": runtimes(),
        "python": platform.python_version(),
        "disk_free_bytes": shutil.disk_usage(folder).free,
    }
    return {name: UNKNOWN if fact in (None, "", []) else fact for name, fact in found.items()}


def throttled(bits: int | None) -> dict[str, Any] | None:
    """The firmware's bits in words."""
    if bits is None:
        return None
    return {
        "now": [text for bit, text in enumerate(_THROTTLED) if bits >> bit & 1],
        "since_boot": [text for bit, text in enumerate(_THROTTLED, _SINCE_BOOT) if bits >> bit & 1],
        "raw": bits,
    }


def runtimes() -> dict[str, str]:
    """The packages installed for this Python; none is imported."""
    found = {}
    for package in _PACKAGES:
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[package] = metadata.version(package)
    return found


def _cpu(info: dict[str, str]) -> str | None:
    part = info.get("CPU part", "").lower()
    if part:
        return f"ARM {_PARTS.get(part, 'part ' + part)}"
    return info.get("model name") or info.get("Processor") or platform.processor()


def _cores(listed: str) -> list[int]:
    """``0-2,4`` -> 0, 1, 2, 4."""
    found: list[int] = []
    for part in filter(None, listed.split(",")):
        low, _, high = part.partition("-")
        with contextlib.suppress(ValueError):
            found.extend(range(int(low), int(high or low) + 1))
    return found


def _physical(board: Board, cores: list[int]) -> int | None:
    siblings = {
        board.read(f"{_CPU}/cpu{core}/topology/thread_siblings_list") or str(core) for core in cores
    }
    return len(siblings) or None


def _governor(board: Board) -> str:
    groups = board.entries(f"{_CPU}/cpufreq", r"policy\d+")
    return ", ".join(
        sorted({text for g in groups if (text := board.read(f"{g}/scaling_governor"))})
    )


def _turbo(board: Board) -> str | None:
    off = board.read(f"{_CPU}/intel_pstate/no_turbo")
    on = board.read(f"{_CPU}/cpufreq/boost")
    return {"0": "on", "1": "off"}.get(off or "") or {"1": "on", "0": "off"}.get(on or "")


def _libc() -> str:
    with contextlib.suppress(ValueError, OSError, AttributeError):
        return os.confstr("CS_GNU_LIBC_VERSION") or ""
    return " ".join(platform.libc_ver()).strip()


def _system(board: Board) -> str | None:
    said = re.search(r'^PRETTY_NAME="?([^"\n]+)', board.read("etc/os-release") or "", re.MULTILINE)
    return said[1] if said else platform.system()


def _memory(board: Board, **wanted: str) -> dict[str, Any]:
    told = board.fields("proc/meminfo")
    sizes = {name: as_int(told.get(field, "").split(" ")[0]) for name, field in wanted.items()}
    return {name: UNKNOWN if kib is None else kib * 1024 for name, kib in sizes.items()}


def _emulated(board: Board) -> bool:
    """Whether it is not the board that it looks like, so that its times say nothing."""
    if board.read("etc/edgekit-board"):
        return True
    tree = [board.read(f"proc/device-tree/{name}") or "" for name in ("model", "compatible")]
    return any(re.search("qemu|linux,dummy-virt", text, re.IGNORECASE) for text in tree)


def _container(board: Board) -> dict[str, Any]:
    """What control groups leave us: the strictest of our own group and those above it."""
    listed = (board.read("proc/self/cgroup") or "").splitlines()
    own = next((line.split(":", 2)[2] for line in listed if line.startswith("0::")), "/")
    folders = ["sys/fs/cgroup"]
    for name in filter(None, own.split("/")):
        folders.append(f"{folders[-1]}/{name}")
    memory = [board.read(f"{folder}/memory.max") for folder in folders]
    memory.append(board.read("sys/fs/cgroup/memory/memory.limit_in_bytes"))
    cpus = []
    for folder in folders:
        quota, _, period = (board.read(f"{folder}/cpu.max") or "").partition(" ")
        if quota.isdigit() and period.isdigit():
            cpus.append(int(quota) / int(period))
    sizes = [int(text) for text in memory if text and text.isdigit() and int(text) < _NO_LIMIT]
    marks = (".dockerenv", "run/.containerenv", "run/systemd/container")
    return {
        "inside": any((board.root / mark).exists() for mark in marks),
        "memory_bytes": min(sizes, default="unlimited"),
        "cpus": min(cpus, default="unlimited"),
    }
