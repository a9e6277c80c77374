"""What the command line asks of targets: the entry point ``targets`` of ``edgekit.benchmarks``."""

from __future__ import annotations

from edgekit_benchmarks.target import Target, check_name
from edgekit_benchmarks.target_check import TargetReport, check_targets
from edgekit_benchmarks.target_file import (
    add_target,
    find_target,
    read_targets,
    remove_target,
    targets_file,
)
from edgekit_benchmarks.target_setup import STEPS, SetupReport, set_up

__all__ = [
    "STEPS",
    "SetupReport",
    "Target",
    "TargetReport",
    "add_target",
    "check_name",
    "check_targets",
    "find_target",
    "read_targets",
    "remove_target",
    "set_up",
    "targets_file",
]
