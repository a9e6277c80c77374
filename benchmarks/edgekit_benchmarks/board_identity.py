"""What makes a file tree a certain board: what its kernel and firmware would tell.

It is no decoration. A runtime chooses its kernels by the part number of ``/proc/cpuinfo``, and ONNX
Runtime crashes under QEMU when that file is the one of another architecture.
"""

from __future__ import annotations

import json
from pathlib import Path

from edgekit_benchmarks.board import Board

MARKER = "etc/edgekit-board"
"""Says that a tree is emulated, and which board it is."""
_CPU = "sys/devices/system/cpu"
_THERMAL = "sys/class/thermal/thermal_zone0"
_FIRMWARE = "sys/devices/platform/soc/soc:firmware"
_LOWEST_KHZ = 600_000
_MILLI_CELSIUS = 48_686


def identity_files(board: Board) -> dict[str, str]:
    """The content of each file, by its path in the tree."""
    cores = f"0-{board.cores - 1}\n"
    policy = f"{_CPU}/cpufreq/policy0"
    files = {
        MARKER: json.dumps({"board": board.name, "emulated": True}) + "\n",
        "proc/cpuinfo": _cpuinfo(board),
        "proc/meminfo": _meminfo(board),
        "proc/device-tree/model": f"{board.model}\0",
        "etc/hostname": f"{board.name}\n",
        **{f"{_CPU}/{name}": cores for name in ("possible", "present", "online")},
        f"{policy}/scaling_cur_freq": f"{board.khz}\n",
        f"{policy}/scaling_max_freq": f"{board.khz}\n",
        f"{policy}/scaling_min_freq": f"{min(_LOWEST_KHZ, board.khz)}\n",
        f"{policy}/scaling_governor": "ondemand\n",
        f"{_THERMAL}/type": "cpu-thermal\n",
        f"{_THERMAL}/temp": f"{_MILLI_CELSIUS}\n",
        f"{_FIRMWARE}/get_throttled": "0\n",
    }
    for core in range(board.cores):
        files[f"{_CPU}/cpu{core}/topology/thread_siblings_list"] = f"{core}\n"
    return files


def write_identity(tree: Path, board: Board) -> None:
    """Make the tree this board; files that it shares with another tree are replaced, not changed.

    Raises:
        OSError: it cannot be written.
    """
    programs = {
        "usr/bin/vcgencmd": _vcgencmd(board),
        "edgekit/bin/vcgencmd": _vcgencmd(board),
    }
    for name, text in {**identity_files(board), **programs}.items():
        path = tree / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        path.write_text(text)
        if name in programs:
            path.chmod(0o755)


def _cpuinfo(board: Board) -> str:
    name = "" if board.is_64_bit else "model name\t: ARMv7 Processor rev 5 (v7l)\n"
    version = "8" if board.is_64_bit else "7"
    blocks = [
        f"processor\t: {core}\n{name}BogoMIPS\t: 108.00\nFeatures\t: {board.features}\n"
        f"CPU implementer\t: 0x41\nCPU architecture: {version}\nCPU variant\t: 0x0\n"
        f"CPU part\t: {board.part}\nCPU revision\t: {'3' if board.is_64_bit else '5'}\n\n"
        for core in range(board.cores)
    ]
    end = f"Revision\t: {board.revision}\nSerial\t\t: 00000000ed9e417f\nModel\t\t: {board.model}\n"
    return "".join(blocks) + end


def _meminfo(board: Board) -> str:
    sizes = {
        "MemTotal": board.memory_kib,
        "MemFree": board.memory_kib * 7 // 10,
        "MemAvailable": board.memory_kib * 8 // 10,
        "Buffers": 20_480,
        "Cached": board.memory_kib // 10,
        "SwapTotal": 102_396,
        "SwapFree": 102_396,
    }
    return "".join(f"{name}:{size:>16} kB\n" for name, size in sizes.items())


def _vcgencmd(board: Board) -> str:
    return f"""#!/bin/sh
case "$1" in
get_throttled) echo throttled=0x0 ;;
measure_temp) echo "temp={_MILLI_CELSIUS / 1000:.1f}'C" ;;
measure_clock) echo "frequency(48)={board.khz}000" ;;
*) echo 'error=1 error_msg="Command not registered"' ;;
esac
"""
