"""Data for fine-tuning: parts, refusals, labels fitted to a loss."""

import shutil
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import edgekit
from edgekit.data import open_data
from edgekit.errors import DataError, UsageError
from edgekit.tensors import TensorSpec
from edgekit_converters import samples
from edgekit_converters.pruning.training.data import TrainingData
from edgekit_converters.pruning.training.labels import fit_labels

FASHION = Path(edgekit.__file__).parent / "demo_files" / "fashion.npz"
IMAGE = (TensorSpec(name="image", shape=(None, 28, 28, 1), dtype="float32"),)
PAIR = (TensorSpec(name="x", shape=(None, 2), dtype="float32"),)


def fashion(**options: object) -> TrainingData:
    return TrainingData.open(f"{FASHION}:test", IMAGE, ["scale=1/255"], **options)  # type: ignore[arg-type]


def small(folder: Path, count: int, **arrays: object) -> str:
    path = folder / "small.npz"
    given: dict[str, object] = {"x": np.random.default_rng(0).random((count, 2))}
    np.savez(path, **(given | arrays))  # type: ignore[arg-type]
    return str(path)


def test_a_fifth_is_set_aside_and_a_tenth_of_the_rest_validates() -> None:
    data = fashion()
    assert (len(data.train), len(data.validation), len(data.test)) == (1440, 160, 400)


def test_no_sample_is_in_two_parts() -> None:
    data = fashion()
    together = np.concatenate([data.train, data.validation, data.test])
    assert sorted(together) == list(range(2000))


def test_every_class_has_its_share_of_each_part() -> None:
    data = fashion()
    for part in (data.validation, data.test):
        counts = np.bincount(data.labels[part], minlength=10)
        shares = np.bincount(data.labels, minlength=10) * len(part) / 2000
        assert np.abs(counts - shares).max() <= 1.5


def test_the_same_seed_parts_the_same_way() -> None:
    assert fashion(seed=1).test.tolist() == fashion(seed=1).test.tolist()
    assert fashion(seed=1).test.tolist() != fashion(seed=2).test.tolist()


def test_data_for_the_verdict_leave_all_others_to_learn_from() -> None:
    data = fashion(test=f"{FASHION}:calibrate")
    assert (len(data.train), len(data.validation), len(data.test)) == (1800, 200, 500)
    assert data.tested.text.endswith(":calibrate")


def test_the_samples_of_the_verdict_can_be_read_again(tmp_path: Path) -> None:
    data = fashion()
    again = open_data(str(data.save_test(tmp_path / "test.npz")), IMAGE)
    assert again.labels is not None
    assert again.labels.tolist() == data.labels[data.test].tolist()
    expected = data.tested.batch(data.test[:3])["image"]
    assert np.array_equal(again.batch([0, 1, 2])["image"], expected)


def test_a_large_test_set_is_written_in_a_bounded_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    count = 20_000
    small_images = np.arange(count, dtype=np.uint8)[:, None, None, None]
    images = np.broadcast_to(small_images, (count, 28, 28, 1))  # 16 MB as bytes, 63 as floats
    given = tmp_path / "images.npz"
    np.savez(given, x=images, y=np.arange(count) % 10)
    data = TrainingData.open(f"{FASHION}:test", IMAGE, ["scale=1/255"], test=str(given))
    monkeypatch.setattr(samples, "_PIECE_BYTES", 1 << 20)
    tracemalloc.start()
    path = data.save_test(tmp_path / "test.npz")
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    with np.load(path) as arrays:
        assert np.array_equal(arrays["image"], data.tested.batch(data.test)["image"])
        assert arrays["y"].tolist() == (np.arange(count) % 10).tolist()
        assert most < arrays["image"].nbytes / 2, most


def folder_of(root: Path, **counts: int) -> str:
    """Images in a folder for each class, of one brightness a class."""
    for value, (name, count) in enumerate(counts.items(), ord("a")):
        (root / name).mkdir(parents=True)
        for number in range(count):
            pixels = np.full((28, 28), value + number, np.uint8)
            Image.fromarray(pixels).save(root / name / f"{number}.png")
    return str(root)


