"""What can be chosen in `prune`: targets, and options that take one of a closed set."""

from __future__ import annotations

from typing import Final, Literal, get_args

Target = Literal["sparsity", "macs", "size", "latency"]
Measure = Literal["float32", "int8"]
Scope = Literal["layer", "global"]
Schedule = Literal["polynomial", "constant"]
Importance = Literal["magnitude", "batch-norm", "taylor"]
Ratios = Literal["uniform", "sensitivity"]

TARGETS: tuple[Target, ...] = get_args(Target)
CHOICES: Final = {
    "measure": get_args(Measure),
    "scope": get_args(Scope),
    "schedule": get_args(Schedule),
    "importance": get_args(Importance),
    "ratios": get_args(Ratios),
}
"""By option; the first is the default."""
