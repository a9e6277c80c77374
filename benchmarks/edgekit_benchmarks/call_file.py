"""Calls of a model on their way to a device, as one .npz, and what comes back.

Calls that follow each other and have the same shapes are a group: one array for each input, with
the calls along its first axis.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edgekit.errors import DataError

Array = Any


class CallFile:
    """An .npz with as many of the calls as are to travel together, at least one."""

    def __init__(
        self,
        path: Path,
        calls: Sequence[Mapping[str, Array]],
        names: Sequence[str],
        most_bytes: int,
    ) -> None:
        """Write it.

        Args:
            path: of the file; replaced.
            calls: an array of the stored dtype for each input.
            names: of the inputs, in the order of the file.
            most_bytes: of the calls that travel together.

        Raises:
            DataError: text that would not arrive as it is.
        """
        self.path = path
        self.groups: list[int] = []
        """How many calls each group has."""
        self.objects: list[int] = []
        """Which inputs are text in Python's own objects."""
        size = 0
        rows: list[list[list[Array]]] = []
        shapes: Any = None
        for call in calls:
            arrays = [np.asarray(call[name]) for name in names]
            size += sum(array.nbytes for array in arrays)
            if rows and size > most_bytes:
                break
            self.objects = [i for i, array in enumerate(arrays) if array.dtype.kind == "O"]
            arrays = [_text(array, name) for array, name in zip(arrays, names, strict=True)]
            found = [(array.shape, array.dtype.kind) for array in arrays]
            if found != shapes:
                rows.append([])
                shapes = found
            rows[-1].append(arrays)
        self.groups = [len(group) for group in rows]
        stacked = {
            f"{number}.{i}": np.stack([row[i] for row in group])
            for number, group in enumerate(rows)
            for i in range(len(names))
        }
        np.savez(path, allow_pickle=False, **stacked)

    @property
    def calls(self) -> int:
        """How many are in it."""
        return sum(self.groups)


def read_outputs(path: Path, groups: Sequence[int], objects: Sequence[int]) -> list[list[Array]]:
    """What the worker's mode ``predict`` wrote: for each call, an array for each output.

    Args:
        path: of the .npz.
        groups: how many calls each group has.
        objects: which outputs are text.
    """
    made: list[list[Array]] = []
    with np.load(path, allow_pickle=False) as archive:
        of: dict[int, set[int]] = {}
        for name in archive.files:
            group, output = map(int, name.split(".")[:2])
            of.setdefault(group, set()).add(output)
        for group, count in enumerate(groups):
            columns = [_column(archive, group, i, count) for i in range(len(of.get(group, ())))]
            for i in objects:
                columns[i] = [array.astype(object) for array in columns[i]]
            made += [list(row) for row in zip(*columns, strict=True)]
    return made


def _column(archive: Any, group: int, output: int, count: int) -> list[Array]:
    if f"{group}.{output}" in archive.files:
        together = archive[f"{group}.{output}"]
        return [together[call, ...] for call in range(count)]
    return [archive[f"{group}.{output}.{call}"] for call in range(count)]


def _text(array: Array, name: str) -> Array:
    """Python's objects as NumPy's own text, which forgets a NUL at the end."""
    if array.dtype.kind != "O":
        return array
    flat = array.ravel().tolist()
    is_bytes = all(isinstance(one, bytes) for one in flat)
    if not is_bytes and not all(isinstance(one, str) for one in flat):
        message = f"input {name!r}: neither all text nor all bytes; give one of the two"
        raise DataError(message)
    if any(one.endswith(b"\0" if is_bytes else "\0") for one in flat):
        message = f"input {name!r}: text that ends with a NUL does not reach a target; leave it out"
        raise DataError(message)
    return np.array(array, dtype=np.bytes_ if is_bytes else np.str_)
