"""What instructions an inference takes, on an emulated board whose QEMU counts them.

QEMU's plugin sees the system calls of this process, and takes one that fails for a mark: seeking in
a file that is not open. Elsewhere nothing is counted, and this says so.
"""

from __future__ import annotations

import gc
import json
import os
import sys
from typing import TYPE_CHECKING, Any

from .errors import Refused
from .inputs import read_arrays
from .loaded import Loaded

if TYPE_CHECKING:
    from collections.abc import Callable

_MARK = 0x7ED6E
"""The descriptor that stands for a mark; none is so high."""
_WARM_UP = 8
"""Calls until a runtime has its memory as it stays: ONNX Runtime needs that many."""
_ROWS = 16
"""Of the inputs: enough for a batch that is fixed in the file; the first inference is counted."""
_SETTLE = 32
"""Marks around nothing until Python itself takes the shortest way."""


def measure(spec: dict[str, Any], tell: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    """Count some calls, each for itself, after a few that are not.

    What the marks and the call of a function take is taken off: the same around nothing.

    Args:
        spec: ``row`` (its ``threads`` are 1), ``inputs`` (path or None), ``calls``, and the agent's
            ``count_file``, where QEMU writes.
        tell: says to the agent what is done now.

    Returns:
        ``calls`` (instructions by class and in total, of each), ``empty`` (what was taken off), and
        ``runtime``.

    Raises:
        Refused: a file does not load, or does not run, or nobody counts here.
    """
    one = Loaded(spec["row"], tell)
    arrays = read_arrays(spec.get("inputs"), most=_ROWS)
    one.check()
    _say_nothing_to_makers()
    one.told("load")
    one.load()
    one.bind(arrays)
    one.told("count")
    gc.collect()
    gc.disable()
    calls = int(spec["calls"])
    feed = one.feeds[0]
    with one.errors("run"):
        for _ in range(_WARM_UP):
            one.call(feed)
        for _ in range(_SETTLE):
            _marked(0, _nothing, feed)
        for number in range(1, calls + 1):
            _marked(number, one.call, feed)
    told = _told(spec["count_file"])
    if len(told) != _SETTLE + calls:
        message = "count: nobody counts instructions here; name an emulated target"
        raise Refused(message, "UsageError")
    empty = told[_SETTLE - 1]
    return {
        "runtime": one.runtime_version,
        "empty": empty,
        "calls": [
            {name: max(0, counted - empty[name]) for name, counted in line.items()}
            for line in told[_SETTLE:]
        ],
    }


def _say_nothing_to_makers() -> None:
    """ONNX Runtime does so within inferences, and by the clock."""
    runtime = sys.modules.get("onnxruntime")
    if runtime is not None:
        runtime.disable_telemetry_events()


def _marked(region: int, call: Callable[[Any], Any], feed: Any) -> None:
    try:  # noqa: SIM105 - with the fewest instructions
        os.lseek(_MARK, region, os.SEEK_SET)
    except OSError:
        pass
    call(feed)
    try:  # noqa: SIM105 - with the fewest instructions
        os.lseek(_MARK, region, os.SEEK_CUR)
    except OSError:
        pass


def _nothing(_: Any) -> None:
    pass


def _told(path: str) -> list[dict[str, int]]:
    """A line for each region, in order."""
    found = []
    try:
        with open(path) as file:  # noqa: PTH123
            for line in file:
                counted: dict[str, int] = json.loads(line)
                del counted["region"]
                found.append(counted)
    except FileNotFoundError:
        pass
    return found
