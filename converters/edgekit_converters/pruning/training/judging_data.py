"""Data to judge a pruned model by where nothing is trained: ``--test`` without ``--data``."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edgekit.data import open_data
from edgekit.data_checks import PixelRange
from edgekit.errors import DataError
from edgekit.preprocess import for_inputs
from edgekit.tensors import TensorSpec
from edgekit_converters.pruning.training.data import TrainingData, check_some


def to_judge_by(
    text: str,
    inputs: Sequence[TensorSpec],
    preprocess: Sequence[str] = (),
    *,
    pixel_range: PixelRange | None = None,
) -> TrainingData:
    """Open what `text` names; all its samples are for the verdict, none to train on.

    Args:
        text: the data, in the syntax of `edgekit.data`.
        inputs: of the model, batch first.
        preprocess: texts as on the command line.
        pixel_range: what the model takes, as `edgekit.data_checks.check` wants it.

    Raises:
        DataError: no labels, or samples that do not fit.
        UsageError: `preprocess` names an unknown input or step.
    """
    steps = for_inputs(preprocess, inputs)
    dataset = open_data(text, inputs, preprocess=steps)
    if dataset.labels is None:
        message = (
            f"{text}: has no labels to score by; "
            "add an array y, a column label, or a sub-folder for each class"
        )
        raise DataError(message)
    rows = np.arange(len(dataset), dtype=np.intp)
    return TrainingData(
        dataset=dataset,
        train=rows[:0],
        validation=rows[:0],
        tested=dataset,
        test=rows,
        preprocess=steps,
        warnings=check_some(dataset, inputs, steps, pixel_range),
    )