def test_classes_of_the_verdict_have_the_numbers_of_the_training(tmp_path: Path) -> None:
    train = folder_of(tmp_path / "train", bird=6, cat=6, dog=6)
    test = folder_of(tmp_path / "test", cat=4, dog=7)
    data = TrainingData.open(train, IMAGE, test=test)
    again = open_data(str(data.save_test(tmp_path / "test.npz")), IMAGE)
    assert again.labels is not None
    assert again.labels.tolist() == [1] * 4 + [2] * 7


def test_a_class_that_only_the_verdict_has_is_refused(tmp_path: Path) -> None:
    train = folder_of(tmp_path / "train", cat=6, dog=6)
    test = folder_of(tmp_path / "test", dog=6, eel=5)
    with pytest.raises(DataError, match=rf"--test {test}: .* no class 'eel'; .* are cat, dog;"):
        TrainingData.open(train, IMAGE, test=test)


def test_a_sample_of_the_verdict_that_holds_no_number_is_named(tmp_path: Path) -> None:
    x = np.random.default_rng(0).random((500, 2))
    x[42] = np.nan  # some samples are looked at before, and this one is not among them
    whole = small(tmp_path, 50, y=np.arange(50) % 2)
    given = tmp_path / "test.npz"
    np.savez(given, x=x, y=np.arange(500) % 2)
    data = TrainingData.open(whole, PAIR, test=str(given))
    said = rf"{given}: input 'x' has NaN or infinite values in sample 42; clean"
    with pytest.raises(DataError, match=said):
        data.save_test(tmp_path / "out.npz")


def test_labels_that_are_no_numbers_are_told() -> None:
    with pytest.raises(DataError, match="labels: have NaN or infinite values"):
        fit_labels(np.array([0, np.nan, 1]), "sparse", (None, 2))


def test_random_numbers_teach_nothing() -> None:
    with pytest.raises(DataError, match="--data random:20: nothing can be learned"):
        TrainingData.open("random:20", PAIR)


def test_data_without_labels_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="has no labels, and fine-tuning needs them; add"):
        TrainingData.open(small(tmp_path, 50), PAIR)


def test_too_few_samples_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="has 7 samples, and fine-tuning needs at least 10"):
        TrainingData.open(small(tmp_path, 7, y=np.arange(7)), PAIR)


def test_ten_samples_will_do(tmp_path: Path) -> None:
    data = TrainingData.open(small(tmp_path, 10, y=np.arange(10) % 2), PAIR)
    assert (len(data.train), len(data.validation), len(data.test)) == (7, 1, 2)


def test_the_verdict_cannot_be_on_the_training_data() -> None:
    with pytest.raises(UsageError, match="--test .*: is what --data names"):
        fashion(test=f"{FASHION}:test")


def test_the_same_file_in_another_spelling_is_the_training_data_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = small(tmp_path, 50, y=np.arange(50) % 2)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "link.npz").symlink_to(text)
    for test in ("small.npz", "./small.npz", f"../{tmp_path.name}/small.npz", "link.npz"):
        with pytest.raises(UsageError, match=f"--test {test}: is what --data names"):
            TrainingData.open(text, PAIR, test=test)


def test_a_copy_of_the_training_data_cannot_judge(tmp_path: Path) -> None:
    text = small(tmp_path, 50, y=np.arange(50) % 2)
    copy = shutil.copy(text, tmp_path / "copy.npz")
    with pytest.raises(UsageError, match="--test .*copy.npz: holds the samples of --data"):
        TrainingData.open(text, PAIR, test=str(copy))


def test_the_only_split_of_a_file_is_the_file(tmp_path: Path) -> None:
    path = tmp_path / "split.npz"
    np.savez(path, x_train=np.random.default_rng(0).random((50, 2)), y_train=np.arange(50) % 2)
    with pytest.raises(UsageError, match="holds the samples of --data"):
        TrainingData.open(str(path), PAIR, test=f"{path}:train")


