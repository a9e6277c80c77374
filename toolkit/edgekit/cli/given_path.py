"""Paths on the command line."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    _Path = click.Path[Path | str]
else:
    _Path = click.Path


class GivenPath(_Path):
    """A path that says something: an empty one, as of an unset variable, would be ``.``."""

    def __init__(self, path_type: type[Path] | type[str] = Path) -> None:
        """Of a file or a folder, there or not; as a text where its last character counts."""
        super().__init__(path_type=path_type)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Parse and check."""
        if value == "":
            self.fail("the path is empty", param, ctx)
        return super().convert(value, param, ctx)
