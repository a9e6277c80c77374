"""NumPy files as data: ``file.npz``, ``file.npz:SPLIT``, ``file.npy``."""

from __future__ import annotations

import tokenize
import zipfile
import zlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as numpy_format
from numpy.typing import NDArray

from edgekit.child import physical_memory_bytes
from edgekit.data_source import ArrayColumn, Source, tidy_labels
from edgekit.errors import DataError
from edgekit.quote import first_line
from edgekit.tensors import TensorSpec

Array = NDArray[Any]

_SAMPLE_WORDS = ("x", "images", "image", "data", "features")
_LABEL_WORDS = ("y", "labels", "label", "targets", "target")
_BROKEN = (
    ValueError, EOFError, OSError, SyntaxError, NotImplementedError, tokenize.TokenError,
    zipfile.BadZipFile, zlib.error,
)  # fmt: skip
_PICKLE = "holds Python pickles, which can run code and are never read; save plain number arrays"


def read_npy(path: Path, inputs: Sequence[TensorSpec]) -> Source:
    """The one array of a ``.npy`` file, mapped rather than read, for the only input.

    Raises:
        DataError: not an array file, truncated, a pickle; or the model has several inputs.
    """
    if len(inputs) > 1:
        message = f"is one array, the model has the inputs {_names(inputs)}; give a .npz"
        raise DataError(message)
    with path.open("rb") as file:
        start = file.read(8)
        if not start.startswith(numpy_format.MAGIC_PREFIX):
            raise DataError(_not_numpy(start, "array (.npy)"))
        file.seek(0)
        _check_header(file, path.stem)
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except _BROKEN as error:
        message = f"is truncated or damaged ({first_line(error)}); save it again"
        raise DataError(message) from None
    return _source({inputs[0].name: array}, None)


def read_npz(path: Path, inputs: Sequence[TensorSpec], split: str | None) -> Source:
    """The arrays of a ``.npz`` file that belong to `inputs`, and the labels.

    An array belongs to an input by its name; with one input also by ``x`` (or ``images``, …). With
    `split`, names have it behind or before: ``x_train``, ``train_x``, ``image_train``. Labels are
    called ``y`` (or ``labels``, …) in the same way. Arrays that nobody named (``arr_0``, ``arr_1``)
    are samples and labels. The only split there is need not be named.

    Raises:
        DataError: not a .npz, damaged, a pickle, or no array for an input (it lists what there is).
    """
    chosen, labels = read_arrays(path, inputs, split)
    return _source(chosen, labels)


def read_arrays(
    path: Path, inputs: Sequence[TensorSpec], split: str | None = None
) -> tuple[dict[str, Array], Array | None]:
    """The array of each input as it is in the file, and the labels; see `read_npz`.

    Raises:
        DataError: as `read_npz`.
    """
    with path.open("rb") as file:
        start = file.read(8)
    if not zipfile.is_zipfile(path):
        raise DataError(_not_numpy(start, "archive of arrays (.npz)"))
    try:
        with zipfile.ZipFile(path) as archive:
            names = [
                name.removesuffix(".npy") for name in archive.namelist() if name.endswith(".npy")
            ]
            chosen, labels = _choose(names, inputs, split)
            for name in {*chosen.values(), *([labels] if labels else [])}:
                with archive.open(f"{name}.npy") as member:
                    _check_header(member, name)
        with np.load(path, allow_pickle=False) as arrays:
            columns = {given: arrays[name] for given, name in chosen.items()}
            return columns, arrays[labels] if labels else None
    except _BROKEN as error:
        message = f"is truncated or damaged ({first_line(error)}); save it again"
        raise DataError(message) from None


def _source(columns: dict[str, Array], labels: Array | None) -> Source:
    for name, array in columns.items():
        if array.ndim == 0:
            message = f"the array for {name!r} is a single number; give (samples, …)"
            raise DataError(message)
    if labels is not None and labels.ndim == 0:
        message = "the labels are a single number; give one a sample"
        raise DataError(message)
    return Source(
        columns={name: ArrayColumn(array) for name, array in columns.items()},
        labels=None if labels is None else tidy_labels(labels),
    )


