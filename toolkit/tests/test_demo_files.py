"""The bundled model and images are what their README says."""

import hashlib
import zipfile
from importlib.resources import files

import numpy as np
import pytest

FOLDER = files("edgekit") / "demo_files"


@pytest.fixture(scope="module")
def arrays() -> dict[str, np.ndarray]:
    with (FOLDER / "fashion.npz").open("rb") as file, np.load(file, allow_pickle=False) as archive:
        return dict(archive)


def test_images_are_bytes_of_28_by_28_pixels(arrays: dict[str, np.ndarray]) -> None:
    for name, count in (("x_calibrate", 500), ("x_test", 2_000)):
        assert arrays[name].shape == (count, 28, 28, 1)
        assert arrays[name].dtype == np.uint8
        assert arrays[name].max() == 255


def test_every_image_has_one_of_ten_labels(arrays: dict[str, np.ndarray]) -> None:
    for split in ("calibrate", "test"):
        assert len(arrays[f"y_{split}"]) == len(arrays[f"x_{split}"])
        assert set(arrays[f"y_{split}"]) == set(range(10))


def test_no_test_image_is_among_the_calibration_images(arrays: dict[str, np.ndarray]) -> None:
    seen = {hashlib.sha256(image.tobytes()).digest() for image in arrays["x_calibrate"]}
    assert not any(hashlib.sha256(image.tobytes()).digest() in seen for image in arrays["x_test"])


def test_labels_are_ten_names() -> None:
    names = (FOLDER / "labels.txt").read_text().splitlines()
    assert len(set(names)) == 10


def test_model_is_small_and_carries_no_optimizer() -> None:
    with (FOLDER / "fashion.keras").open("rb") as file:
        content = file.read()
        with zipfile.ZipFile(file) as archive:
            weights = archive.read("model.weights.h5")
    assert len(content) < 500_000
    assert b"optimizer" not in weights