def test_a_part_of_the_training_data_judges_with_a_warning(tmp_path: Path) -> None:
    x, y = np.random.default_rng(0).random((50, 2)), np.arange(50) % 2
    text, part = small(tmp_path, 50, x=x, y=y), tmp_path / "part.npz"
    np.savez(part, x=np.concatenate([x[40:], x[:10] + 1]), y=y[:20])
    (warning,) = TrainingData.open(text, PAIR, test=str(part)).warnings
    assert "of 20 samples that were looked at, 10 are in" in warning


def test_raw_pixels_for_a_model_that_does_not_rescale_are_refused() -> None:
    with pytest.raises(DataError, match="--preprocess scale=1/255"):
        TrainingData.open(f"{FASHION}:test", IMAGE, pixel_range="0..1")


def test_nan_in_the_middle_is_found_when_it_is_read(tmp_path: Path) -> None:
    x = np.zeros((100, 2))
    x[50] = np.nan
    x[:, 0] = np.arange(100)
    data = TrainingData.open(small(tmp_path, 100, x=x, y=np.arange(100) % 2), PAIR)
    with pytest.raises(DataError, match="input 'x' has NaN or infinite values"):
        data.samples([49, 50])


def test_class_numbers_become_one_hot_rows() -> None:
    made = fit_labels(np.array([1, 0]), "categorical", (None, 3))
    assert made.tolist() == [[0, 1, 0], [1, 0, 0]]


def test_one_hot_rows_become_class_numbers() -> None:
    made = fit_labels(np.array([[0, 1, 0], [1, 0, 0]]), "sparse", (None, 3))
    assert made.tolist() == [1, 0]
    assert made.dtype == np.int32


def test_a_map_of_classes_stays_one() -> None:
    labels = np.array([[[0, 2], [1, 1]]])
    assert fit_labels(labels, "sparse", (None, 2, 2, 3)).tolist() == labels.tolist()


def test_classes_the_model_does_not_have_are_told() -> None:
    with pytest.raises(DataError, match="digits.npz: labels: go from 0 to 9, .* 5 classes"):
        fit_labels(np.arange(10), "sparse", (None, 5), source="digits.npz")


def test_classes_counted_from_one_are_told() -> None:
    with pytest.raises(DataError, match="count classes from 0"):
        fit_labels(np.array([1, 2, 3]), "sparse", (None, 3))


def test_yes_and_no_become_a_column() -> None:
    assert fit_labels(np.array([True, False]), "binary", (None, 1)).tolist() == [[1], [0]]


def test_other_numbers_than_zero_and_one_are_no_yes_and_no() -> None:
    with pytest.raises(DataError, match="the loss takes 0 and 1"):
        fit_labels(np.array([0, 2]), "binary", (None, 1))


def test_one_score_is_no_classifier_for_class_numbers() -> None:
    with pytest.raises(DataError, match="binary_crossentropy"):
        fit_labels(np.array([0, 1]), "sparse", (None, 1))


def test_numbers_pass_and_get_the_shape_of_the_output() -> None:
    assert fit_labels(np.array([0.5, 2]), "values", (None, 1)).tolist() == [[0.5], [2]]


def test_class_numbers_are_no_values_of_ten_outputs() -> None:
    with pytest.raises(
        DataError, match=r"have shape \(\) for each sample, the model gives \(10,\)"
    ):
        fit_labels(np.array([0, 1]), "values", (None, 10))


def test_a_loss_of_ones_own_gets_class_numbers_or_numbers_of_the_shape_of_the_output() -> None:
    numbers = fit_labels(np.array([0, 2]), "own", (None, 3))
    assert (str(numbers.dtype), numbers.tolist()) == ("int32", [0, 2])
    assert fit_labels(np.array([1, 2]), "own", (None, 1)).tolist() == [[1.0], [2.0]]
