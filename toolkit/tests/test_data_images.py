"""Folders of images."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edgekit.data import open_data
from edgekit.errors import DataError
from edgekit.preprocess import Preprocess
from edgekit.tensors import TensorSpec

SPEC = [TensorSpec(name="image", shape=(None, 8, 8, 3), dtype="float32")]
OPEN = [TensorSpec(name="image", shape=(None, None, None, 3), dtype="float32")]


def draw(path: Path, colour: int, size: tuple[int, int] = (8, 8)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (colour, colour, colour)).save(path)


@pytest.fixture
def classes(tmp_path: Path) -> Path:
    for number, name in enumerate(["cat", "ant", "bee"]):
        for copy in range(3):
            draw(tmp_path / "set" / name / f"{copy}.png", 10 * number + copy)
    return tmp_path / "set"


def test_sub_folders_are_classes_in_the_order_of_their_names(classes: Path) -> None:
    data = open_data(str(classes), SPEC)
    assert data.class_names == ("ant", "bee", "cat")
    assert data.labels is not None
    assert data.labels.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert data.batch([0, 3, 8])["image"][:, 0, 0, 0].tolist() == [10, 20, 2]


def test_an_empty_class_keeps_its_number(classes: Path) -> None:
    (classes / "auk").mkdir()
    data = open_data(str(classes), SPEC)
    assert data.class_names == ("ant", "auk", "bee", "cat")
    assert data.labels is not None
    assert data.labels[3] == 2


def test_a_flat_folder_has_no_labels(classes: Path) -> None:
    data = open_data(str(classes / "ant"), SPEC)
    assert len(data) == 3
    assert data.labels is None
    assert data.class_names is None


def test_hidden_files_and_other_files_are_passed_over(classes: Path) -> None:
    (classes / "ant" / ".DS_Store.png").write_bytes(b"x")
    (classes / "ant" / "notes.txt").write_text("x")
    (classes / ".git").mkdir()
    assert len(open_data(str(classes), SPEC)) == 9


def test_images_are_stretched_to_the_input_and_prepared(tmp_path: Path) -> None:
    draw(tmp_path / "a.jpg", 255, (30, 20))
    data = open_data(str(tmp_path), SPEC, preprocess={"image": Preprocess.parse("-1..1")})
    assert np.all(data.batch([0])["image"] == 1)


def test_images_go_into_an_integer_input(tmp_path: Path) -> None:
    draw(tmp_path / "a.png", 200)
    spec = TensorSpec(name="image", shape=(None, 8, 8, 3), dtype="uint8")
    assert open_data(str(tmp_path), [spec]).batch([0])["image"].dtype == np.uint8


def test_different_sizes_for_an_input_of_open_size_are_refused(tmp_path: Path) -> None:
    draw(tmp_path / "a.png", 1, (8, 8))
    draw(tmp_path / "b.png", 1, (9, 8))
    with pytest.raises(DataError, match=r"b\.png: becomes .*add --preprocess resize"):
        open_data(str(tmp_path), OPEN).batch([0, 1])


def test_different_sizes_for_an_input_of_open_size_can_be_resized(tmp_path: Path) -> None:
    draw(tmp_path / "a.png", 1, (8, 8))
    draw(tmp_path / "b.png", 1, (9, 8))
    data = open_data(str(tmp_path), OPEN, preprocess={"image": Preprocess.parse("resize=5x6")})
    assert data.batch([0, 1])["image"].shape == (2, 5, 6, 3)


def test_images_are_opened_only_when_asked_for(classes: Path) -> None:
    (classes / "cat" / "2.png").write_bytes(b"no image")
    data = open_data(str(classes), SPEC)
    assert data.batch([0])["image"].shape == (1, 8, 8, 3)


def test_an_unreadable_image_is_named(classes: Path) -> None:
    (classes / "cat" / "2.png").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"set/cat/2\.png: not a readable image"):
        open_data(str(classes), SPEC).batch([8])


def test_a_folder_without_images_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is a folder without images"):
        open_data(str(tmp_path), SPEC)


def test_images_both_loose_and_in_classes_are_refused(classes: Path) -> None:
    draw(classes / "stray.png", 1)
    with pytest.raises(DataError, match=r"both directly \(stray.png.*and in sub-folders \(ant"):
        open_data(str(classes), SPEC)


def test_a_folder_of_splits_asks_for_a_choice(tmp_path: Path) -> None:
    draw(tmp_path / "train" / "ant" / "a.png", 1)
    draw(tmp_path / "test" / "ant" / "a.png", 1)
    with pytest.raises(DataError, match="sub-folders are splits, not classes; choose one"):
        open_data(str(tmp_path), SPEC)


def test_images_for_several_inputs_are_refused(classes: Path) -> None:
    two = [*SPEC, TensorSpec(name="other", shape=(None, 2), dtype="float32")]
    with pytest.raises(DataError, match="the model has the inputs image, other"):
        open_data(str(classes), two)


def test_images_for_an_input_of_features_are_refused(classes: Path) -> None:
    spec = TensorSpec(name="x", shape=(None, 10), dtype="float32")
    with pytest.raises(DataError, match="which is no picture"):
        open_data(str(classes), [spec])


def test_a_single_image_is_refused_with_its_folder(classes: Path) -> None:
    with pytest.raises(DataError, match=r"is a single file; give its folder, .*set/ant"):
        open_data(str(classes / "ant" / "0.png"), SPEC)


def test_images_and_sounds_together_are_refused(classes: Path) -> None:
    (classes / "ant" / "a.wav").write_bytes(b"x")
    with pytest.raises(DataError, match=r"both images and \.wav"):
        open_data(str(classes), SPEC)
