"""Calibration and evaluation data: one syntax for every command.

| DATA | what it is |
| --- | --- |
| `file.npz`, `file.npz:train` | arrays named after the inputs, or `x` and `y`; a split of them |
| `file.npy` | one array, for a model with one input |
| `folder/` of images | sub-folders, if any, are the classes |
| `folder/` of `.wav` | the same with sounds |
| `file.csv`, `file.csv.gz` | a header, numbers, a column `label` |
| `package.module:function` | whatever the function returns or yields |
| `random`, `random:200` | seeded random numbers, marked as such in all that is made from them |
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.data_csv import read_csv
from edgekit.data_fit import fit
from edgekit.data_folder import has_files
from edgekit.data_function import is_function, read_function
from edgekit.data_images import IMAGE_SUFFIXES, read_images
from edgekit.data_npz import read_npy, read_npz
from edgekit.data_random import read_random
from edgekit.data_source import Source
from edgekit.data_wav import read_sounds
from edgekit.errors import DataError, EdgekitError, UsageError
from edgekit.preprocess import Preprocess
from edgekit.tensors import TensorSpec

Array = NDArray[Any]

SYNTAX = (
    "FILE.npz, FILE.npz:SPLIT, FILE.npy, a folder of images or .wav, FILE.csv, "
    "package.module:function, or random"
)

_NOTHING: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataset:
    """Samples for every input of a model, with labels where there are some; see `open_data`."""

    text: str
    inputs: tuple[TensorSpec, ...]
    source: Source
    preprocess: Mapping[str, Preprocess]

    def __len__(self) -> int:
        return len(next(iter(self.source.columns.values())))

    @property
    def is_random(self) -> bool:
        """Whether these are random numbers rather than data."""
        return self.source.is_random

    @property
    def labels(self) -> Array | None:
        """``(samples,)``, or ``(samples, …)`` as the file has them; None without labels."""
        return self.source.labels

    @property
    def class_names(self) -> tuple[str, ...] | None:
        """Names of the classes in the order of their numbers, where the data tell."""
        return self.source.class_names

    def batch(self, indices: Sequence[int] | NDArray[np.integer[Any]]) -> dict[str, Array]:
        """The samples at `indices`, prepared, for each input: ``(len(indices), *sample shape)``.

        Raises:
            DataError: a sample cannot be read, or does not fit its input.
        """
        rows = np.asarray(indices, np.intp)
        if rows.ndim != 1 or rows.size == 0 or rows.min() < 0 or rows.max() >= len(self):
            message = f"{self.text}: cannot take {indices!r} of {len(self)} samples; report this"
            raise DataError(message)
        made = {}
        for spec in self.inputs:
            column = self.source.columns[spec.name]
            steps = None if column.prepared else self.preprocess.get(spec.name)
            try:
                made[spec.name] = fit(column.take(rows), spec, steps)
            except DataError as error:
                raise _about(self.text, error) from error.__cause__
        return made

    def batches(
        self, indices: Sequence[int] | NDArray[np.integer[Any]], size: int
    ) -> Iterator[dict[str, Array]]:
        """`batch` of at most `size` indices at a time, in their order.

        Raises:
            DataError: as `batch`.
        """
        for start in range(0, len(indices), size):
            yield self.batch(indices[start : start + size])

    def choose(self, n: int, *, seed: int = 0) -> NDArray[np.intp]:
        """`n` different indices (all, if there are not more), in a shuffled order.

        The same `n` and `seed` give the same indices. Where labels are class numbers, every class
        has its share, and at least one sample while `n` suffices for all.

        Raises:
            UsageError: `n` is not positive.
        """
        if n < 1:
            message = f"{self.text}: cannot choose {n} samples; ask for at least 1"
            raise UsageError(message)
        random = np.random.default_rng(seed)
        order = random.permutation(len(self)).astype(np.intp)
        if n >= len(self):
            return order
        classes = _class_numbers(self.labels)
        if classes is None:
            return order[:n]
        _, numbers, counts = np.unique(classes, return_inverse=True, return_counts=True)
        left = _shares(counts, n)
        chosen = []
        for index in order:
            if left[numbers[index]] > 0:
                left[numbers[index]] -= 1
                chosen.append(index)
        return np.array(chosen, np.intp)


def open_data(
    text: str,
    inputs: Sequence[TensorSpec],
    *,
    preprocess: Mapping[str, Preprocess] = _NOTHING,
    integer_bounds: Mapping[str, int] = _NOTHING,
    float_bounds: Mapping[str, tuple[float, float]] = _NOTHING,
) -> Dataset:
    """Open what `text` names, for a model that takes `inputs`, and try its first sample.

    Args:
        text: the data, in the syntax at the top of this module.
        inputs: shapes with the batch dimension first; a None elsewhere takes any size.
        preprocess: the steps for each input, by name; an input without any takes data as they are.
        integer_bounds: for random data, the number of values of an integer input, by name.
        float_bounds: for random data, lowest and highest value of a float input, by name.

    Raises:
        DataError: the data are missing, damaged, or do not fit the inputs.
        UsageError: `text` is in no known form, or `preprocess` names an unknown input.
    """
    for name in preprocess:
        if name not in [spec.name for spec in inputs]:
            known = ", ".join(spec.name for spec in inputs)
            message = f"--preprocess {name}: the model has no such input; it has: {known}"
            raise UsageError(message)
    if not inputs:
        message = f"{text}: the model has no inputs; give a model that has some"
        raise UsageError(message)
    try:
        if text == "random" or text.startswith("random:"):
            source = read_random(text, inputs, integer_bounds, float_bounds)
        else:
            source = _read(text, inputs, preprocess)
    except DataError as error:
        raise _about(text, error) from error.__cause__
    except PermissionError:
        message = f"{text}: no permission to read it; change its permissions"
        raise DataError(message) from None
    dataset = Dataset(text=text, inputs=tuple(inputs), source=source, preprocess=preprocess)
    dataset.batch([0])
    return dataset


def _read(text: str, inputs: Sequence[TensorSpec], preprocess: Mapping[str, Preprocess]) -> Source:
    path = Path(text)
    if path.is_dir():
        return _read_folder(path, inputs, preprocess)
    head, _, split = text.rpartition(":")
    if not path.exists() and head.lower().endswith(".npz"):
        path = Path(head)
    else:
        split = ""
    if not path.exists() and is_function(text):
        return read_function(text, inputs)
    if not path.exists():
        message = f"no such file or folder; DATA is {SYNTAX}"
        raise DataError(message)
    name = path.name.lower()
    if path.stat().st_size == 0:
        message = "is empty; save the data again"
        raise DataError(message)
    if name.endswith(".npz"):
        return read_npz(path, inputs, split or None)
    if name.endswith(".npy"):
        return read_npy(path, inputs)
    if name.endswith((".csv", ".csv.gz")):
        return read_csv(path, inputs)
    if name.endswith((*IMAGE_SUFFIXES, ".wav")):
        message = f"is a single file; give its folder, {path.parent}"
        raise DataError(message)
    message = f"is no kind of data that is known here; DATA is {SYNTAX}"
    raise DataError(message)


def _read_folder(
    path: Path, inputs: Sequence[TensorSpec], preprocess: Mapping[str, Preprocess]
) -> Source:
    sounds, images = has_files(path, (".wav",)), has_files(path, IMAGE_SUFFIXES)
    if sounds and images:
        message = "has both images and .wav files; take one kind out"
        raise DataError(message)
    if sounds:
        return read_sounds(path, inputs)
    return read_images(path, inputs, preprocess.get(inputs[0].name))


def _about(text: str, error: EdgekitError) -> DataError:
    """The error with the data as its subject."""
    told = str(error)
    return (
        error
        if isinstance(error, DataError) and _names(told, text)
        else DataError(f"{text}: {told}")
    )


def _names(told: str, text: str) -> bool:
    return re.match(re.escape(text.rstrip("/")) + r"[:/]", told) is not None


def _class_numbers(labels: Array | None) -> Array | None:
    """One class number a sample; None where the labels are no classes, or too many."""
    if labels is None:
        return None
    if labels.ndim == 2 and labels.shape[1] > 1 and np.all(labels.sum(axis=1) == 1):
        return np.asarray(np.argmax(labels, axis=1))
    if labels.ndim != 1 or labels.dtype.kind not in "iu":
        return None
    return labels if len(np.unique(labels)) <= max(2, len(labels) // 2) else None


def _shares(counts: NDArray[np.intp], n: int) -> NDArray[np.intp]:
    """How many of each class make `n`: in proportion, by largest remainder, none forgotten."""
    exact = counts * (n / counts.sum())
    least = 1 if n >= len(counts) else 0
    shares: NDArray[np.intp] = np.maximum(np.floor(exact), least).astype(np.intp)
    while shares.sum() > n:
        shares[np.argmax(np.where(shares > 1, shares - exact, -np.inf))] -= 1
    order = np.argsort(-(exact - shares), kind="stable")
    for number in order[: n - int(shares.sum())]:
        shares[number] += 1
    return shares
