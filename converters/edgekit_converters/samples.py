"""Calibration samples: read once, checked, written where every child process can load them.

Each is an ``.npz`` with an array per input, shape (n, *input shape, batch included): sample i is
``{name: array[i]}``, and is exactly what one call of the converted model takes.
"""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit import data, data_checks
from edgekit.errors import DataError
from edgekit.preprocess import Preprocess, decided, for_inputs
from edgekit.tensors import TensorSpec

VERIFIED = 256
"""At most so many samples are used to compare the files with the model."""
RANDOM_SAMPLES = 16
"""How many seeded random samples stand in when no data is given."""
_PIECE_BYTES = 32 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Samples:
    """What was written, and what is to be said about it."""

    count: int
    """To calibrate with."""
    unseen: int
    """Among those to verify with: so many did not set the ranges."""
    is_random: bool
    warnings: tuple[str, ...]
    preprocess: dict[str, Preprocess]
    """By input name: what was done to the data, and has to be done on the device."""


def prepare(
    text: str | None,
    inputs: Sequence[TensorSpec],
    folder: Path,
    *,
    count: int,
    preprocess: Sequence[str],
    pixel_range: Any = None,
    integer_bounds: Mapping[str, int] | None = None,
) -> Samples:
    """Take samples of the data source `text`: ``samples.npz`` to calibrate, ``verify.npz``.

    Where the data has more than `count` samples, the verified ones are others than those that set
    the ranges; a quarter of smaller data is kept out of the calibration, and the verified samples
    are filled up with calibrated ones. Without a `text`, both are the same seeded random ones. A
    free batch in `inputs` is filled with 2, so that it is exercised.

    Args:
        text: the data source, as on the command line.
        inputs: of the model, the shapes of one call.
        folder: where the two files go.
        count: calibrate on at most so many.
        preprocess: texts as on the command line.
        pixel_range: what the model takes, as `data_checks.check` wants it.
        integer_bounds: exclusive upper bounds of random integers, by input.

    Raises:
        UsageError: `preprocess` names an unknown input or step.
        DataError: the data does not fit the inputs, or cannot be trusted for calibration.
    """
    source = text or f"random:{RANDOM_SAMPLES}"
    steps = for_inputs(preprocess, inputs)
    pixels = {s.name: (0.0, 255.0) for s in inputs if pixel_range == "0..255" and len(s.shape) == 4}
    dataset = data.open_data(
        source,
        inputs,
        preprocess=steps,
        integer_bounds=integer_bounds or {},
        float_bounds=pixels,
    )
    chosen = dataset.choose(min(count + VERIFIED, len(dataset)))
    unseen = 0 if dataset.is_random else min(VERIFIED, max(len(chosen) - count, len(chosen) // 4))
    calibrated = chosen[: len(chosen) - unseen]
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
    last_first = {name: array[::-1] for name, array in batch.items()}
    save(_calls(batch, inputs, len(calibrated)), folder / "samples.npz")
    save(_calls(last_first, inputs, min(VERIFIED, len(chosen))), folder / "verify.npz")
    return Samples(
        count=len(calibrated),
        unseen=unseen,
        is_random=dataset.is_random,
        warnings=warnings,
        preprocess={name: Preprocess() for name in pixels} | steps,  # the model scales them itself
    )


def _calls(
    batch: Mapping[str, NDArray[Any]], inputs: Sequence[TensorSpec], count: int
) -> dict[str, NDArray[Any]]:
    """The first `count` rows as calls, shape (calls, batch of one call, …); the last is filled."""
    size = batch_of(inputs)
    rows = np.arange(-(-count // size) * size) % count
    return {
        spec.name: (
            batch[spec.name][rows].reshape(-1, size, *batch[spec.name].shape[1:])
            if spec.shape
            else batch[spec.name][rows[::size]]
        )
        for spec in inputs
    }


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


def save_rows(
    dataset: data.Dataset,
    rows: NDArray[np.intp],
    out: Path,
    others: Mapping[str, NDArray[Any]],
) -> None:
    """Write what `save` would write of `rows` of `dataset`, and `others`, piece by piece.

    However many rows there are, a few samples at a time are in memory.

    Args:
        dataset: where the samples are.
        rows: which, in their order.
        out: an ``.npz``.
        others: further arrays.

    Raises:
        DataError: a sample cannot be read, two have different shapes, or one holds no number.
    """
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        for spec in dataset.inputs:
            alone = replace(dataset, inputs=(spec,))  # others are not prepared in vain
            first = np.ascontiguousarray(alone.batch(rows[:1])[spec.name])
            head = np.lib.format.header_data_from_array_1_0(first)
            shape = (len(rows), *first.shape[1:])
            step = max(1, _PIECE_BYTES // max(1, first.nbytes))
            with archive.open(f"{spec.name}.npy", "w", force_zip64=True) as file:
                np.lib.format.write_array_header_1_0(file, {**head, "shape": shape})
                done = 0
                for batch in alone.batches(rows, step):
                    piece = batch[spec.name]
                    if piece.shape[1:] != shape[1:] or piece.dtype != first.dtype:
                        message = (
                            f"{dataset.text}: has samples of shape {shape[1:]} and of "
                            f"{piece.shape[1:]} for input {spec.name!r}; make them equal"
                        )
                        raise DataError(message)
                    check_finite(piece, dataset.text, spec.name, rows[done : done + len(piece)])
                    done += len(piece)
                    file.write(np.ascontiguousarray(piece).data)
        for name, array in others.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                np.lib.format.write_array(file, np.ascontiguousarray(array), allow_pickle=False)


def load(path: Path) -> dict[str, NDArray[Any]]:
    """Read what `save` wrote."""
    with np.load(path, allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}


def check_finite(piece: NDArray[Any], text: str, name: str, rows: NDArray[np.intp]) -> None:
    """Refuse NaN and infinity in samples of the input `name`, which are `rows` of the data `text`.

    Raises:
        DataError: there are some; it names the first such sample.
    """
    if piece.dtype.kind != "f":
        return
    bad = ~np.isfinite(piece.reshape(len(piece), -1)).all(axis=1)
    if bad.any():
        message = (
            f"{text}: input {name!r} has NaN or infinite values in sample {rows[bad][0]}; "
            "clean the data"
        )
        raise DataError(message)
