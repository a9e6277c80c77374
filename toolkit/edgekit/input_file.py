"""One input of ``edgekit run``: an image, arrays, a sound, a table, or numbers.

| INPUT | what it is |
| --- | --- |
| `photo.jpg` | an image, prepared as `Model.classify` does |
| `x.npy`, `x.npz`, `x.npz:test` | an array; arrays named after the inputs, or `x`; a split |
| `word.wav` | a sound for a model that takes samples: cut, or filled up with silence |
| `rows.csv` | a header, and a run for each line |
| `ids.txt` | numbers: all for one run, or those of a run in each line |
| `0.5`, `12,7,9` | the numbers themselves, where there is no such file |

Before any of them may stand the name of an input: ``image=photo.jpg``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.data_csv import read_csv
from edgekit.data_images import IMAGE_SUFFIXES
from edgekit.data_npz import read_arrays, read_npy
from edgekit.data_source import ArrayColumn
from edgekit.data_wav import read_wav
from edgekit.errors import DataError
from edgekit.input_array import InputColumn, column
from edgekit.input_names import is_there
from edgekit.input_numbers import parse_numbers, text_numbers
from edgekit.picture import has_no_batch, prepare_picture, steps_for
from edgekit.preprocess import Preprocess
from edgekit.tensors import TensorSpec

Array = NDArray[Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Interface:
    """What has to be known of a model to read its inputs."""

    name: str
    inputs: tuple[TensorSpec, ...]
    preprocess: Mapping[str, Preprocess]

    def spec(self, name: str) -> TensorSpec:
        """The input called `name`."""
        return next(spec for spec in self.inputs if spec.name == name)

    def steps(self, spec: TensorSpec) -> Preprocess | None:
        """How `spec` is prepared; None where nobody said."""
        return steps_for(spec, self.inputs, self.preprocess)


@dataclass(frozen=True, slots=True, kw_only=True)
class Samples:
    """What one INPUT, or one for each input of the model, has for it."""

    columns: Mapping[str, InputColumn]
    notes: tuple[str, ...] = ()

    @property
    def count(self) -> int:
        """How many there are; what is single goes with each of the others."""
        return max(len(column) for column in self.columns.values())

    def take(self, start: int, stop: int) -> dict[str, Array]:
        """What the model is given for the samples from `start` to `stop`.

        Raises:
            DataError: they are not what an input takes.
        """
        return {name: column.take(start, stop) for name, column in self.columns.items()}


def read_inputs(texts: Mapping[str | None, str], model: Interface) -> Samples:
    """Read what `grouped` put together.

    Raises:
        DataError: missing, unreadable, or not what the input takes; the message names the file.
    """
    parts = [_read_one(name, text, model) for name, text in texts.items()]
    columns = {name: column for part in parts for name, column in part.columns.items()}
    counts = {name: len(column) for name, column in columns.items() if len(column) > 1}
    if len(set(counts.values())) > 1:
        told = ", ".join(f"{name}: {count}" for name, count in counts.items())
        message = f"inputs: different numbers of samples ({told}); make them equal"
        raise DataError(message)
    return Samples(columns=columns, notes=tuple(note for part in parts for note in part.notes))


def _read_one(name: str | None, text: str, model: Interface) -> Samples:
    specs = model.inputs if name is None else (model.spec(name),)
    try:
        return _read(text, specs, model)
    except DataError as error:
        told = str(error)
        has_subject = told.startswith((text or ":", f"{model.name}: "))
        raise (error if has_subject else DataError(f"{text or repr(text)}: {told}")) from None
    except PermissionError:
        message = f"{text}: no permission to read it; change its permissions"
        raise DataError(message) from None
    except IsADirectoryError:
        message = f"{text}: is a folder; give the files in it, {text.rstrip('/')}/*"
        raise DataError(message) from None


def _read(text: str, specs: Sequence[TensorSpec], model: Interface) -> Samples:
    path, split = Path(text), None
    if not is_there(text):
        head, _, tail = text.rpartition(":")
        if head.lower().endswith(".npz") and is_there(head):
            path, split = Path(head), tail
        elif (numbers := parse_numbers(text)) is not None:
            return _from_numbers(numbers, _only(specs, "numbers"), model)
        else:
            message = "no such file; check the path"
            raise DataError(message)
    kind = _kind(path)
    if kind == "npz":
        return _from_arrays(read_arrays(path, specs, split)[0], specs, model)
    if kind == "csv":
        columns = read_csv(path, specs).columns
        arrays = {n: c.array for n, c in columns.items() if isinstance(c, ArrayColumn)}
        return _from_arrays(arrays, specs, model)
    if kind == "npy":
        columns = read_npy(path, specs).columns
        arrays = {n: c.array for n, c in columns.items() if isinstance(c, ArrayColumn)}
        return _from_arrays(arrays, specs, model)
    if kind == "wav":
        return _from_sound(path, _only(specs, "a sound"), model)
    if kind == "numbers":
        return _from_numbers(text_numbers(path), _only(specs, "numbers"), model)
    spec = _only(specs, "an image")
    sample = prepare_picture(path, spec, model.steps(spec), model.name)
    whole = sample[np.newaxis] if has_no_batch(spec) else sample
    found = InputColumn(
        spec=spec, steps=None, samples=whole, is_prepared=True, has_batch=not has_no_batch(spec)
    )
    return Samples(columns={spec.name: found})


def _kind(path: Path) -> str:
    """What a file is: by its name, else by how it begins."""
    name = path.name.lower()
    with path.open("rb") as file:
        start = file.read(512)
    if not start:
        message = "is empty; make it again"
        raise DataError(message)
    for kind, suffixes in (
        ("npy", (".npy",)),
        ("npz", (".npz",)),
        ("csv", (".csv", ".csv.gz")),
        ("wav", (".wav", ".wave")),
        ("numbers", (".txt",)),
        ("image", IMAGE_SUFFIXES),
    ):
        if name.endswith(suffixes):
            return kind
    if start.startswith(b"\x93NUMPY"):
        return "npy"
    if start.startswith(b"PK\x03\x04"):
        return "npz"
    if start.startswith(b"RIFF") and start[8:12] == b"WAVE":
        return "wav"
    is_numbers = set(start) <= set(b"0123456789+-.eE,;[]() \t\r\n")
    return "numbers" if is_numbers else "image"


def _only(specs: Sequence[TensorSpec], what: str) -> TensorSpec:
    if len(specs) == 1:
        return specs[0]
    names = [spec.name for spec in specs]
    message = (
        f"is {what}, the model has the inputs {', '.join(names)}; write "
        f"{' '.join(f'{name}=FILE' for name in names)}, or give a .npz"
    )
    raise DataError(message)


# ---- arrays -----------------------------------------------------------------


def _from_arrays(
    arrays: Mapping[str, Array], specs: Sequence[TensorSpec], model: Interface, *notes: str
) -> Samples:
    columns = {
        spec.name: column(np.asarray(arrays[spec.name]), spec, model.steps(spec)) for spec in specs
    }
    doubts = [column.doubt for column in columns.values() if column.doubt]
    return Samples(columns=columns, notes=(*notes, *doubts))


# ---- sounds and numbers -----------------------------------------------------


def _from_sound(path: Path, spec: TensorSpec, model: Interface) -> Samples:
    shape = spec.shape[1:] or spec.shape
    if not (len(shape) == 1 or (len(shape) == 2 and shape[1] in (1, None))):
        message = (
            f"is a sound, the input {spec.name!r} takes {tuple(shape)} a sample, not (length,) or "
            "(length, 1); give what the model takes (spectrograms?) as .npy"
        )
        raise DataError(message)
    sound, rate_hz = read_wav(path)
    length, notes = shape[0], []
    if length is not None and len(sound) > length:
        notes.append(
            f"{path}: only the first {length / rate_hz:.3g} of {len(sound) / rate_hz:.3g} s are "
            "used; edgekit.load(…).stream() takes window after window"
        )
    if length is not None:
        sound = np.pad(sound[:length], (0, max(0, length - len(sound))))
    array = sound[:, np.newaxis] if len(shape) == 2 else sound
    return _from_arrays({spec.name: array}, (spec,), model, *notes)


def _from_numbers(lines: list[list[float]], spec: TensorSpec, model: Interface) -> Samples:
    """All of them as one sample where they are as many as it takes; else a sample a line."""
    if len(spec.shape) < 2:
        whole = np.array([value for line in lines for value in line])
        array = whole.reshape(()) if not spec.shape and whole.size == 1 else whole
        return _from_arrays({spec.name: array}, (spec,), model)
    wanted = spec.shape[1:]
    total = sum(map(len, lines))
    sizes = [size for size in wanted if size is not None]
    size = math.prod(sizes) if len(sizes) == len(wanted) else None
    one_each = all(len(line) == 1 for line in lines)
    if size == total or (size is None and one_each):
        lines = [[value for line in lines for value in line]]
    short = next((line for line in lines if size is not None and len(line) != size), None)
    if short is not None:
        message = f"has {len(short)} numbers, the input {spec.name!r} takes {size}; give as many"
        raise DataError(message)
    if len({len(line) for line in lines}) > 1:
        message = "has lines of different lengths; give each as a file of its own"
        raise DataError(message)
    array = np.array(lines)
    if size is not None:
        array = array.reshape(len(lines), *sizes)
    return _from_arrays({spec.name: array}, (spec,), model)
