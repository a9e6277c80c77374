"""Image files and pixel arrays: decode, resize, crop, change colours.

Arrays are ``(samples, height, width, channels)``. What is uint8 stays uint8, rounded as image
libraries round, so that a file and the array decoded from it give the same result.
"""

from __future__ import annotations

import io
import struct
import threading
import warnings
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edgekit.errors import DataError
from edgekit.quote import first_line

if TYPE_CHECKING:  # models that take no pictures do without it
    from PIL import Image

Array = NDArray[Any]

CHANNEL_COUNTS = (1, 3, 4)
MOST_PIXELS = 64_000_000
"""Images with more are refused before they are decoded; one takes 192 MB as RGB."""

_ORIENTATION = 0x0112
UNREADABLE = (OSError, SyntaxError, ValueError, TypeError, EOFError, struct.error, zlib.error)


class _Quiet:
    """While any thread is inside, Pillow does not warn of oddities that do not concern the pixels.

    `warnings.catch_warnings` alone would, entered by several threads at once, leave the process
    with the filters of one of them.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._filters = warnings.catch_warnings()

    def __enter__(self) -> None:
        with self._lock:
            if self._inside == 0:
                self._filters = warnings.catch_warnings()
                self._filters.__enter__()
                warnings.filterwarnings("ignore", module=r"PIL\.")
            self._inside += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0:
                self._filters.__exit__(None, None, None)


quiet = _Quiet()


def is_channels_first(sample_shape: Sequence[int | None]) -> bool:
    """Whether a sample is ``(channels, height, width)``.

    >>> is_channels_first((3, 96, 96)), is_channels_first((96, 96, 3))
    (True, False)
    """
    return (
        len(sample_shape) == 3
        and sample_shape[-1] not in CHANNEL_COUNTS
        and sample_shape[0] in CHANNEL_COUNTS
    )


def is_image_like(shape: Sequence[int | None]) -> bool:
    """Whether a model input of `shape`, batch dimension included, takes pictures."""
    return len(shape) == 4 and (shape[-1] in CHANNEL_COUNTS or is_channels_first(shape[1:]))


def image_layout(
    sample_shape: Sequence[int | None],
) -> tuple[int | None, int | None, int | None]:
    """Height, width and channel count of a sample; the channel count is 1 for ``(height, width)``.

    Raises:
        DataError: samples of this shape are not pictures.
    """
    if len(sample_shape) == 2:
        return sample_shape[0], sample_shape[1], 1
    if is_channels_first(sample_shape):
        return sample_shape[1], sample_shape[2], sample_shape[0]
    if len(sample_shape) == 3 and sample_shape[-1] in (*CHANNEL_COUNTS, None):
        return sample_shape[0], sample_shape[1], sample_shape[2]
    message = (
        f"images: the input takes {tuple(sample_shape)} a sample, which is no picture; "
        "give arrays (.npz) instead"
    )
    raise DataError(message)


def open_image(source: Path | bytes) -> Image.Image:
    """Read an image file whole, or what is in one.

    Raises:
        DataError: it is missing, no image, truncated, or has more than `MOST_PIXELS` pixels.
    """
    from PIL import Image, UnidentifiedImageError

    name = "image" if isinstance(source, bytes) else str(source)
    try:
        file = io.BytesIO(source) if isinstance(source, bytes) else source
        with quiet, Image.open(file) as image:
            check_size(image.size, name)
            image.load()
            return image
    except Image.DecompressionBombError:
        message = _too_large(name)
    except FileNotFoundError:
        message = f"{name}: no such image; check the path"
    except PermissionError:
        message = f"{name}: no permission to read it; change its permissions"
    except UnidentifiedImageError:
        message = f"{name}: not a readable image (no known format); replace it or take it out"
    except UNREADABLE as error:
        message = f"{name}: not a readable image ({first_line(error)}); replace it or take it out"
    raise DataError(message)


def check_size(size: tuple[int, int], name: str) -> None:
    """Raise DataError if a picture of `size` has more than `MOST_PIXELS` pixels."""
    if size[0] * size[1] > MOST_PIXELS:
        raise DataError(_too_large(name))


def _too_large(name: str) -> str:
    limit = f"{MOST_PIXELS // 1_000_000} million pixels"
    return f"{name}: the image has more than {limit}; make it smaller"


def decode(image: Image.Image, channels: int | None) -> Array:
    """The pixels of `image`, upright, as uint8 ``(height, width, channels)``.

    The EXIF orientation is applied. Alpha is dropped unless 4 channels are wanted, as TensorFlow
    and Keras do; palettes are looked up; 16-bit gray keeps its upper 8 bits. With `channels`
    None the picture has 1 channel if it is gray, else 3.

    Raises:
        DataError: 32-bit pixels, damaged EXIF data, or a channel count that no picture has.
    """
    from PIL import Image

    upright = _upright(image)
    if upright.mode.startswith("I;16") or (upright.mode == "I" and image.format == "PNG"):
        deep = np.asarray(upright).astype(np.uint32)
        upright = Image.fromarray((deep >> 8).astype(np.uint8))
    if upright.mode in ("I", "F"):
        message = f"image: has 32-bit {upright.mode!r} pixels; save it with 8 bits a channel"
        raise DataError(message)
    if channels is None:
        channels = 1 if upright.mode in ("1", "L", "LA") else 3
    if channels not in CHANNEL_COUNTS:
        message = f"image: the input has {channels} channels; images have 1, 3 or 4"
        raise DataError(message)
    if upright.mode in ("P", "PA"):
        upright = upright.convert("RGBA")
    mode = {1: "L", 3: "RGB", 4: "RGBA"}[channels]
    pixels = np.asarray(upright if upright.mode == mode else upright.convert(mode))
    return pixels[..., np.newaxis] if channels == 1 else pixels


def _upright(image: Image.Image) -> Image.Image:
    from PIL import ImageOps

    try:
        with quiet:
            turned = image.getexif().get(_ORIENTATION, 1) != 1
            return ImageOps.exif_transpose(image) if turned else image
    except UNREADABLE as error:
        message = f"image: its EXIF data are damaged ({first_line(error)}); save it without them"
        raise DataError(message) from None


def resize(samples: Array, height: int, width: int) -> Array:
    """Stretch to `height` by `width`: bilinear, and averaging (antialiased) where it shrinks.

    uint8 gives uint8, everything else float32. This is Pillow's ``BILINEAR``; TensorFlow's
    default ``tf.image.resize`` differs where it shrinks, as it does not average.
    """
    if samples.shape[1:3] == (height, width):
        return samples
    kept = samples if samples.dtype == np.uint8 else samples.astype(np.float32)
    made = np.empty((len(kept), height, width, kept.shape[3]), kept.dtype)
    whole = kept.dtype == np.uint8 and kept.shape[3] == 3
    for index, sample in enumerate(kept):
        if whole:
            made[index] = _resize_plane(sample, height, width)
            continue
        for channel in range(kept.shape[3]):
            made[index, :, :, channel] = _resize_plane(sample[:, :, channel], height, width)
    return made


def _resize_plane(plane: Array, height: int, width: int) -> Array:
    from PIL import Image

    picture = Image.fromarray(np.ascontiguousarray(plane))
    return np.asarray(picture.resize((width, height), Image.Resampling.BILINEAR))


def crop(samples: Array, height: int, width: int) -> Array:
    """Cut the middle `height` by `width` out.

    Raises:
        DataError: the pictures are smaller than that.
    """
    top, left = samples.shape[1] - height, samples.shape[2] - width
    if top < 0 or left < 0:
        message = (
            f"crop={height}x{width}: the images are {samples.shape[1]}x{samples.shape[2]}; "
            "put resize=… before crop"
        )
        raise DataError(message)
    top, left = top // 2, left // 2
    return samples[:, top : top + height, left : left + width]


def to_gray(samples: Array) -> Array:
    """One channel from RGB: ``0.299 R + 0.587 G + 0.114 B``; one channel stays, alpha is dropped.

    Raises:
        DataError: not 1, 3 or 4 channels.
    """
    _check_channels(samples, "gray")
    if samples.shape[-1] == 1:
        return samples
    if samples.dtype == np.uint8:
        weights = np.array([19595, 38470, 7471], np.uint32)  # in 1/65536, as Pillow has them
        sums: Array = samples[..., :3].astype(np.uint32) @ weights + np.uint32(0x8000)
        return (sums >> 16).astype(np.uint8)[..., np.newaxis]
    shares = np.array([0.299, 0.587, 0.114], np.float32)
    luma: Array = samples[..., :3].astype(np.float32) @ shares
    return luma[..., np.newaxis]


def to_rgb(samples: Array) -> Array:
    """Three channels: gray is repeated, alpha is dropped.

    Raises:
        DataError: not 1, 3 or 4 channels.
    """
    _check_channels(samples, "rgb")
    return np.repeat(samples, 3, axis=-1) if samples.shape[-1] == 1 else samples[..., :3]


def to_bgr(samples: Array) -> Array:
    """Three channels in the order blue, green, red, from RGB, RGBA or gray.

    Raises:
        DataError: not 1, 3 or 4 channels.
    """
    _check_channels(samples, "bgr")
    return to_rgb(samples)[..., ::-1]


def _check_channels(samples: Array, step: str) -> None:
    if samples.shape[-1] not in CHANNEL_COUNTS:
        message = f"{step}: the data have {samples.shape[-1]} channels; it needs 1, 3 or 4"
        raise DataError(message)
