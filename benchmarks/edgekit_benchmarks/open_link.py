"""Reach a target, wherever it is: the one place that knows which kinds there are.

with open_link(find_target("pi5")) as link:
    facts = link.request("facts", timeout_s=30)
"""

from __future__ import annotations

import sys
from pathlib import Path

from edgekit_benchmarks.emulated_link import EmulatedLink
from edgekit_benchmarks.link import Link, LocalLink
from edgekit_benchmarks.ssh_link import SshLink
from edgekit_benchmarks.target import Target


def open_link(target: Target, *, root: str | None = None) -> Link:
    """Start an agent on the target.

    Args:
        target: this machine, a device, or an emulated board.
        root: what stands for ``/`` there when the board's facts are read, for tests.

    Raises:
        TargetError: no connection, no Python there, or no space; or an emulated board cannot be
            built.
        CrashError: the agent does not answer.
        MissingDependencyError: there is no ssh here, or no QEMU.
        OutputError: no space for an emulated board.
    """
    if target.is_local:
        python = str(Path(target.python).expanduser()) if target.python else sys.executable
        return LocalLink(target.name, python=python, root=root)
    if target.is_emulated:
        return EmulatedLink(target, root=root)
    return SshLink(target, root=root)
