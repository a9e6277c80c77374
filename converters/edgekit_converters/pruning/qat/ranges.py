"""Learned ranges inside a ``.keras`` file, as one more member, which Keras ignores."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

from edgekit.keras_ranges import MEMBER, checked, read_ranges
from edgekit_converters.pruning.member import add_members

__all__ = ["ranges_member", "read_ranges", "save_ranges"]


def save_ranges(path: str | os.PathLike[str], ranges: Mapping[str, tuple[float, float]]) -> None:
    """Put `ranges` into the ``.keras`` file at `path`, instead of those it has; at once or not.

    Args:
        path: of a file that Keras 3 has saved.
        ranges: smallest and largest value by name of the layer or input that gives them.

    Raises:
        OutputError: the file cannot be read or written.
        SourceError: a range is not finite, or upside down.
    """
    add_members(Path(path), ranges_member(Path(path), ranges))


def ranges_member(path: Path, ranges: Mapping[str, tuple[float, float]]) -> dict[str, str]:
    """What is to be put into the file at `path`: a member's name and its text.

    Raises:
        SourceError: a range is not finite, or upside down.
    """
    content = {
        "format_version": 1,
        "ranges": {name: [float(low), float(high)] for name, (low, high) in ranges.items()},
    }
    checked(path, content)
    return {MEMBER: json.dumps(content, indent=1)}
