"""What a reader of data gives: columns of samples, one for each input, and labels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from edgekit.errors import DataError

Array = NDArray[Any]


class Column(Protocol):
    """The samples for one input, read when they are asked for."""

    prepared: bool
    """Whether `take` gives samples on which the preparation has run already."""

    def __len__(self) -> int:
        """How many samples there are."""
        ...

    def take(self, indices: NDArray[np.intp]) -> Array:
        """The samples at `indices`: ``(len(indices), …)``.

        Raises:
            DataError: one of them cannot be read.
        """
        ...


class ArrayColumn:
    """Samples that are in memory, or mapped from a file."""

    def __init__(self, array: Array) -> None:
        """Take ``(samples, …)``."""
        self.array = array
        self.prepared = False

    def __len__(self) -> int:
        return len(self.array)

    def take(self, indices: NDArray[np.intp]) -> Array:
        """The samples at `indices`."""
        return np.asarray(self.array[indices])


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """What was found: a column for each input, and labels where there are some."""

    columns: Mapping[str, Column]
    labels: Array | None = None
    class_names: tuple[str, ...] | None = None
    is_random: bool = False

    def __post_init__(self) -> None:
        """Refuse columns and labels of different lengths, and no samples at all."""
        lengths = {f"{name!r}": len(column) for name, column in self.columns.items()}
        if self.labels is not None:
            lengths["the labels"] = len(self.labels)
        if len(set(lengths.values())) > 1:
            told = ", ".join(f"{name} {length}" for name, length in lengths.items())
            message = f"different numbers of samples: {told}; make them equal"
            raise DataError(message)
        if 0 in lengths.values():
            message = "has no samples; give at least two"
            raise DataError(message)


def tidy_labels(labels: Array) -> Array:
    """Labels as ``(samples,)`` where there is one each; whole floats become integers.

    Raises:
        DataError: they are not numbers.
    """
    if labels.dtype.kind not in "biuf":
        message = f"the labels are {labels.dtype}; give numbers, classes counted from 0"
        raise DataError(message)
    if labels.ndim == 2 and labels.shape[1] == 1:
        return tidy_labels(labels[:, 0])
    if labels.dtype.kind == "b":
        return labels.astype(np.int64)
    return labels
