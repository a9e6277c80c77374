"""What the command line asks of targets: the entry point ``targets`` of ``edgekit.benchmarks``."""

from __future__ import annotations

from edgekit_benchmarks.board import BOARDS
from edgekit_benchmarks.emulated import STEPS as EMULATED_STEPS
from edgekit_benchmarks.emulated_target import EmulatedTarget, add_emulated
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
    "BOARDS",
    "EMULATED_STEPS",
    "STEPS",
    "EmulatedTarget",
    "SetupReport",
    "Target",
    "TargetReport",
    "add_emulated",
    "add_target",
    "check_name",
    "check_targets",
    "find_target",
    "read_targets",
    "remove_target",
    "set_up",
    "targets_file",
]
