"""Paths on the command line."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    Base = click.Path[Path]
else:
    Base = click.Path


class GivenPath(Base):
    """A path that says something: an empty one, as of an unset variable, would be ``.``."""

    def __init__(self) -> None:
        """Of a file or a folder, there or not."""
        super().__init__(path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Parse and check."""
        if value == "":
            self.fail("the path is empty", param, ctx)
        return super().convert(value, param, ctx)
