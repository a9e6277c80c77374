"""The way to the first result of one file, phase by phase, and the memory that it takes."""

from __future__ import annotations

import gc
import os
import re
import resource
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .inputs import read_arrays
from .loaded import Loaded

if TYPE_CHECKING:
    from collections.abc import Callable


def measure(spec: dict[str, Any], tell: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    """Import, load, infer; nothing was imported in this process before.

    Args:
        spec: ``row``, ``inputs`` (path or None), ``inferences``.
        tell: says to the agent what is done now.

    Returns:
        ``import_ns``, ``load_ns``, ``first_inference_ns``, ``memory``, ``runtime``.

    Raises:
        Refused: the file does not load, or does not run.
    """
    clock = time.perf_counter_ns
    begin = clock()
    one = Loaded(spec["row"], tell)
    import_ns = clock() - begin
    arrays = read_arrays(spec.get("inputs"), most=_rows(spec))
    one.check()
    gc.collect()
    memory = Memory()
    one.told("load")
    begin = clock()
    one.load()
    load_ns = clock() - begin
    after_load = memory.resident()
    one.bind(arrays)
    one.told("first inference")
    with one.errors("run"):
        begin = clock()
        one.call(one.feeds[0])
        first_ns = clock() - begin
        one.told("inferences")
        for i in range(int(spec.get("inferences", 20))):
            one.call(one.feeds[i % len(one.feeds)])
    return {
        "runtime": one.runtime_version,
        "import_ns": import_ns,
        "load_ns": load_ns,
        "first_inference_ns": first_ns,
        "memory": memory.answer(after_load),
    }


def _rows(spec: dict[str, Any]) -> int:
    """Few, as data is not the model's memory; enough for a batch that is fixed in the file."""
    return int(spec.get("input_rows", 16))


class Memory:
    """Resident memory of this process; its peak is counted anew from here, where that can be."""

    def __init__(self) -> None:
        """What the imports took."""
        self._earlier_bytes = self.peak()
        self._is_reset = self._reset()
        self._after_import_bytes = self.resident()

    @staticmethod
    def _status(field: str) -> int | None:
        try:
            told = Path("/proc/self/status").read_text()
        except OSError:
            return None
        said = re.search(rf"^{field}:\s+(\d+) kB", told, re.MULTILINE)
        return int(said[1]) * 1024 if said else None

    @staticmethod
    def _reset() -> bool:
        try:
            descriptor = os.open("/proc/self/clear_refs", os.O_WRONLY)
        except OSError:
            return False
        try:
            os.write(descriptor, b"5")
        except OSError:
            return False
        finally:
            os.close(descriptor)
        return True

    def peak(self) -> int:
        """The most so far, in bytes."""
        unit = 1 if sys.platform == "darwin" else 1024
        highest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
        return self._status("VmHWM") or highest

    def resident(self) -> int:
        """Now, in bytes; the peak where the system does not tell."""
        return self._status("VmRSS") or self.peak()

    def answer(self, after_load_bytes: int) -> dict[str, Any]:
        """What the model added at its peak to what the imports took."""
        peak = self.peak()
        return {
            "read_from": "ru_maxrss" if self._status("VmHWM") is None else "VmHWM",
            "peak_was_reset": self._is_reset,
            "after_import_bytes": self._after_import_bytes,
            "after_load_bytes": after_load_bytes,
            "peak_bytes": max(peak, self._earlier_bytes),
            "model_bytes": max(0, peak - self._after_import_bytes),
        }
