"""Learned ranges in a .keras file: read with bounds, and damaged ones refused."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from edgekit.errors import SourceError
from edgekit.keras_ranges import MEMBER, read_ranges

GOOD = {"format_version": 1, "ranges": {"conv": [-1.5, 2], "conv#1": [0, 0]}}


def _archive(folder: Path, content: Any) -> Path:
    path = folder / "m.keras"
    with zipfile.ZipFile(path, "w") as archive:
        for name in ("config.json", "metadata.json", "model.weights.h5"):
            archive.writestr(name, "{}")
        if content is not None:
            text = content if isinstance(content, str) else json.dumps(content)
            archive.writestr(MEMBER, text)
    return path


def test_ranges_are_read(tmp_path: Path) -> None:
    assert read_ranges(_archive(tmp_path, GOOD)) == {"conv": (-1.5, 2.0), "conv#1": (0.0, 0.0)}


def test_a_file_without_them_has_none(tmp_path: Path) -> None:
    assert read_ranges(_archive(tmp_path, None)) == {}


@pytest.mark.parametrize(
    "content",
    [
        "no json",
        "[" * 100_000,
        [],
        {"ranges": {}},
        GOOD | {"more": 1},
        GOOD | {"format_version": 2},
        GOOD | {"ranges": []},
        GOOD | {"ranges": {"a": [1]}},
        GOOD | {"ranges": {"a": [2, 1]}},
        GOOD | {"ranges": {"a": ["0", 1]}},
        GOOD | {"ranges": {"a": [True, 1]}},
        '{"format_version": 1, "ranges": {"a": [NaN, 1]}}',
        '{"format_version": 1, "ranges": {"a": [0, 1e999]}}',
        '{"format_version": 1, "ranges": {"a": [0, %s]}}' % ("9" * 400),
        {"format_version": 1, "ranges": {str(n): [0, 1] for n in range(50_001)}},
        " " * (9 << 20),
    ],
)
def test_damaged_ranges_are_refused_in_one_line(tmp_path: Path, content: Any) -> None:
    with pytest.raises(SourceError, match=MEMBER) as caught:
        read_ranges(_archive(tmp_path, content))
    assert "\n" not in str(caught.value)
