"""What each operator takes, as ONNX Runtime's own profile tells."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .board import UNKNOWN
from .errors import Refused
from .inputs import read_arrays
from .loaded import Loaded

if TYPE_CHECKING:
    from collections.abc import Callable

_KERNEL = "_kernel_time"
_CHUNK = 10
"""Inferences in a row, with the profile and without, in turn."""
_CONTROL = ("If", "Loop", "Scan")
"""Operators whose time holds that of others, which the profile lists too."""


def measure(spec: dict[str, Any], tell: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    """Run with the profile on, and in turn with it off.

    Args:
        spec: ``row``, ``inputs`` (path or None), ``inferences``, ``warm_up`` (inferences),
            ``most_s`` (after which a slow model is let off with fewer inferences).
        tell: says to the agent what is done now.

    Returns:
        ``operators``: ``name``, ``operator``, ``samples_ns``, one for each inference, ``inputs``
        and ``outputs`` (shapes), in the order in which they run; ``whole_ns``: the same of the
        whole model; ``plain_ns``: the same without the profile; ``runtime``.

    Raises:
        Refused: the runtime has no profile (UsageError), or the file does not load or run.
    """
    one, plain = Loaded(spec["row"], tell), Loaded(spec["row"], tell)
    if one.runtime.package != "onnxruntime":
        message = f"{one.name}: {one.runtime.package} has no profile; time its operators apart"
        raise Refused(message, "UsageError")
    one.runtime.profile_prefix = str(Path.cwd() / "profile")
    one.check()
    one.told("load")
    arrays = read_arrays(spec.get("inputs"))
    for loaded in (one, plain):
        loaded.load()
        loaded.bind(arrays)
    one.told("profile")
    warm_up = int(spec.get("warm_up", 10))
    end_ns = time.perf_counter_ns() + int(spec.get("most_s", 1e6) * 1e9)
    with one.errors("run"):
        plain_ns = _run(one, plain, warm_up, int(spec.get("inferences", 50)), end_ns)
        written = Path(one.runtime.session.end_profiling())
    events: list[dict[str, Any]] = json.loads(written.read_text())
    written.unlink()
    inferences = len(plain_ns) - warm_up
    whole = [event["dur"] * 1000 for event in events if event.get("name") == "model_run"]
    return {
        "runtime": one.runtime_version,
        "operators": _operators(events, inferences),
        "whole_ns": whole[-inferences:],
        "plain_ns": plain_ns[-inferences:],
    }


def _run(one: Loaded, plain: Loaded, warm_up: int, inferences: int, end_ns: int) -> list[int]:
    clock = time.perf_counter_ns
    took: list[int] = []
    for begin in range(0, warm_up + inferences, _CHUNK):
        chunk = range(begin, min(begin + _CHUNK, warm_up + inferences))
        for i in chunk:
            one.call(one.feeds[i % len(one.feeds)])
        for i in chunk:
            start = clock()
            plain.call(plain.feeds[i % len(plain.feeds)])
            took.append(clock() - start)
        if clock() > end_ns and len(took) > warm_up:
            break
    return took


def _operators(events: list[dict[str, Any]], inferences: int) -> list[dict[str, Any]]:
    """Those of the main graph; one within another is part of that."""
    nodes = [
        event for event in events if event.get("cat") == "Node" and event["name"].endswith(_KERNEL)
    ]
    spans = [
        (event["ts"], event["ts"] + event["dur"])
        for event in nodes
        if event.get("args", {}).get("op_name") in _CONTROL
    ]
    operators: dict[tuple[str, str], dict[str, Any]] = {}
    for event in nodes:
        begin, end = event["ts"], event["ts"] + event["dur"]
        if any(s <= begin and end <= e and (s, e) != (begin, end) for s, e in spans):
            continue
        told = event.get("args", {})
        name = event["name"][: -len(_KERNEL)]
        row = operators.setdefault(
            (name, told.get("node_index", "")),
            {"name": name, "operator": told.get("op_name", UNKNOWN), "samples_ns": []},
        )
        row["samples_ns"].append(event["dur"] * 1000)
        row["inputs"] = _shapes(told.get("input_type_shape"))
        row["outputs"] = _shapes(told.get("output_type_shape"))
    for row in operators.values():
        row["samples_ns"] = row["samples_ns"][-inferences:]
    return list(operators.values())


def _shapes(told: Any) -> list[list[int]]:
    return [shape for entry in told or [] for shape in entry.values()]
