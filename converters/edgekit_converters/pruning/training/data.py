"""Data to fine-tune with: samples with labels, parted for training, validation and the verdict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.data import Dataset, open_data
from edgekit.data_checks import PixelRange, check
from edgekit.data_source import ArrayColumn, Source
from edgekit.errors import DataError
from edgekit.preprocess import Preprocess, decided, for_inputs
from edgekit.quote import first_line
from edgekit.task import class_numbers, match_classes
from edgekit.tensors import TensorSpec
from edgekit_converters.pruning.training.overlap import check_places, check_samples
from edgekit_converters.samples import check_finite, save_rows

Array = NDArray[Any]
Rows = NDArray[np.intp]

FEWEST = 10
"""Samples below which there is nothing to learn from, once some are set aside."""
TEST_SHARE = 0.2
VALIDATION_SHARE = 0.1
_CHECKED = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingData:
    """Samples of a model with labels; which to learn from, which to stop by, which to judge by."""

    dataset: Dataset
    """Of training and validation."""
    train: Rows
    validation: Rows
    tested: Dataset
    """Of the verdict: the same data, or those that were given for it."""
    test: Rows
    """Rows of `tested`; none of them is in `train` or `validation`."""
    preprocess: Mapping[str, Preprocess]
    """By input name: what was done to the data."""
    warnings: tuple[str, ...] = ()

    @classmethod
    def open(
        cls,
        text: str,
        inputs: Sequence[TensorSpec],
        preprocess: Sequence[str] = (),
        *,
        test: str | None = None,
        seed: int = 0,
        pixel_range: PixelRange | None = None,
    ) -> TrainingData:
        """Open what `text` names, look at some of it, and part it.

        A tenth validates. Without `test`, a fifth of all samples is set aside for it before
        anything else. Every class has its share of each part; one `seed` parts them one way.

        Args:
            text: the data, in the syntax of `edgekit.data`.
            inputs: of the model, batch first.
            preprocess: texts as on the command line.
            test: data for the verdict alone.
            seed: of the parting.
            pixel_range: what the model takes, as `edgekit.data_checks.check` wants it.

        Raises:
            DataError: random numbers, no labels, too few samples, samples that do not fit, or a
                class that is only in `test`.
            UsageError: `preprocess` names an unknown input or step; `test` is `text` again, or a
                copy of it.
        """
        if test is not None:
            check_places(text, test)
        steps = for_inputs(preprocess, inputs)
        dataset, warnings = _open("--data", text, inputs, steps, pixel_range)
        rows = np.arange(len(dataset), dtype=np.intp)
        if test is None:
            judged = _share(dataset, rows, TEST_SHARE, seed)
            tested, rows = dataset, np.setdiff1d(rows, judged)
        else:
            tested, more = _open("--test", test, inputs, steps, pixel_range)
            warnings += more + check_samples(dataset, tested)
            _order(tested, dataset)
            judged = np.arange(len(tested), dtype=np.intp)
        validation = _share(dataset, rows, VALIDATION_SHARE, seed)
        return cls(
            dataset=dataset,
            train=np.setdiff1d(rows, validation),
            validation=validation,
            tested=tested,
            test=judged,
            preprocess=steps,
            warnings=warnings,
        )

    @property
    def text(self) -> str:
        """What names the data."""
        return self.dataset.text

    @property
    def labels(self) -> Array:
        """Of all samples of `dataset`, as the data has them: ``(samples, …)``."""
        assert self.dataset.labels is not None
        return self.dataset.labels

    def samples(self, rows: Sequence[int] | Rows) -> tuple[Array, ...]:
        """The samples at `rows` for each input, in their order: ``(len(rows), …)``.

        Raises:
            DataError: one cannot be read, or has NaN or infinite values.
        """
        made = self.dataset.batch(rows)
        for name, array in made.items():
            check_finite(array, self.text, name, np.asarray(rows))
        return tuple(made[spec.name] for spec in self.dataset.inputs)

    def save_test(self, path: Path) -> Path:
        """Write the samples of the verdict, prepared, and their labels: an ``.npz`` like any DATA.

        Whoever reads it gives ``--preprocess none``, since the samples went through it already.
        Classes have the numbers that training gave them, by name: a folder may lack some.

        Raises:
            DataError: one cannot be read.
        """
        names = [spec.name for spec in self.tested.inputs]
        called = next(word for word in ("y", "labels", "targets") if word not in names)
        labels = self.tested.labels
        assert labels is not None
        order = _order(self.tested, self.dataset)
        if order is not None:
            labels = class_numbers(labels, None, order)
        save_rows(self.tested, self.test, path, {called: labels[self.test]})
        return path


def _open(
    option: str,
    text: str,
    inputs: Sequence[TensorSpec],
    steps: Mapping[str, Preprocess],
    pixel_range: PixelRange | None,
) -> tuple[Dataset, tuple[str, ...]]:
    dataset = open_data(text, inputs, preprocess=steps)
    if dataset.is_random:
        message = f"{option} {text}: nothing can be learned from random numbers; give real samples"
        raise DataError(message)
    purpose = "fine-tuning" if option == "--data" else "the verdict"
    if dataset.labels is None:
        message = (
            f"{text}: has no labels, and {purpose} needs them; "
            "add an array y, a column label, or a sub-folder for each class"
        )
        raise DataError(message)
    if len(dataset) < FEWEST:
        message = (
            f"{text}: has {len(dataset)} samples, and {purpose} needs at least {FEWEST}; give more"
        )
        raise DataError(message)
    return dataset, check_some(dataset, inputs, steps, pixel_range)


def _order(tested: Dataset, trained: Dataset) -> list[int] | None:
    """The number in `trained` of each class of `tested`; None where classes have no names."""
    try:
        return match_classes(tested.class_names, trained.class_names or ())
    except DataError as error:
        message = f"--test {tested.text}: {first_line(error)}"
        raise DataError(message) from error


def check_some(
    dataset: Dataset,
    inputs: Sequence[TensorSpec],
    steps: Mapping[str, Preprocess],
    pixel_range: PixelRange | None,
) -> tuple[str, ...]:
    """Look at samples from all over `dataset`, and say what may be wrong with them.

    Raises:
        DataError: they do not fit the model.
    """
    chosen = np.unique(np.linspace(0, len(dataset) - 1, _CHECKED).astype(np.intp))
    return check(
        dataset.batch(chosen),
        inputs,
        purpose="evaluation",
        pixel_range=pixel_range,
        preprocess_was_given=decided(steps) if pixel_range is not None else True,
        labels=dataset.labels,
        source=dataset.text,
    )


def _share(dataset: Dataset, rows: Rows, share: float, seed: int) -> Rows:
    """So many of `rows`, with each class in proportion."""
    assert dataset.labels is not None
    part = Dataset(
        text=dataset.text,
        inputs=(),
        source=Source(columns={"rows": ArrayColumn(rows)}, labels=dataset.labels[rows]),
        preprocess={},
    )
    count = max(1, round(len(rows) * share))
    return np.sort(rows[part.choose(count, seed=seed)])
