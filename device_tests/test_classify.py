"""Pictures in, classes out."""

import asyncio
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import edgekit
from edgekit.errors import DataError, UsageError

Open = Callable[..., edgekit.Model]
Find = Callable[[str], Any]


@pytest.fixture
def pixels(find: Find) -> np.ndarray:
    """A test picture, as bytes (28, 28)."""
    inputs, _ = next(find("fashion.float32").calls())
    stored: np.ndarray = np.rint(inputs["image"][0, :, :, 0] * 255).astype(np.uint8)
    return stored


@pytest.mark.board
@pytest.mark.parametrize("name", ["fashion.float32", "fashion.int8", "fashion.int8.io-uint8"])
def test_a_path_bytes_an_image_and_an_array_give_the_same(
    open_model: Open, find: Find, name: str, pixels: np.ndarray, tmp_path: Path
) -> None:
    model, case = open_model(name), find(name)
    picture = Image.fromarray(pixels)
    file = tmp_path / "picture.png"
    picture.save(file)
    content = io.BytesIO()
    picture.save(content, "PNG")
    images = (file, str(file), content.getvalue(), picture, pixels, pixels[:, :, None])
    answers = [model.classify(image, top=3) for image in images]
    assert answers == [answers[0]] * len(images)
    inputs, expected = next(case.calls())
    best = answers[0][0]
    assert best.index == int(expected["scores"].argmax())
    assert best.label == model.labels[best.index]
    assert best.score == pytest.approx(expected["scores"].max(), abs=case.tolerance)
    assert model.run(inputs)["scores"].max() == pytest.approx(best.score, abs=1e-6)
    assert [one.score for one in answers[0]] == sorted((o.score for o in answers[0]), reverse=True)


def test_top_says_how_many(open_model: Open, pixels: np.ndarray) -> None:
    model = open_model("fashion.float32")
    assert [len(model.classify(pixels, top=top)) for top in (1, 5, 10, 99)] == [1, 5, 10, 10]
    with pytest.raises(UsageError, match="top=0"):
        model.classify(pixels, top=0)


def test_labels_may_be_given(find: Find, backend: str, pixels: np.ndarray) -> None:
    labels = [f"class {number}" for number in range(10)]
    with edgekit.load(find("fashion.float32").path, backend=backend, labels=labels) as model:  # type: ignore[arg-type]
        best = model.classify(pixels, top=1)[0]
        assert best.label == f"class {best.index}"


def test_asyncio_classifies_too(open_model: Open, pixels: np.ndarray) -> None:
    model = open_model("fashion.float32")
    assert asyncio.run(model.classify_async(pixels, top=2)) == model.classify(pixels, top=2)


def test_what_is_no_picture_is_refused(open_model: Open, tmp_path: Path) -> None:
    model = open_model("fashion.float32")
    text = tmp_path / "picture.png"
    text.write_text("no picture")
    for bad in (text, tmp_path / "missing.png", b"no picture", tmp_path, np.zeros(7), object()):
        with pytest.raises(DataError):
            model.classify(bad)  # type: ignore[arg-type]


def test_a_model_that_takes_no_picture_says_so(open_model: Open, pixels: np.ndarray) -> None:
    for name in ("dense", "pair"):
        with pytest.raises(DataError):
            open_model(name).classify(pixels)
