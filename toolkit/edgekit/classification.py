"""What is in a picture: `Model.classify`.

A picture goes the way it went for calibration and evaluation, through `Preprocess.apply_pixels`,
whatever form the app has it in.
"""

from __future__ import annotations

import os
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from edgekit import pixels
from edgekit.errors import DataError, UsageError, VerificationError
from edgekit.picture import read_picture
from edgekit.preprocess import Preprocess
from edgekit.tensors import TensorSpec

if TYPE_CHECKING:
    from PIL.Image import Image as PillowImage

    from edgekit.model import Model
    from edgekit.serving import Serving

Array = NDArray[Any]
Image: TypeAlias = "str | os.PathLike[str] | bytes | PillowImage | Array"

_AS_STORED = ((0.0, 1.0), (-1.0, 1.0), (0.0, 255.0), (-128.0, 127.0))
"""Ranges of real numbers for which an 8-bit input takes the bytes of a picture as they are."""
_NEAR = 0.03
"""Of the width of such a range: 128 is used where 127.5 is meant."""
_DIVIDES_BY = 64
"""Steps that divide pixels by this or more bring them to about 1."""


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
        UsageError: `top` is less than 1.
        VerificationError: the model fails, or gives NaN.
        ClosedError: the model was closed.
    """
    if top < 1:
        message = f"top={top}: not a number of classes; give 1 or more"
        raise UsageError(message)
    while True:
        serving = model._serving
        sample = prepare(serving, image)
        made = model(sample)
        if model._serving is serving:
            return rank(serving, made, top)
        # the file was swapped meanwhile: the new one may prepare pictures in another way


def prepare(serving: Serving, image: Image) -> Array:
    """The picture as the only input of the model takes it, with a batch dimension of 1.

    Raises:
        DataError: as `classify`.
    """
    if len(serving.inputs) != 1:
        names = ", ".join(spec.name for spec in serving.inputs) or "none"
        message = f"{serving.name}: has the inputs {names}; prepare an array for each and call run"
        raise DataError(message)
    spec = serving.inputs[0]
    steps = _stored_steps(serving, spec)
    as_stored = steps is None and _takes_bytes(spec)
    if steps is None and not as_stored and not _takes_whole_numbers(spec):
        message = (
            f"{serving.name}: does not say how the pixels of a picture become its input "
            f"{spec.name!r}; load it with preprocess='scale=1/255' or '-1..1', or with 'none' if "
            "it takes them from 0 to 255"
        )
        raise DataError(message)
    picture = read_picture(image, pixels.image_layout(spec.shape[1:])[2])
    steps = steps or Preprocess()
    if picture.dtype != np.uint8 and (as_stored or _divides(steps)):
        _check_scaled(picture, steps)
    sample = steps.apply_pixels(picture, spec)[np.newaxis]
    if not as_stored:
        return sample
    stored = np.rint(np.clip(sample, 0, 255)).astype(np.uint8)
    return stored if spec.dtype == "uint8" else (stored ^ 0x80).view(np.int8)


def _stored_steps(serving: Serving, spec: TensorSpec) -> Preprocess | None:
    """What the file or the caller of `load` says; what is for a single input is for this one."""
    found = serving.preprocess
    if spec.name in found or len(found) != 1:
        return found.get(spec.name)
    return next(iter(found.values()))


def _takes_bytes(spec: TensorSpec) -> bool:
    """Whether an 8-bit input is quantized so that a picture's bytes are what it stores."""
    quantization = spec.quantization
    if quantization is None or spec.dtype not in ("uint8", "int8") or len(quantization.scale) != 1:
        return False
    scale, zero = quantization.scale[0], quantization.zero_point[0]
    first = 0 if spec.dtype == "uint8" else -128
    low, high = scale * (first - zero), scale * (first + 255 - zero)
    return any(
        max(abs(low - start), abs(high - end)) <= _NEAR * (end - start) for start, end in _AS_STORED
    )


def _takes_whole_numbers(spec: TensorSpec) -> bool:
    """Whether an input is of integers that stand for nothing but themselves, 255 among them."""
    return spec.quantization is None and "int" in spec.dtype and spec.dtype != "int8"


def _divides(steps: Preprocess) -> bool:
    for step in steps.steps:
        if step.name in ("0..1", "-1..1"):
            return True
        if step.name == "scale" and max(map(abs, step.values)) <= 1 / _DIVIDES_BY:
            return True
        if step.name == "std" and min(map(abs, step.values)) >= _DIVIDES_BY:
            return True
    return False


def _check_scaled(picture: Array, steps: Preprocess) -> None:
    low, high = float(picture.min()), float(picture.max())
    if low < 0 or 0 < high <= 1:
        told = f"from {low:.3g} to {high:.3g}"
        way = "as bytes" if steps.is_identity else f"with {steps}"
        warnings.warn(
            f"image: its pixels go {told}, and will be taken {way} as if they went from 0 to 255; "
            "give them so, or call the model itself on prepared arrays",
            stacklevel=5,
        )


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
        hint = f"load it with labels of {scores.size} classes"
        if scores.size == len(labels) + 1:
            hint += "; is a background class missing in front?"
        message = (
            f"{serving.name}: has {len(labels)} labels, and output {spec.name!r} gives "
            f"{scores.size} scores; {hint}"
        )
        raise DataError(message)
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
