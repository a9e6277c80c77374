"""Samples that are trained on and judged by: they make a verdict look better than it is."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from edgekit.data import Array, Dataset
from edgekit.data_source import ArrayColumn
from edgekit.errors import UsageError

_LOOKED_AT = 64
_MOST_BYTES = 1 << 30
"""Data that are larger are not searched: looking must not cost more than training on them."""
_AT_ONCE = 256


def check_places(data: str, test: str) -> None:
    """Refuse two texts that name the same data, however they are spelled.

    Raises:
        UsageError: they do.
    """
    if _place(data) == _place(test):
        message = f"--test {test}: is what --data names; leave it away, or give other samples"
        raise UsageError(message)


def check_samples(data: Dataset, tested: Dataset) -> tuple[str, ...]:
    """Refuse a copy of `data` to judge by; warn where some samples of `tested` are in `data` too.

    Where `data` are in memory, and not huge, 64 samples of `tested` are looked for among all of
    them; those in folders are compared only with the same rows.

    Raises:
        UsageError: `tested` holds the same samples in the same order.
        DataError: a sample cannot be read.
    """
    rows = np.unique(np.linspace(0, len(tested) - 1, _LOOKED_AT).astype(np.intp))
    looked_at = tested.batch(rows)
    assert data.labels is not None
    assert tested.labels is not None
    if np.array_equal(data.labels, tested.labels):
        same = data.batch(rows)
        if all(np.array_equal(same[name], looked_at[name]) for name in same):
            message = (
                f"--test {tested.text}: holds the samples of --data {data.text}; "
                "leave it away, or give other samples"
            )
            raise UsageError(message)
    found = _found(data, _digests(looked_at))
    if not found:
        return ()
    return (
        f"{tested.text}: of {len(rows)} samples that were looked at, {found} are in {data.text} "
        "too, which is trained on; the verdict is better than it would be on new ones",
    )


def _place(text: str) -> tuple[str, str]:
    """The file or folder that `text` names, whatever it is called, and the split."""
    path, split = Path(text), ""
    head, _, tail = text.rpartition(":")
    if not path.exists() and head.lower().endswith(".npz"):
        path, split = Path(head), tail
    return (str(path.resolve()), split) if path.exists() else (text, "")


def _found(data: Dataset, wanted: list[bytes]) -> int:
    """How many of `wanted` are of samples of `data`."""
    size = sum(array.nbytes for array in data.batch([0]).values()) * len(data)
    held = all(isinstance(column, ArrayColumn) for column in data.source.columns.values())
    if not held or size > _MOST_BYTES:
        return 0
    there: set[bytes] = set()
    for batch in data.batches(np.arange(len(data)), _AT_ONCE):
        there.update(_digests(batch))
    return sum(digest in there for digest in wanted)


def _digests(batch: Mapping[str, Array]) -> list[bytes]:
    """One for each sample of `batch`."""
    arrays = [np.ascontiguousarray(batch[name]) for name in sorted(batch)]
    made = []
    for row in range(len(arrays[0])):
        digest = hashlib.blake2b(digest_size=16)
        for array in arrays:
            digest.update(np.ascontiguousarray(array[row]).tobytes())
        made.append(digest.digest())
    return made
