"""Preparing inputs: what turns data as it is stored into what the model was trained on.

    --preprocess scale=1/255
    --preprocess resize=96x96,-1..1
    --preprocess mean=0.485:0.456:0.406,std=0.229:0.224:0.225
    --preprocess image:scale=1/255 --preprocess tokens:none

Steps are separated by commas and run in the order written; the values of channels are separated
by colons; a model with several inputs takes one ``--preprocess NAME:…`` for each that needs one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edgekit import pixels
from edgekit.errors import DataError, UsageError
from edgekit.preprocess_step import (
    CALCULATING,
    SIZES,
    STEPS,
    Step,
    parse_step,
    run_step,
    step_from_dict,
)
from edgekit.tensors import TensorSpec

if TYPE_CHECKING:
    from PIL import Image

Array = NDArray[Any]

__all__ = ["STEPS", "Preprocess", "Step", "decided", "for_inputs", "parse_prefixed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Preprocess:
    """Steps that prepare one model input. Without steps, the data go in as they are.

    >>> str(Preprocess.parse("resize=96, scale=1/255"))
    'resize=96x96,scale=1/255'
    """

    steps: tuple[Step, ...] = ()

    def __post_init__(self) -> None:
        """Refuse an order that cannot be meant."""
        for first, second in zip(self.steps, self.steps[1:], strict=False):
            if (first.name, second.name) == ("std", "mean"):
                message = (
                    f"--preprocess {first},{second}: divides before it subtracts; "
                    f"write {second},{first}"
                )
                raise UsageError(message)

    def __str__(self) -> str:
        return ",".join(map(str, self.steps)) or "none"

    @property
    def is_identity(self) -> bool:
        """Whether it leaves the data alone."""
        return not self.steps

    @property
    def fixes_size(self) -> bool:
        """Whether a step decides height and width."""
        return any(step.name in SIZES for step in self.steps)

    @property
    def decides_values(self) -> bool:
        """Whether it says in what range values are: a step calculates, or it is ``none``."""
        return self.is_identity or any(step.name in CALCULATING for step in self.steps)

    @classmethod
    def parse(cls, text: str) -> Preprocess:
        """Read steps as they are written on the command line, without an input's name.

        Raises:
            UsageError: an unknown step or a value it cannot have; the message lists the steps.
        """
        parts = [part.strip() for part in text.split(",")]
        if parts == ["none"]:
            return cls()
        return cls(steps=tuple(parse_step(part, text) for part in parts))

    def apply(self, array: Array, spec: TensorSpec | None = None) -> NDArray[np.float32]:
        """Prepare one sample or a batch.

        Args:
            array: ``(height, width, channels)``, ``(height, width)``, ``(features,)`` or so, or the
                same with a batch dimension in front; channels first where `spec` says so.
            spec: the input it is for. Without it an array of rank 4 is a batch of pictures, and
                one of rank 3 is a single picture when it ends in 1, 3 or 4 channels.

        Returns:
            float32, a new array unless it was float32 and no step changed it.

        Raises:
            DataError: a step does not fit the array's channels or size.
        """
        array = np.asarray(array)
        if array.dtype.kind not in "biuf":
            message = f"--preprocess {self}: cannot prepare {array.dtype} values; give numbers"
            raise DataError(message)
        batched = _is_batch(array, spec)
        samples = array if batched else array[np.newaxis]
        first = spec is not None and pixels.is_channels_first(spec.shape[1:]) and samples.ndim == 4
        if first:
            samples = np.moveaxis(samples, 1, -1)
        for step in self.steps:
            samples = run_step(samples, step)
        if first:
            samples = np.moveaxis(samples, -1, 1)
        samples = samples if batched else samples[0]
        return samples.astype(np.float32, copy=False)

    def apply_image(self, image: Image.Image, spec: TensorSpec) -> NDArray[np.float32]:
        """Prepare a picture for the input `spec`: one sample, without the batch dimension.

        The picture is turned upright (EXIF), converted to the channel count of the input, and
        stretched to its height and width unless a step resizes or crops. See `pixels.decode`.

        Raises:
            DataError: the input takes no pictures, or the result does not have its shape.
        """
        _, _, channels = pixels.image_layout(spec.shape[1:])
        return self.apply_pixels(pixels.decode(image, channels), spec)

    def apply_pixels(self, picture: Array, spec: TensorSpec) -> NDArray[np.float32]:
        """What `apply_image` does to an image once it is decoded.

        Args:
            picture: ``(height, width, channels)``, uint8 or float, with the channels of the input.
            spec: the input it is for.

        Raises:
            DataError: the input takes no pictures, or the result does not have its shape.
        """
        sample_shape = spec.shape[1:]
        height, width, _ = pixels.image_layout(sample_shape)
        samples = picture[np.newaxis]
        if not self.fixes_size:
            samples = pixels.resize(samples, height or samples.shape[1], width or samples.shape[2])
        for step in self.steps:
            samples = run_step(samples, step)
        sample = samples[0]
        if len(sample_shape) == 2 and sample.shape[-1] == 1:
            sample = sample[..., 0]
        elif pixels.is_channels_first(sample_shape):
            sample = np.moveaxis(sample, -1, 0)
        wrong = len(sample.shape) != len(sample_shape) or any(
            want is not None and want != got
            for want, got in zip(sample_shape, sample.shape, strict=True)
        )
        if wrong:
            message = (
                f"--preprocess {self}: makes images of {sample.shape}, the input {spec.name!r} "
                f"takes {tuple(sample_shape)}; change its steps"
            )
            raise DataError(message)
        return np.ascontiguousarray(sample, np.float32)

    def to_dict(self) -> dict[str, Any]:
        """Plain data, as the manifest stores it."""
        return {"steps": [{"name": step.name, "values": list(step.values)} for step in self.steps]}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Preprocess:
        """Read what `to_dict` wrote.

        Raises:
            UsageError: an unknown key or step, or a value of the wrong type.
        """
        steps = data.get("steps") if set(data) == {"steps"} else None
        if not isinstance(steps, list):
            message = f"preprocess: has keys {sorted(data)}, not just a list 'steps'; write it anew"
            raise UsageError(message)
        return cls(steps=tuple(map(step_from_dict, steps)))


def parse_prefixed(text: str) -> tuple[str | None, Preprocess]:
    """Read ``[INPUT:]STEPS``; the input's name is None where none is written.

    Raises:
        UsageError: as `Preprocess.parse`, and for several inputs in one text.

    >>> name, steps = parse_prefixed("image:mean=1:2:3,std=2")
    >>> name, str(steps)
    ('image', 'mean=1:2:3,std=2')
    """
    head, comma, rest = text.partition(",")
    before, equals, value = head.partition("=")
    name, colon, step = before.rpartition(":")
    for number, part in enumerate(text.split(",")):
        if number and ":" in part.partition("=")[0]:
            told = f"names another input, {part.partition(':')[0].strip()}"
            message = f"--preprocess {text}: {told}; repeat --preprocess for each input"
            raise UsageError(message)
    if not colon:
        return None, Preprocess.parse(text)
    return name.strip(), Preprocess.parse(step + equals + value + comma + rest)


def for_inputs(texts: Sequence[str], inputs: Sequence[TensorSpec]) -> dict[str, Preprocess]:
    """The steps of each input named in `texts`; one without a name is for the only input.

    Raises:
        UsageError: no such input, two texts for one input, or a nameless text with several inputs.
    """
    names = [spec.name for spec in inputs]
    found: dict[str, Preprocess] = {}
    for text in texts:
        name, steps = parse_prefixed(text)
        if name is None and len(names) > 1:
            message = (
                f"--preprocess {text}: the model has the inputs {', '.join(names)}; "
                f"say which, as in {names[0]}:{text}"
            )
            raise UsageError(message)
        name = names[0] if name is None else name
        if name not in names:
            message = f"--preprocess {text}: no input {name!r}; there are: {', '.join(names)}"
            raise UsageError(message)
        if name in found:
            message = f"--preprocess {text}: given twice for {name!r}; join the steps with commas"
            raise UsageError(message)
        found[name] = steps
    return found


def decided(preprocess: Mapping[str, Preprocess]) -> frozenset[str]:
    """The inputs for which the user said in what range their values go in."""
    return frozenset(name for name, steps in preprocess.items() if steps.decides_values)


def _is_batch(array: Array, spec: TensorSpec | None) -> bool:
    if spec is not None:
        if array.ndim >= len(spec.shape):
            return True
        if array.ndim == 3 and len(spec.shape) == 4:  # one picture, or gray ones without channels
            return array.shape[-1] not in pixels.CHANNEL_COUNTS and not pixels.is_channels_first(
                array.shape
            )
        return False
    return array.ndim >= 4 or (array.ndim == 3 and array.shape[-1] not in pixels.CHANNEL_COUNTS)
