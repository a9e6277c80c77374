"""Numbers that can be measured out: positive, and finite."""

from __future__ import annotations

import math
from typing import Any

import click

_MOST = 1e12
"""More than any machine has of anything, and still a number of bytes when it is GiB."""


class Amount(click.FloatRange):
    """A positive number; ``nan`` and ``inf`` pass a `click.FloatRange`, for which they are ones."""

    def __init__(self) -> None:
        """Above zero; zero is none."""
        super().__init__(min=0, min_open=True)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Parse and check."""
        number = super().convert(value, param, ctx)
        if not math.isfinite(number) or number > _MOST:
            self.fail(f"{value} is no number that can be reached.", param, ctx)
        return number
