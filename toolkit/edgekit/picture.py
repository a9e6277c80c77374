"""One picture, in whatever form an app has it, as the input of a model."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edgekit import pixels
from edgekit.errors import DataError
from edgekit.mapped_file import why_unreadable
from edgekit.preprocess import Preprocess
from edgekit.quote import first_line
from edgekit.tensors import TensorSpec

if TYPE_CHECKING:
    from PIL import Image

Array = NDArray[Any]

_AS_STORED = ((0.0, 1.0), (-1.0, 1.0), (0.0, 255.0), (-128.0, 127.0))
"""Ranges of real numbers for which an 8-bit input takes the bytes of a picture as they are."""
_NEAR = 0.03
"""Of the width of such a range: 128 is used where 127.5 is meant."""
_DIVIDES_BY = 64
"""Steps that divide pixels by this or more bring them to about 1."""


def steps_for(
    spec: TensorSpec, inputs: Sequence[TensorSpec], preprocess: Mapping[str, Preprocess]
) -> Preprocess | None:
    """How `spec`, one of `inputs`, is prepared; None where nobody said, which is not "no steps".

    What is stored for a single input is for the only input, whatever it is called now.
    """
    if spec.name not in preprocess and len(preprocess) == len(inputs) == 1:
        return next(iter(preprocess.values()))
    return preprocess.get(spec.name)


def prepare_picture(
    image: object, spec: TensorSpec, steps: Preprocess | None, model_name: str
) -> Array:
    """What the model is given for `image`: ``(1, height, width, channels)``, or as it has it.

    Without steps, integer inputs take pixels as they are: those that are quantized only where
    their range shows that the bytes of a picture are what they store, as files of other tools
    have it. Float inputs take nothing then: most want 0..1 or -1..1, and the file does not tell.

    Args:
        image: as `read_picture` takes it.
        spec: the input it is for.
        steps: see `steps_for`.
        model_name: for messages.

    Raises:
        DataError: no picture, the input takes none, or nobody said how to prepare it.
    """
    if has_no_batch(spec):
        batched = spec._replace(shape=(1, *spec.shape))
        only: Array = prepare_picture(image, batched, steps, model_name)[0]
        return only
    channels = pixels.image_layout(spec.shape[1:])[2]
    as_stored = steps is None and _takes_bytes(spec)
    if steps is None and not as_stored and not _takes_whole_numbers(spec):
        message = (
            f"{model_name}: does not say how pixels become its input {spec.name!r}; give "
            "preprocess (--preprocess): scale=1/255 or -1..1, or none if it takes 0 to 255"
        )
        raise DataError(message)
    picture = read_picture(image, channels)
    way = steps or Preprocess()
    if picture.dtype != np.uint8 and (as_stored or _divides(way)):
        _check_scaled(picture, way)
    sample = way.apply_pixels(picture, spec)[np.newaxis]
    if not as_stored:
        return sample
    stored = np.rint(np.clip(sample, 0, 255)).astype(np.uint8)
    return stored if spec.dtype == "uint8" else (stored ^ 0x80).view(np.int8)


def has_no_batch(spec: TensorSpec) -> bool:
    """Whether an input takes a picture without a batch dimension: ``(height, width, channels)``."""
    return len(spec.shape) == 3 and spec.shape[0] not in (1, None)


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
            stacklevel=6,
        )


def read_picture(image: object, channels: int | None) -> Array:
    """The pixels of `image`, upright: ``(height, width, channels)``, from 0 to 255.

    Args:
        image: a path, the bytes of an image file, a PIL image, or an array ``(height, width)``,
            ``(height, width, channels)``, ``(channels, height, width)``, or that with a 1 in front.
        channels: how many are wanted; with None, 1 of a gray picture and 3 of another.

    Returns:
        uint8, and float32 of a float array. An array that has the right channels is not copied.

    Raises:
        DataError: it is no picture, or cannot be read.
    """
    if isinstance(image, str | os.PathLike):
        if not os.fspath(image):
            message = "image: an empty path; give that of an image file"
            raise DataError(message)
        path = Path(image)
        try:
            return pixels.decode(pixels.open_image(path), channels)
        except DataError as error:
            raise _about(path, error) from None
    if isinstance(image, bytes | bytearray | memoryview):
        return pixels.decode(pixels.open_image(bytes(image)), channels)
    if not isinstance(image, np.ndarray):
        from PIL import Image

        if isinstance(image, Image.Image):
            return pixels.decode(_loaded(image), channels)
    return from_array(image, channels)


def _about(path: Path, error: DataError) -> DataError:
    """`error`, saying which file, and why the system would not let us read it if so."""
    told, name = str(error), str(path)
    if not told.startswith(name):
        return DataError(f"{name}: {told}")
    try:
        with path.open("rb"):
            return error
    except (FileNotFoundError, PermissionError):
        return error
    except OSError as reason:
        return DataError(f"{name}: {why_unreadable(path, reason)}")
    except ValueError as reason:  # a NUL in the path
        return DataError(f"{name!r}: cannot be read ({reason}); check the path")


def _loaded(image: Image.Image) -> Image.Image:
    """The same image, now that its pixels could be read."""
    pixels.check_size(image.size, "image")
    try:
        with pixels.quiet:
            image.load()
    except pixels.UNREADABLE as error:
        message = f"image: not readable ({first_line(error)}); open it again, or replace the file"
        raise DataError(message) from None
    return image


def from_array(given: object, channels: int | None) -> Array:
    """The pixels of an array; see `read_picture`.

    16-bit pixels keep their upper 8 bits, as those of image files do.

    Raises:
        DataError: no array of pixels.
    """
    try:
        array = np.asarray(given)
    except (ValueError, TypeError) as error:
        message = f"image: no array ({first_line(error)}); give rows of equal length"
        raise DataError(message) from None
    if array.dtype.kind not in "biuf":
        kind = type(given).__name__ if array.dtype.kind == "O" else str(array.dtype)
        message = f"image: is {kind}; give a path, bytes, a PIL image, or an array of pixels"
        raise DataError(message)
    picture = _eight_bits(_upright(array))
    has = picture.shape[2]
    wanted = channels or (1 if has == 1 else 3)
    if wanted == has:
        return picture
    if picture.dtype == np.uint8:
        from PIL import Image

        return pixels.decode(Image.fromarray(picture[..., 0] if has == 1 else picture), channels)
    if wanted == 1:
        return pixels.to_gray(picture)
    colours = pixels.to_rgb(picture)
    if wanted == 3:
        return colours
    opaque = np.full((*colours.shape[:2], 1), 255, colours.dtype)
    return np.concatenate([colours, opaque], axis=2)


def _upright(array: Array) -> Array:
    """``(height, width, channels)``, whichever way the dimensions lie."""
    shape = array.shape
    picture = array[0] if array.ndim == 4 and shape[0] == 1 else array
    if picture.ndim == 2:
        picture = picture[..., np.newaxis]
    elif pixels.is_channels_first(picture.shape):
        picture = np.moveaxis(picture, 0, -1)
    if array.ndim == 4 and shape[0] > 1:
        message = f"image: has shape {shape}, {shape[0]} pictures; classify one at a time"
        raise DataError(message)
    if picture.ndim != 3 or picture.shape[2] not in pixels.CHANNEL_COUNTS or 0 in shape:
        message = (
            f"image: has shape {shape}, which is no picture; "
            "give (height, width) or (height, width, channels)"
        )
        raise DataError(message)
    pixels.check_size((picture.shape[1], picture.shape[0]), "image")
    return picture


def _eight_bits(picture: Array) -> Array:
    if picture.dtype == np.uint8:
        return picture
    kind = picture.dtype.kind
    if kind == "f":
        if not np.isfinite(picture).all():
            message = "image: has pixels that are NaN or infinite; remove them"
            raise DataError(message)
        return picture.astype(np.float32, copy=False)
    if kind == "b":
        return picture.astype(np.uint8) * np.uint8(255)
    low, high = int(picture.min()), int(picture.max())
    if picture.dtype == np.uint16:
        if 0 < high <= 255:
            message = f"image: 16-bit pixels that reach only {high}; convert them to uint8"
            raise DataError(message)
        return (picture >> 8).astype(np.uint8)
    if low < 0 or high > 255:
        message = f"image: {picture.dtype} pixels from {low} to {high}; give them from 0 to 255"
        raise DataError(message)
    return picture.astype(np.uint8)
