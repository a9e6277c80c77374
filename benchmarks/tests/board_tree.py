"""A made-up Raspberry Pi, as far as files and ``vcgencmd`` show one: what `root` can be in tests.

    board = make_board(tmp_path / "pi", throttled=0x50005)
    with LocalLink(root=str(board.root)) as link: ...
    board.set_temperature_c(82)         # also while something runs

A process of its own can be told by the environment: ``EDGEKIT_BOARD_ROOT=…``.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

_CORES = 4
_VCGENCMD = """#!/bin/sh
case "$1" in
get_throttled) echo "throttled=$(cat '{state}/throttled')" ;;
measure_temp) echo "temp=$(cat '{state}/temperature')'C" ;;
measure_clock) echo "frequency(48)=$(cat '{state}/clock')" ;;
*) echo 'error=1 error_msg="Command not registered"'; exit 1 ;;
esac
"""
_CORE = """processor\t: {core}
BogoMIPS\t: 108.00
Features\t: fp asimd evtstrm crc32 cpuid
CPU implementer\t: 0x41
CPU architecture: 8
CPU variant\t: 0x0
CPU part\t: {part}
CPU revision\t: 3

"""


@dataclass(frozen=True)
class Board:
    """The tree, and what can change in it."""

    root: Path

    def set_throttled(self, bits: int) -> None:
        """What ``vcgencmd get_throttled`` says: bits 0 to 3 now, 16 to 19 since boot."""
        self._write("state/throttled", f"{bits:#x}")

    def set_temperature_c(self, degrees: float) -> None:
        """Of the processor, as the kernel and the firmware tell it."""
        self._write("sys/class/thermal/thermal_zone0/temp", f"{round(degrees * 1000)}\n")
        self._write("state/temperature", f"{degrees:.1f}")

    def set_frequency_khz(self, khz: int, *, measured_khz: int | None = None) -> None:
        """What the kernel set, and what the firmware measures: less, when it is throttled."""
        self._write("sys/devices/system/cpu/cpufreq/policy0/scaling_cur_freq", f"{khz}\n")
        self._write("state/clock", str((measured_khz or khz) * 1000))

    def set_governor(self, name: str) -> None:
        """``ondemand``, ``performance``, …"""
        self._write("sys/devices/system/cpu/cpufreq/policy0/scaling_governor", f"{name}\n")

    def set_load(self, load_1m: float) -> None:
        """The load average of the last minute."""
        self._write("proc/loadavg", f"{load_1m:.2f} 0.20 0.10 1/123 4567\n")

    def set_counters(self, *, steal: int = 0, swap_in: int = 0, swap_out: int = 0) -> None:
        """Ticks stolen by a hypervisor, and pages swapped, since boot."""
        self._write("proc/stat", f"cpu  1000 0 500 90000 10 0 5 {steal} 0 0\nintr 1\n")
        self._write("proc/vmstat", f"nr_free_pages 1\npswpin {swap_in}\npswpout {swap_out}\n")

    def break_vcgencmd(self, *, hangs: bool = False) -> None:
        """Let the firmware's tool fail, as without the right to use it; or hang."""
        self._script(
            "exec sleep 60\n" if hangs else "echo 'VCHI initialization failed'; exit 255\n"
        )

    def remove_vcgencmd(self) -> None:
        """Be a board without the firmware's tool."""
        (self.root / "usr/bin/vcgencmd").unlink()

    def _script(self, body: str) -> None:
        """Replaced, not rewritten: it may be running."""
        path = self.root / "usr/bin/vcgencmd"
        path.parent.mkdir(parents=True, exist_ok=True)
        new = path.with_name("new")
        new.write_text(body if body.startswith("#!") else f"#!/bin/sh\n{body}")
        new.chmod(0o755)
        new.replace(path)

    def _write(self, name: str, text: str) -> None:
        """At once, so that who reads meanwhile sees the old or the new."""
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        new = path.with_name(path.name + ".new")
        new.write_text(text)
        new.replace(path)


def make_board(
    root: Path,
    *,
    model: str = "Raspberry Pi 4 Model B Rev 1.4",
    part: str = "0xd08",
    temperature_c: float = 48.3,
    throttled: int = 0,
    frequency_khz: int = 1_800_000,
    governor: str = "ondemand",
    load_1m: float = 0.1,
) -> Board:
    """Make the tree of a healthy and idle board, or of one in trouble.

    Args:
        root: a folder that may not exist yet.
        model: as in the device tree.
        part: of the processor, as in /proc/cpuinfo.
        temperature_c: of the processor.
        throttled: the firmware's bits.
        frequency_khz: the current one.
        governor: of the frequency.
        load_1m: average of the last minute.
    """
    board = Board(root)
    files = {
        "proc/device-tree/model": model + "\0",
        "proc/cpuinfo": "".join(_CORE.format(core=i, part=part) for i in range(_CORES))
        + f"Revision\t: c03114\nSerial\t\t: 10000000abcdef01\nModel\t\t: {model}\n",
        "proc/meminfo": "MemTotal:        3884332 kB\nMemFree:         2500000 kB\n"
        "MemAvailable:    3300000 kB\nSwapTotal:        102396 kB\nSwapFree:         102396 kB\n",
        "proc/sys/kernel/randomize_va_space": "2\n",
        "proc/sys/kernel/osrelease": "6.6.51+rpt-rpi-v8\n",
        "proc/sys/kernel/random/boot_id": "0f0e0d0c-1111-2222-3333-444455556666\n",
        "proc/self/cgroup": "0::/user.slice/session-1.scope\n",
        "etc/os-release": 'PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nNAME="Debian GNU/Linux"\n',
        "sys/devices/system/cpu/online": f"0-{_CORES - 1}\n",
        "sys/devices/system/cpu/possible": f"0-{_CORES - 1}\n",
        "sys/devices/system/cpu/present": f"0-{_CORES - 1}\n",
        "sys/devices/system/cpu/cpufreq/policy0/scaling_min_freq": "600000\n",
        "sys/devices/system/cpu/cpufreq/policy0/scaling_max_freq": "1800000\n",
        "sys/class/thermal/thermal_zone0/type": "cpu-thermal\n",
    }
    for core in range(_CORES):
        files[f"sys/devices/system/cpu/cpu{core}/topology/thread_siblings_list"] = f"{core}\n"
    for name, text in files.items():
        board._write(name, text)
    board._script(_VCGENCMD.format(state=root / "state"))
    board.set_governor(governor)
    board.set_frequency_khz(frequency_khz)
    board.set_temperature_c(temperature_c)
    board.set_throttled(throttled)
    board.set_load(load_1m)
    board.set_counters()
    return board
