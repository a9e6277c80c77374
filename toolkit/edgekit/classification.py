"""What is in a picture: `Model.classify`.

A picture goes the way it went for calibration and evaluation, through `Preprocess.apply_pixels`,
whatever form the app has it in.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from edgekit.errors import DataError, UsageError, VerificationError
from edgekit.picture import prepare_picture, steps_for
from edgekit.tensors import TensorSpec
from edgekit.told import wrong_count
from edgekit.whole import whole

if TYPE_CHECKING:
    from PIL.Image import Image as PillowImage

    from edgekit.model import Model
    from edgekit.serving import Serving

Array = NDArray[Any]
Image: TypeAlias = "str | os.PathLike[str] | bytes | PillowImage | Array"


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """A class that a picture may be of."""

    label: str
    """Its name; its number where the file has no names and none were given."""
    score: float
    """What the model gives for it: a probability if it ends in a softmax or sigmoid."""
    index: int
    """Its number, counted from 0."""


def classify(model: Model, image: Image, top: int = 5) -> list[Prediction]:
    """The `top` likeliest classes of a picture, the likeliest first; see `Model.classify`.

    A model with one score, the probability of the second of two classes, gives both classes.

    Raises:
        DataError: no image, or the model takes none, or its output is no score for each class; or
            nobody said how pictures become its input.
        UsageError: `top` is no whole number from 1 on.
        VerificationError: the model fails, or gives NaN.
        ClosedError: the model was closed.
    """
    count = whole(top)
    if count is None or count < 1:
        message = f"top={top!r}: not a number of classes; give 1 or more"
        raise UsageError(message)
    while True:
        serving = model._serving
        sample = _prepared(serving, image)
        made = model(sample)
        if model._serving is serving:
            return rank(serving, made, count)
        # the file was swapped meanwhile: the new one may prepare pictures in another way


def _prepared(serving: Serving, image: Image) -> Array:
    """The picture as the only input of the model takes it, with a batch dimension of 1."""
    if len(serving.inputs) != 1:
        names = ", ".join(spec.name for spec in serving.inputs) or "none"
        message = f"{serving.name}: has the inputs {names}; prepare an array for each and call run"
        raise DataError(message)
    spec = serving.inputs[0]
    steps = steps_for(spec, serving.inputs, serving.preprocess)
    return prepare_picture(image, spec, steps, serving.name)


def rank(serving: Serving, made: Array | dict[str, Array], top: int) -> list[Prediction]:
    """The `top` highest scores of the results of one picture, equal ones in the order of classes.

    Raises:
        DataError: no output is scores; more or fewer scores than labels.
        VerificationError: NaN among the scores.
    """
    labels = serving.labels
    spec, scores = _scores(serving, made)
    if scores.dtype.kind == "b" or (scores.size == 1 and scores.dtype.kind in "iu"):
        message = (
            f"{serving.name}: output {spec.name!r} is {spec.dtype}, a decision and no score for "
            "each class; call the model itself"
        )
        raise DataError(message)
    scores = scores.astype(np.float64)
    if np.isnan(scores).any():
        message = (
            f"{serving.name}: output {spec.name!r} is NaN for this picture; check how pictures are "
            "prepared, or make the file in another precision"
        )
        raise VerificationError(message)
    if scores.size == 1 and len(labels) != 1:
        scores = _both(serving.name, spec, float(scores[0]))
    if labels and len(labels) != scores.size:
        raise wrong_count(labels, spec, scores.size, serving.name)
    order = np.argsort(-scores, kind="stable")[:top]
    return [
        Prediction(
            label=labels[index] if labels else str(index),
            score=float(scores[index]),
            index=int(index),
        )
        for index in order
    ]


def _both(name: str, spec: TensorSpec, score: float) -> Array:
    if not 0 <= score <= 1:
        message = (
            f"{name}: output {spec.name!r} is one number, {score:.6g}, and no probability; call "
            "the model itself, or end it with a sigmoid"
        )
        raise DataError(message)
    return np.array([1 - score, score])


def _scores(serving: Serving, made: Array | dict[str, Array]) -> tuple[TensorSpec, Array]:
    """The output that has a score for each class, and its values in one dimension."""
    named = made if isinstance(made, dict) else {serving.outputs[0].name: made}
    fitting = list(serving.outputs)
    if len(fitting) > 1:
        count = len(serving.labels)
        fitting = [s for s in fitting if _is_vector(named[s.name]) and named[s.name].size == count]
    if len(fitting) != 1:
        shown = "; ".join(f"{s.name}: {named[s.name].shape}" for s in serving.outputs)
        what = "no output has" if not fitting else "several outputs have"
        message = (
            f"{serving.name}: {what} a score for each of its {len(serving.labels)} labels "
            f"({shown}); call run, or load it with other labels"
        )
        raise DataError(message)
    values = named[fitting[0].name]
    if not _is_vector(values) or values.dtype.kind not in "biuf":
        message = (
            f"{serving.name}: output {fitting[0].name!r} is {values.dtype} of shape "
            f"{values.shape}, not one score for each class; call the model itself"
        )
        raise DataError(message)
    return fitting[0], values.reshape(-1)


def _is_vector(values: Array) -> bool:
    return values.size > 0 and values.size == max(values.shape, default=1)
