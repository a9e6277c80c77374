"""What the kernel's files and a Raspberry Pi's firmware tell."""

from __future__ import annotations

import contextlib
import re
import subprocess
from pathlib import Path

UNKNOWN = "unknown"
_MOST_BYTES = 1 << 20
_VCGENCMD_LIMIT_S = 2.0


class Board:
    """Reads ``/proc``, ``/sys`` and ``vcgencmd``; `root` stands for ``/`` in tests.

    Whatever cannot be read is None.
    """

    def __init__(self, root: str = "/") -> None:
        """Look for ``vcgencmd``."""
        self.root = Path(root)
        found = [self.root / at for at in ("usr/bin/vcgencmd", "opt/vc/bin/vcgencmd")]
        self._vcgencmd = next((path for path in found if path.is_file()), None)

    def read(self, path: str) -> str | None:
        """The text of a small file below root, stripped."""
        try:
            with (self.root / path).open("rb") as file:
                return file.read(_MOST_BYTES).decode(errors="replace").strip("\0 \n\t")
        except OSError:
            return None

    def number(self, path: str) -> int | None:
        """The integer in a file."""
        return as_int(self.read(path))

    def entries(self, path: str, pattern: str) -> list[str]:
        """The paths of what is in a folder and matches, sorted."""
        try:
            names = [entry.name for entry in (self.root / path).iterdir()]
        except OSError:
            return []
        return sorted(f"{path}/{name}" for name in names if re.fullmatch(pattern, name))

    def fields(self, path: str) -> dict[str, str]:
        """``name : value`` lines; the first of each name: in /proc/cpuinfo, the first core's."""
        found: dict[str, str] = {}
        for line in (self.read(path) or "").splitlines():
            name, colon, value = line.partition(":")
            if colon:
                found.setdefault(name.strip(), value.strip())
        return found

    def vcgencmd(self, *words: str) -> str | None:
        """What the firmware answers after the ``=``; one that fails or hangs is not asked again."""
        if self._vcgencmd is None:
            return None
        try:
            done = subprocess.run(
                [str(self._vcgencmd), *words],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=_VCGENCMD_LIMIT_S,
                close_fds=False,  # all are closed anyway, and so this process is not copied
                check=True,
            )
        except (OSError, subprocess.SubprocessError):
            self._vcgencmd = None
            return None
        return done.stdout.decode(errors="replace").partition("=")[2].strip() or None

    def temperature_c(self) -> float | None:
        """Of the processor: the zone that is called so, or else the first one."""
        zones = self.entries("sys/class/thermal", r"thermal_zone\d+")
        named = [z for z in zones if re.search("cpu|soc|pkg", self.read(f"{z}/type") or "")]
        for zone in (*named, *zones):
            value = self.number(f"{zone}/temp")
            if value is not None:
                return value / 1000
        said = re.match(r"-?\d+(\.\d+)?", self.vcgencmd("measure_temp") or "")
        return float(said[0]) if said else None

    def throttled(self) -> int | None:
        """The firmware's bits: 0 to 3 now, 16 to 19 since the board started.

        Where there is no firmware to ask but a sensor for the supply, only bit 0.
        """
        said = self.vcgencmd("get_throttled") or self.read(
            "sys/devices/platform/soc/soc:firmware/get_throttled"
        )
        with contextlib.suppress(ValueError):
            if said is not None:
                return int(said, 16)
        sensors = self.entries("sys/class/hwmon", r"hwmon\d+")
        alarms = [self.number(f"{sensor}/in0_lcrit_alarm") for sensor in sensors]
        known = [alarm for alarm in alarms if alarm is not None]
        return int(any(known)) if known else None

    def frequency_khz(self) -> int | None:
        """Of the fastest core now: as the firmware measures it, or as the kernel set it."""
        clock_hz = as_int(self.vcgencmd("measure_clock", "arm"))
        if clock_hz:
            return clock_hz // 1000
        return max(self.policies("scaling_cur_freq"), default=None)

    def policies(self, name: str) -> list[int]:
        """One frequency file of each group of cores."""
        groups = self.entries("sys/devices/system/cpu/cpufreq", r"policy\d+")
        return [value for g in groups if (value := self.number(f"{g}/{name}")) is not None]


def as_int(text: str | None) -> int | None:
    """The number that `text` is; None if it is not one."""
    try:
        return None if text is None else int(text)
    except ValueError:
        return None
