"""``--time-limit`` and ``--memory-limit``, of the commands that work in processes of their own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import click

from edgekit.cli.amount import Amount

if TYPE_CHECKING:
    from edgekit.child import Limits

LIMIT_NAMES = frozenset({"time_limit", "memory_limit"})


def limit_options(seconds: int, about: str) -> tuple[Callable[[Any], Any], ...]:
    """Both options.

    Args:
        seconds: the time limit, if none is given.
        about: its help.
    """
    return (
        click.option(
            "--time-limit",
            type=Amount(),
            default=seconds,
            show_default=True,
            metavar="SECONDS",
            help=about,
        ),
        click.option(
            "--memory-limit",
            type=Amount(),
            metavar="GIB",
            help="Stop a step that uses more.  [default: 90 % of what there is]",
        ),
    )


def limits_of(given: Mapping[str, Any]) -> Limits:
    """Returns what both options say."""
    from edgekit.child import Limits

    memory = given["memory_limit"]
    if memory is None:
        return Limits(time_s=given["time_limit"])
    return Limits(time_s=given["time_limit"], memory_bytes=int(memory * 2**30))
