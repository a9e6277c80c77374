"""What models are fed while they are measured: real inputs, or made-up ones that are called so.

With ``--input`` these are samples of the user's data, prepared as the files say. Without it, the
golden cases that a file carries, which were real once; else nothing, and the worker makes numbers
up.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit import golden
from edgekit.data import open_data
from edgekit.data_images import ImageColumn
from edgekit.errors import DataError, SourceError
from edgekit.preprocess import Preprocess, for_inputs
from edgekit.tensors import TensorSpec
from edgekit_benchmarks.model_file import ModelFile
from edgekit_benchmarks.result import InputRecord

Arrays = Mapping[str, NDArray[Any]]

_SAMPLES = 16
_MOST_BYTES = 32 << 20
"""Of one file's inputs: they travel to the device."""
RANDOM = InputRecord(source="random", random=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Feed:
    """The inputs of one file."""

    record: InputRecord
    path: Path | None = None
    """An .npz with an array ``(n, *input shape)`` or ``(n, *sample shape)`` for each input; None
    lets the worker make numbers up."""
    pictures: tuple[Path, ...] = ()
    """The image files that became these inputs, if they were some."""
    steps: tuple[tuple[str, str], ...] = ()
    """How pictures were prepared, by input."""


class FeedMaker:
    """Writes the inputs of files into a folder; equal ones share a file."""

    def __init__(
        self,
        files: Sequence[ModelFile],
        data: str | None,
        preprocess: tuple[str, ...],
        folder: Path,
    ) -> None:
        """Nothing is read yet.

        Args:
            files: all that are measured together: they lend each other what they know.
            data: a data source as on the command line.
            preprocess: texts as on the command line.
            folder: where to write.
        """
        self._files = files
        self._data = data
        self._preprocess = preprocess
        self._folder = folder

    def feed(self, file: ModelFile) -> Feed:
        """The inputs of one of the files.

        Raises:
            DataError: the data cannot be read, or do not fit it.
            UsageError: data or preprocessing in no known form.
            SourceError: the golden cases in a manifest are damaged.
        """
        if self._data is not None:
            return self._from_data(file, self._data)
        found = self._from_golden(file)
        if found is None:
            return Feed(record=RANDOM)
        arrays, lender = found
        return self._written(arrays, f"golden inputs of {lender.path.name}", is_random=False)

    def _from_data(self, file: ModelFile, data: str) -> Feed:
        inputs = file.inputs or self._lent_inputs(file)
        steps = self.steps(file, inputs)
        dataset = open_data(data, inputs, preprocess=steps)
        batch = max([1, *(spec.shape[0] or 1 for spec in inputs if spec.shape)])
        one = dataset.batch([0])
        fitting = max(1, _MOST_BYTES // max(1, sum(array.nbytes for array in one.values())))
        count = max(batch, min(_SAMPLES, fitting) // batch * batch)
        if len(dataset) < batch:
            message = (
                f"{data}: has {len(dataset)} samples, {file.path.name} takes {batch} at once; "
                "give more"
            )
            raise DataError(message)
        chosen = dataset.choose(min(count, len(dataset)))
        feed = self._written(dataset.batch(chosen), data, is_random=dataset.is_random)
        column = dataset.source.columns[inputs[0].name]
        if not isinstance(column, ImageColumn):
            return feed
        return replace(
            feed,
            pictures=tuple(column.paths[index] for index in chosen),
            steps=tuple((name, str(step)) for name, step in steps.items()),
        )

    def _lent_inputs(self, file: ModelFile) -> tuple[TensorSpec, ...]:
        for other in self._files:
            if other.inputs:
                return other.inputs
        message = (
            f"{file.path}: its inputs are not known before it is built; bench it together with "
            "a converted file, or without input data (--input)"
        )
        raise DataError(message)

    def steps(self, file: ModelFile, inputs: Sequence[TensorSpec]) -> dict[str, Preprocess]:
        """How data becomes input: as asked, else as the file says, else as another one says.

        Raises:
            UsageError: the texts are for other inputs.
            SourceError: what a manifest says is damaged.
        """
        if self._preprocess:
            return for_inputs(self._preprocess, inputs)
        names = {spec.name for spec in inputs}
        for lender in (file, *self._files):
            stored = _stored_steps(lender)
            if len(stored) == len(inputs) == 1:
                return {inputs[0].name: next(iter(stored.values()))}
            if stored and set(stored) <= names:
                return stored
        return {}

    def _from_golden(self, file: ModelFile) -> tuple[Arrays, ModelFile] | None:
        """Of the first file that has some for the same inputs, so that all get the same."""
        for lender in self._files:
            if not _alike(lender.inputs, file.inputs):
                continue
            cases = golden.cases(lender.manifest, str(lender.path))
            if not cases:
                continue
            try:
                arrays = {
                    spec.name: np.stack([case.inputs[spec.name].values() for case in cases])
                    for spec in lender.inputs
                }
            except (KeyError, ValueError) as error:
                message = f"{lender.path}: its golden cases are damaged ({error}); convert it again"
                raise SourceError(message) from None
            if all(_takes(spec, arrays[spec.name]) for spec in file.inputs):
                return arrays, lender
        return None

    def _written(self, arrays: Arrays, source: str, *, is_random: bool) -> Feed:
        digest = hashlib.sha256()
        for name in sorted(arrays):
            array = np.ascontiguousarray(arrays[name])
            digest.update(f"{name}\0{array.dtype.str}\0{array.shape}\0".encode())
            digest.update(array.tobytes())
        sha256 = digest.hexdigest()
        path = self._folder / f"{sha256[:16]}.npz"
        if not path.exists():
            np.savez(path, allow_pickle=False, **arrays)
        return Feed(path=path, record=InputRecord(source=source, sha256=sha256, random=is_random))


def _stored_steps(file: ModelFile) -> dict[str, Preprocess]:
    stored = file.manifest.get("preprocess")
    if not isinstance(stored, dict):
        return {}
    return {str(name): Preprocess.from_dict(steps) for name, steps in stored.items()}


def _alike(one: Sequence[TensorSpec], other: Sequence[TensorSpec]) -> bool:
    """The same names and shapes, whatever numbers the files store."""
    return bool(one) and [(spec.name, spec.shape) for spec in one] == [
        (spec.name, spec.shape) for spec in other
    ]


def _takes(spec: TensorSpec, array: NDArray[Any]) -> bool:
    if array.dtype.name == spec.dtype:
        return True
    return array.dtype.kind == "f" and (spec.quantization is not None or spec.dtype[:5] == "float")
