"""Try a TFLite file in the runtime, and find the operator that it has no kernel for."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgekit._lazy import need

_NODE = re.compile(r"Node number (\d+) \((\w+)\) failed")


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadFailure:
    """Why the runtime does not run a file."""

    operator_index: int | None
    """Place of the operator in the first subgraph, when the runtime names one."""
    reason: str
    """One line, in the runtime's words."""


def try_to_run(content: bytes) -> LoadFailure | None:
    """Load a file and run it on zeros; None when that works."""
    module = need("ai_edge_litert.interpreter", extra="litert")
    try:
        interpreter = module.Interpreter(model_content=content, num_threads=1)
        interpreter.allocate_tensors()
        for detail in interpreter.get_input_details():
            interpreter.set_tensor(detail["index"], _zeros(detail))
        interpreter.invoke()
    except (RuntimeError, ValueError) as error:
        said = " ".join(str(error).split())
        found = _NODE.search(said)
        reason = said[: found.start()].rstrip(". ") if found else said
        return LoadFailure(
            operator_index=int(found[1]) if found else None,
            reason=re.sub(r"^\S*?([\w.]+\.cc:\d+)", r"\1", reason)[:200],
        )
    return None


def _zeros(detail: Any) -> Any:
    if detail["dtype"] in (np.bytes_, np.str_, np.object_):
        return np.full(detail["shape"], b"", dtype=object)
    return np.zeros(detail["shape"], detail["dtype"])
