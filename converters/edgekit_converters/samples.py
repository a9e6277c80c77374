"""Calibration samples: read once, checked, written where every child process can load them.

One ``.npz`` with an array per input, shape (n, *input shape, batch included): sample i is
``{name: array[i]}``, and is exactly what one call of the converted model takes.
"""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit import data, data_checks
from edgekit.preprocess import Preprocess, decided, for_inputs
from edgekit.tensors import TensorSpec

VERIFIED = 64
"""At most so many calibration samples are also used to compare the files with the model."""
RANDOM_SAMPLES = 16
"""How many seeded random samples stand in when no data is given."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Samples:
    """What was written, and what is to be said about it."""

    count: int
    is_random: bool
    warnings: tuple[str, ...]
    preprocess: dict[str, Preprocess]
    """By input name: what was done to the data, and has to be done on the device."""


def prepare(
    text: str | None,
    inputs: Sequence[TensorSpec],
    out: Path,
    *,
    count: int,
    preprocess: Sequence[str],
    pixel_range: Any = None,
    integer_bounds: Mapping[str, int] | None = None,
) -> Samples:
    """Write up to `count` samples of the data source `text` to `out`.

    Without a `text`, seeded random samples are made, and the result says so. A free batch in
    `inputs` is filled with 2, so that it is exercised.

    `preprocess` are texts as on the command line.

    Raises:
        UsageError: `preprocess` names an unknown input or step.
        DataError: the data does not fit the inputs, or cannot be trusted for calibration.
    """
    source = text or f"random:{RANDOM_SAMPLES}"
    steps = for_inputs(preprocess, inputs)
    dataset = data.open_data(source, inputs, preprocess=steps, integer_bounds=integer_bounds or {})
    size = batch_of(inputs)
    wanted = min(count, len(dataset)) if text else RANDOM_SAMPLES
    chosen = np.resize(dataset.choose(wanted), max(1, wanted // size) * size)
    batch = dataset.batch(chosen)
    warnings: tuple[str, ...] = ()
    if not dataset.is_random:
        warnings = data_checks.check(
            batch,
            inputs,
            purpose="calibration",
            pixel_range=pixel_range,
            preprocess_was_given=decided(steps),
            source=source,
            labels=None if dataset.labels is None else dataset.labels[chosen],
        )
    arrays = {}
    for spec in inputs:
        array = np.asarray(batch[spec.name])
        calls = (len(array) // size, size) if spec.shape else (len(array),)
        arrays[spec.name] = array.reshape(*calls, *array.shape[1:])
    save(arrays, out)
    return Samples(
        count=len(chosen), is_random=dataset.is_random, warnings=warnings, preprocess=steps
    )


def batch_of(inputs: Sequence[TensorSpec]) -> int:
    """The batch of one call: the fixed one, or 2 where it is free."""
    sizes = {spec.shape[0] for spec in inputs if spec.shape}
    fixed = [size for size in sizes if size]
    return max(fixed) if fixed else (2 if None in sizes else 1)


def save(arrays: Mapping[str, NDArray[Any]], out: Path) -> None:
    """Write `arrays` as an uncompressed .npz; unlike `numpy.savez`, names may be any."""
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                np.lib.format.write_array(file, np.ascontiguousarray(array), allow_pickle=False)


def load(path: Path) -> dict[str, NDArray[Any]]:
    """Read what `save` wrote."""
    with np.load(path, allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}
