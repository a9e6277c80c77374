"""A folder of images as data; its sub-folders, if any, are the classes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.data_folder import classify
from edgekit.data_source import Source
from edgekit.errors import DataError
from edgekit.pixels import open_image
from edgekit.preprocess import Preprocess
from edgekit.tensors import TensorSpec

Array = NDArray[Any]

IMAGE_SUFFIXES = (
    ".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp",
)  # fmt: skip


class ImageColumn:
    """Images that are decoded and prepared when they are asked for."""

    def __init__(self, paths: Sequence[Path], spec: TensorSpec, preprocess: Preprocess) -> None:
        """Remember the files; none is opened."""
        self.paths = paths
        self.spec = spec
        self.preprocess = preprocess
        self.prepared = True

    def __len__(self) -> int:
        return len(self.paths)

    def take(self, indices: NDArray[np.intp]) -> Array:
        """The images at `indices`, float32, as the input wants them.

        Raises:
            DataError: one is unreadable or does not fit the input; the message names it.
        """
        samples: list[Array] = []
        for index in indices:
            path = self.paths[index]
            image = open_image(path)
            try:
                sample = self.preprocess.apply_image(image, self.spec)
            except DataError as error:
                message = f"{path}: {error}"
                raise DataError(message) from None
            if samples and sample.shape != samples[0].shape:
                message = (
                    f"{path}: becomes {sample.shape}, the images before it {samples[0].shape}, and "
                    "the model leaves the size open; add --preprocess resize=HEIGHTxWIDTH"
                )
                raise DataError(message)
            samples.append(sample)
        return np.stack(samples)


def read_images(
    folder: Path, inputs: Sequence[TensorSpec], preprocess: Preprocess | None
) -> Source:
    """Every image of `folder`; a class for each sub-folder, sorted by name.

    Files with other suffixes and hidden files are passed over. A sub-folder without images is a
    class all the same, so that the numbers of the others are those the model was trained with.

    Raises:
        DataError: no images, images both loose and in classes, or a model with several inputs.
    """
    paths, labels, class_names = classify(folder, IMAGE_SUFFIXES, "images")
    if len(inputs) > 1:
        names = ", ".join(spec.name for spec in inputs)
        message = f"are images, the model has the inputs {names}; give a .npz with an array each"
        raise DataError(message)
    column = ImageColumn(paths, inputs[0], preprocess or Preprocess())
    return Source(columns={inputs[0].name: column}, labels=labels, class_names=class_names)
