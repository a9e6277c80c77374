"""One picture in whatever form an app has it, made ready to be prepared for a model."""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edgekit import pixels
from edgekit.errors import DataError
from edgekit.quote import first_line

if TYPE_CHECKING:
    from PIL import Image

Array = NDArray[Any]


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
        path = Path(image)
        try:
            return pixels.decode(pixels.open_image(path), channels)
        except DataError as error:
            raise _about(str(path), error) from None
    if isinstance(image, bytes | bytearray | memoryview):
        return pixels.decode(pixels.open_image(bytes(image)), channels)
    if not isinstance(image, np.ndarray):
        from PIL import Image

        if isinstance(image, Image.Image):
            return pixels.decode(_loaded(image), channels)
    return from_array(image, channels)


def _about(name: str, error: DataError) -> DataError:
    told = str(error)
    return error if told.startswith(name) else DataError(f"{name}: {told}")


def _loaded(image: Image.Image) -> Image.Image:
    """The same image, now that its pixels could be read."""
    pixels.check_size(image.size, "image")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # oddities in tags that do not concern the pixels
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
