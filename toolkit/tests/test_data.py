"""Opening data by its text, taking batches, choosing samples."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekit.data import Dataset, open_data
from edgekit.data_source import ArrayColumn, Source
from edgekit.errors import DataError, UsageError
from edgekit.preprocess import Preprocess
from edgekit.tensors import TensorSpec

IMAGE = TensorSpec(name="image", shape=(None, 8, 8, 1), dtype="float32")
PIXELS = np.random.default_rng(0).integers(0, 256, (20, 8, 8), dtype=np.uint8)


def dataset(labels: np.ndarray | None, length: int) -> Dataset:
    spec = TensorSpec(name="x", shape=(None, 1), dtype="float32")
    column = ArrayColumn(np.arange(length, dtype=np.float32)[:, np.newaxis])
    source = Source(columns={"x": column}, labels=labels)
    return Dataset(text="d", inputs=(spec,), source=source, preprocess={})


@pytest.fixture
def pixels(tmp_path: Path) -> str:
    np.savez(tmp_path / "a.npz", x=PIXELS, y=np.arange(20) % 4)
    return str(tmp_path / "a.npz")


def test_a_batch_has_the_shape_and_dtype_of_the_input(pixels: str) -> None:
    batch = open_data(pixels, [IMAGE]).batch([3, 1])
    assert batch["image"].dtype == np.float32
    assert np.array_equal(batch["image"][..., 0], PIXELS[[3, 1]])


def test_preparation_runs_on_the_stored_values(pixels: str) -> None:
    data = open_data(pixels, [IMAGE], preprocess={"image": Preprocess.parse("resize=8,-1..1")})
    expected = PIXELS[:2, ..., np.newaxis].astype(np.float32) / np.float32(127.5) - 1
    assert np.array_equal(data.batch([0, 1])["image"], expected)


def test_batches_keep_the_order_and_cover_all(pixels: str) -> None:
    data = open_data(pixels, [IMAGE])
    parts = list(data.batches(range(20), 7))
    assert [len(part["image"]) for part in parts] == [7, 7, 6]
    joined = np.concatenate([part["image"] for part in parts])
    assert np.array_equal(joined[..., 0], PIXELS)


def test_real_data_are_not_marked_random(pixels: str) -> None:
    assert not open_data(pixels, [IMAGE]).is_random


def test_a_missing_file_is_refused_with_the_syntax() -> None:
    with pytest.raises(DataError, match=r"^no/such\.npz: no such file or folder; DATA is FILE.npz"):
        open_data("no/such.npz", [IMAGE])


@pytest.mark.parametrize("suffix", ["npz", "npy", "csv"])
def test_an_empty_file_is_refused(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    path.touch()
    with pytest.raises(DataError, match=r"is empty; "):
        open_data(str(path), [IMAGE])


def test_an_unknown_kind_of_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    path.write_bytes(b"PAR1")
    with pytest.raises(DataError, match="no kind of data that is known"):
        open_data(str(path), [IMAGE])


def test_a_file_without_permission_is_refused(tmp_path: Path, pixels: str) -> None:
    path = Path(pixels)
    path.chmod(0)
    try:
        path.read_bytes()
    except PermissionError:
        with pytest.raises(DataError, match="no permission"):
            open_data(pixels, [IMAGE])
    else:
        pytest.skip("this user may read everything")


def test_another_shape_is_refused_with_both_shapes(pixels: str) -> None:
    spec = TensorSpec(name="image", shape=(None, 16, 16, 1), dtype="float32")
    with pytest.raises(
        DataError,
        match=r"a\.npz: samples for input 'image' are \(8, 8\).* takes \(16, 16, 1\); "
        r"add --preprocess resize=16x16",
    ):
        open_data(pixels, [spec])


def test_preparation_for_an_unknown_input_is_refused(pixels: str) -> None:
    with pytest.raises(UsageError, match="no such input; it has: image"):
        open_data(pixels, [IMAGE], preprocess={"sound": Preprocess()})


def test_preparation_that_does_not_fit_names_the_data(pixels: str) -> None:
    with pytest.raises(DataError, match=r"a\.npz: --preprocess mean=1:2: has 2 values"):
        open_data(pixels, [IMAGE], preprocess={"image": Preprocess.parse("mean=1:2")})


def test_indices_out_of_range_are_refused() -> None:
    with pytest.raises(DataError, match="cannot take"):
        dataset(None, 5).batch([5])


def test_choosing_no_samples_is_refused() -> None:
    with pytest.raises(UsageError, match="cannot choose 0 samples"):
        dataset(None, 5).choose(0)


sizes = st.integers(1, 200)
labels = st.lists(st.integers(0, 4), min_size=20, max_size=200).map(np.array)


@given(sizes, sizes, st.integers(0, 5))
def test_chosen_samples_are_different_and_as_many_as_asked_for(
    length: int, n: int, seed: int
) -> None:
    chosen = dataset(None, length).choose(n, seed=seed)
    assert len(set(chosen.tolist())) == len(chosen) == min(n, length)
    assert set(chosen.tolist()) <= set(range(length))


@given(labels, sizes)
def test_the_same_seed_chooses_the_same(numbers: np.ndarray, n: int) -> None:
    data = dataset(numbers, len(numbers))
    assert np.array_equal(data.choose(n, seed=3), data.choose(n, seed=3))


@given(labels, sizes)
def test_classes_keep_their_share(numbers: np.ndarray, n: int) -> None:
    data = dataset(numbers, len(numbers))
    chosen = data.choose(n)
    assert len(set(chosen.tolist())) == len(chosen) == min(n, len(numbers))
    forgotten = len(np.unique(numbers)) if n >= len(np.unique(numbers)) else 0
    for number in np.unique(numbers):
        exact = np.sum(numbers == number) * len(chosen) / len(numbers)
        # A class that would have been forgotten takes one sample from another.
        assert abs(np.sum(numbers[chosen] == number) - exact) < 1 + forgotten


@given(labels)
def test_no_class_is_forgotten_while_there_is_room(numbers: np.ndarray) -> None:
    classes = np.unique(numbers)
    chosen = dataset(numbers, len(numbers)).choose(len(classes))
    assert len(np.unique(numbers[chosen])) == len(classes)


def test_one_hot_labels_are_classes_too() -> None:
    numbers = np.array([0] * 90 + [1] * 10)
    chosen = dataset(np.eye(2)[numbers], 100).choose(10)
    assert np.sum(numbers[chosen] == 1) == 1


def test_measured_values_are_no_classes() -> None:
    values = np.random.default_rng(0).random(50)
    assert len(dataset(values, 50).choose(10)) == 10


def test_chosen_samples_are_not_sorted_by_class() -> None:
    numbers = np.repeat(np.arange(5), 20)
    chosen = dataset(numbers, 100).choose(50)
    assert len(np.unique(numbers[chosen[:15]])) > 2
