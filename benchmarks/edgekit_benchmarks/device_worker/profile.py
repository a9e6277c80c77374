"""What each operator takes, as ONNX Runtime's own profile tells."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .board import UNKNOWN
from .errors import Refused
from .inputs import read_arrays
from .loaded import Loaded

if TYPE_CHECKING:
    from collections.abc import Callable

_KERNEL = "_kernel_time"


def measure(spec: dict[str, Any], tell: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    """Run with the profile on.

    Args:
        spec: ``row``, ``inputs`` (path or None), ``inferences``, ``warm_up`` (inferences).
        tell: says to the agent what is done now.

    Returns:
        ``operators``: ``name``, ``operator`` and ``samples_ns``, one for each inference, in the
        order in which they run; ``whole_ns``: the same of the whole model; ``runtime``.

    Raises:
        Refused: the runtime has no profile (UsageError), or the file does not load or run.
    """
    one = Loaded(spec["row"], tell)
    if one.runtime.package != "onnxruntime":
        message = f"{one.name}: {one.runtime.package} has no profile; time its operators apart"
        raise Refused(message, "UsageError")
    one.runtime.profile_prefix = str(Path.cwd() / "profile")
    one.check()
    one.told("load")
    one.load()
    one.bind(read_arrays(spec.get("inputs")))
    one.told("profile")
    inferences = int(spec.get("inferences", 50))
    with one.errors("run"):
        for i in range(int(spec.get("warm_up", 10)) + inferences):
            one.call(one.feeds[i % len(one.feeds)])
        written = Path(one.runtime.session.end_profiling())
    events: list[dict[str, Any]] = json.loads(written.read_text())
    written.unlink()
    operators: dict[str, dict[str, Any]] = {}
    for event in events:
        if event.get("cat") == "Node" and event["name"].endswith(_KERNEL):
            name = event["name"][: -len(_KERNEL)]
            kind = event.get("args", {}).get("op_name", UNKNOWN)
            row = operators.setdefault(name, {"name": name, "operator": kind, "samples_ns": []})
            row["samples_ns"].append(event["dur"] * 1000)
    for row in operators.values():
        row["samples_ns"] = row["samples_ns"][-inferences:]
    whole = [event["dur"] * 1000 for event in events if event.get("name") == "model_run"]
    return {
        "runtime": one.runtime_version,
        "operators": list(operators.values()),
        "whole_ns": whole[-inferences:],
    }
