"""The worker's two roles."""

from __future__ import annotations

import importlib
import sys

ROLES = ("agent", "measure")


def main(own: str) -> None:
    """Take the role that the first argument names.

    Args:
        own: the folder or file that is run.
    """
    if len(sys.argv) != 2 or sys.argv[1] not in ROLES:
        sys.exit(f"usage: python3 {own} {'|'.join(ROLES)}")
    role = importlib.import_module(f"{__package__}.{sys.argv[1]}")  # a role imports only its own
    role.main(own)
