"""Whether two targets are the same machine in the same state, as far as latency goes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from edgekit_benchmarks.result import TargetRecord

_FACTS = {
    "model": "board",
    "cpu": "CPU",
    "machine": "architecture",
    "bits": "bits",
    "features": "CPU features",
    "cores_online": "processors",
    "affinity": "processors to use",
    "governor": "governor",
    "frequency_khz.max": "maximum frequency in kHz",
    "turbo": "turbo",
    "smt": "SMT",
    "memory_bytes.total": "memory in bytes",
    "container.cpus": "container's processors",
    "container.memory_bytes": "container's memory in bytes",
    "kernel": "kernel",
    "libc": "C library",
    "python": "Python",
}
_OF_EMULATED = {
    "model": "board",
    "cpu": "CPU",
    "machine": "architecture",
    "features": "CPU features",
    "libc": "C library",
    "qemu": "QEMU",
}
"""What instructions depend on, whichever machine emulates them."""


def differences(before: TargetRecord, after: TargetRecord) -> Iterator[str]:
    """Each thing in which they differ, with both values."""
    if before.emulated != after.emulated:
        yield f"emulated: {_words(before.emulated)}, then {_words(after.emulated)}"
    both = before.emulated and after.emulated
    for name, title in (_OF_EMULATED if both else _FACTS).items():
        ours, theirs = _fact(before.facts, name), _fact(after.facts, name)
        if ours == theirs:
            continue
        if isinstance(ours, list) and isinstance(theirs, list):
            ours, theirs = (
                [one for one in ours if one not in theirs],
                [one for one in theirs if one not in ours],
            )
        yield f"{title}: {_words(ours)}, then {_words(theirs)}"


def _fact(facts: Mapping[str, Any], name: str) -> Any:
    found: Any = facts
    for part in name.split("."):
        found = found.get(part) if isinstance(found, Mapping) else None
    return "unknown" if found is None else found


def _words(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return " ".join(map(str, value)) or "none of those"
    return str(value)