def _check_header(file: IO[bytes], name: str) -> None:
    """Refuse pickles, and arrays larger than this machine's memory, before anything is read."""
    try:
        version = numpy_format.read_magic(file)
        read = (
            numpy_format.read_array_header_1_0
            if version == (1, 0)
            else numpy_format.read_array_header_2_0
        )
        shape, _, dtype = read(file)
    except _BROKEN as error:
        message = f"array {name!r} is truncated or damaged ({first_line(error)}); save it again"
        raise DataError(message) from None
    if dtype.hasobject:
        message = f"array {name!r} {_PICKLE}"
        raise DataError(message)
    size = dtype.itemsize
    for length in shape:
        size *= length
    if size > physical_memory_bytes():
        message = (
            f"array {name!r} of {shape} takes {size / 2**30:.1f} GiB, more than this machine has; "
            "save fewer samples"
        )
        raise DataError(message)


def _choose(
    names: Sequence[str], inputs: Sequence[TensorSpec], split: str | None
) -> tuple[dict[str, str], str | None]:
    """Which array is for which input, and which holds the labels."""
    if not split and len(inputs) == 1 and set(names) in ({"arr_0"}, {"arr_0", "arr_1"}):
        return {inputs[0].name: "arr_0"}, "arr_1" if "arr_1" in names else None
    if not split and len(inputs) == 1 and len(splits := _splits(names)) == 1:
        split = None if _find(names, (inputs[0].name, *_SAMPLE_WORDS), None) else splits[0]
    chosen: dict[str, str] = {}
    missing: list[str] = []
    for spec in inputs:
        words = (spec.name, *(_SAMPLE_WORDS if len(inputs) == 1 else ()))
        found = _find(names, words, split)
        if found is None:
            missing.append(spec.name)
        else:
            chosen[spec.name] = found
    if missing:
        raise DataError(_no_array(names, inputs, missing, split))
    labels = _find([name for name in names if name not in chosen.values()], _LABEL_WORDS, split)
    return chosen, labels


def _find(names: Iterable[str], words: Sequence[str], split: str | None) -> str | None:
    """The first of `words`, with the split, that is a name; exactly, else in any case."""
    wanted = [
        form
        for word in words
        for form in ([f"{word}_{split}", f"{split}_{word}"] if split else [word])
    ]
    exact = set(names)
    folded = {name.casefold(): name for name in sorted(exact, reverse=True)}
    for form in wanted:
        if form in exact:
            return form
    return next((folded[form.casefold()] for form in wanted if form.casefold() in folded), None)


def _splits(names: Iterable[str]) -> list[str]:
    found = set()
    for name in names:
        before, _, after = name.partition("_")
        if after and before.casefold() in _SAMPLE_WORDS:
            found.add(after)
        before, _, after = name.rpartition("_")
        if before and after.casefold() in _SAMPLE_WORDS:
            found.add(before)
    return sorted(found)


def _no_array(
    names: Sequence[str], inputs: Sequence[TensorSpec], missing: Sequence[str], split: str | None
) -> str:
    has = ", ".join(names) or "no arrays"
    wanted = [f"{name}_{split}" if split else name for name in missing]
    if len(inputs) == 1:
        wanted.append(f"x_{split}" if split else "x")
    splits = _splits(names)
    if splits and len(inputs) == 1:
        what = f"has no split {split!r}" if split else "has splits"
        return f"{what} (it has: {has}); choose one: {', '.join(':' + name for name in splits)}"
    named = " or ".join(dict.fromkeys(wanted))
    return f"has no array for {', '.join(missing)} (it has: {has}); name it {named}"


def _names(inputs: Sequence[TensorSpec]) -> str:
    return ", ".join(spec.name for spec in inputs)


def _not_numpy(start: bytes, wanted: str) -> str:
    if not start:
        return "is empty; save the data again"
    if start[:1] == b"\x80" and start[1:2] <= b"\x05":
        return _PICKLE
    if start.startswith(b"PK"):
        return "is truncated or damaged; save it again"
    if start.startswith(numpy_format.MAGIC_PREFIX):
        return "is a single array; call it .npy"
    return f"is no NumPy {wanted}; save it with numpy.savez"
