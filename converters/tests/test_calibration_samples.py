from pathlib import Path

import numpy as np

from edgekit.preprocess import Preprocess
from edgekit.tensors import TensorSpec
from edgekit_converters.samples import prepare

IMAGE = TensorSpec(name="image", shape=(1, 4, 4, 3), dtype="float32")


def images(folder: Path, most: float = 255) -> str:
    pixels = np.random.default_rng(0).random((20, 4, 4, 3)) * most
    np.savez(folder / "images.npz", x=pixels.astype(np.float32))
    return str(folder / "images.npz")


def test_a_model_that_scales_pixels_itself_says_so_to_whoever_prepares_pictures(
    tmp_path: Path,
) -> None:
    made = prepare(
        images(tmp_path), [IMAGE], tmp_path, count=10, preprocess=(), pixel_range="0..255"
    )
    assert made.preprocess == {"image": Preprocess()}


def test_a_model_of_which_nothing_is_known_says_nothing(tmp_path: Path) -> None:
    made = prepare(images(tmp_path, most=1), [IMAGE], tmp_path, count=10, preprocess=())
    assert made.preprocess == {}
