"""The eye that is kept on the machine while something is measured."""

from __future__ import annotations

import math
import os
import time
from pathlib import Path
from typing import Any

from .board import Board, as_int

_SLEPT_NS = 10**8
_SET_NS = 10**9
_STOPPED_S = 2.0


class ClockWatch:
    """Notices that the machine slept, that its wall clock was set, or that we were stopped.

    None of these changes `time.perf_counter_ns`, which measures; but what ran meanwhile is not what
    was meant to be measured.
    """

    def __init__(self) -> None:
        """Look at the clocks for the first time."""
        self._last = self.read()

    @staticmethod
    def read() -> tuple[int, int, int]:
        """Nanoseconds: since boot but for sleep, asleep, and of the wall clock beyond these."""
        steady = time.monotonic_ns()
        boot = getattr(time, "CLOCK_BOOTTIME", None)
        asleep = 0 if boot is None else time.clock_gettime_ns(boot) - steady
        return steady, asleep, time.time_ns() - steady - asleep

    def jumps(self, expected_s: float = math.inf) -> list[dict[str, Any]]:
        """What happened since the last call, which should have been `expected_s` ago at most."""
        before, self._last = self._last, self.read()
        steady, asleep, wall = (b - a for a, b in zip(before, self._last))  # noqa: B905
        late_s = steady / 1e9 - expected_s
        found = {
            "suspended": asleep if asleep > _SLEPT_NS else 0,
            "clock set": wall if abs(wall) > _SET_NS else 0,
            "stopped": int(late_s * 1e9) if late_s > _STOPPED_S else 0,
        }
        now = time.perf_counter_ns()
        return [{"what": what, "by_ns": by, "t_ns": now} for what, by in found.items() if by]


class Watch:
    """Looks at the machine at a steady pace."""

    def __init__(self, board: Board, pid: int, period_s: float) -> None:
        """Watch over process `pid`; the first look is due at once."""
        self._board, self._pid, self._period_s = board, pid, period_s
        self._clocks = ClockWatch()
        self._next = time.monotonic()
        self.samples: list[dict[str, Any]] = []
        self.jumps: list[dict[str, Any]] = []
        self.phase = "starting"
        self.name = "worker"

    @property
    def rest_s(self) -> float:
        """Until the next look."""
        return max(0.0, self._next - time.monotonic())

    def look(self) -> dict[str, Any]:
        """Look now; numbers are None where the machine does not tell, and counters only grow."""
        self._next = time.monotonic() + self._period_s
        self.jumps += self._clocks.jumps(self._period_s)
        board = self._board
        cpu = [int(one) for one in (board.read("proc/stat") or "").partition("\n")[0].split()[1:]]
        paged = dict(line.split(" ", 1) for line in (board.read("proc/vmstat") or "").splitlines())
        load = (board.read("proc/loadavg") or "").split(" ")[0]
        own = self._own("stat").rpartition(") ")[2].split()
        self.samples.append(
            {
                "t_ns": time.perf_counter_ns(),
                "phase": self.phase,
                "temperature_c": board.temperature_c(),
                "frequency_khz": board.frequency_khz(),
                "throttled": board.throttled(),
                "load_1m": float(load) if load else None,
                "steal_ticks": cpu[7] if len(cpu) > 7 else None,
                "busy_ticks": sum(cpu[:3] + cpu[5:7]) if len(cpu) > 7 else None,
                "own_ticks": int(own[11]) + int(own[12]) if len(own) > 12 else None,
                "swap_in": as_int(paged.get("pswpin")),
                "swap_out": as_int(paged.get("pswpout")),
                "resident_bytes": self.resident_bytes(),
            }
        )
        return self.samples[-1]

    def resident_bytes(self) -> int | None:
        """Of the process, now."""
        pages = self._own("statm").split()[1:2]
        return int(pages[0]) * os.sysconf("SC_PAGE_SIZE") if pages else None

    def _own(self, name: str) -> str:
        try:
            return Path(f"/proc/{self._pid}/{name}").read_text()
        except OSError:
            return ""
