"""NumPy files: names, splits, and files that are no such thing."""

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekit.data import Dataset, open_data
from edgekit.errors import DataError
from edgekit.tensors import TensorSpec

X = np.random.default_rng(0).random((6, 4)).astype(np.float32)
Y = np.arange(6) % 3
ONE = [TensorSpec(name="features", shape=(None, 4), dtype="float32")]
TWO = [
    TensorSpec(name="left", shape=(None, 4), dtype="float32"),
    TensorSpec(name="right", shape=(None, 4), dtype="float32"),
]

Open = Callable[..., Dataset]


@pytest.fixture
def npz(tmp_path: Path) -> Open:
    """Save arrays, open the file."""

    def make(split: str = "", inputs: list[TensorSpec] = ONE, **arrays: Any) -> Dataset:
        path = tmp_path / "a.npz"
        np.savez(path, **arrays)
        return open_data(f"{path}{split}", inputs)

    return make


@pytest.mark.parametrize(
    ("split", "x", "y"),
    [
        ("", "features", "y"),
        ("", "x", "labels"),
        ("", "X", "Y"),
        ("", "arr_0", "arr_1"),
        ("", "x_train", "y_train"),
        (":train", "x_train", "y_train"),
        (":train", "train_x", "train_y"),
        (":val", "X_val", "y_val"),
        (":test", "test_images", "test_labels"),
        (":test", "features_test", "label_test"),
    ],
)
def test_arrays_are_found_by_name(npz: Open, split: str, x: str, y: str) -> None:
    data = npz(split, **{x: X, y: Y})
    assert np.array_equal(data.batch(range(6))["features"], X)
    assert data.labels is not None
    assert np.array_equal(data.labels, Y)


def test_a_split_takes_its_own_arrays(npz: Open) -> None:
    data = npz(":test", x_train=X, y_train=Y, x_test=X[:2] + 1, y_test=Y[:2])
    assert len(data) == 2
    assert np.array_equal(data.batch([0, 1])["features"], X[:2] + 1)


def test_several_splits_ask_for_a_choice(npz: Open) -> None:
    with pytest.raises(DataError, match="choose one: :test, :train"):
        npz(x_train=X, x_test=X)


def test_an_unknown_split_is_refused_with_the_known(npz: Open) -> None:
    with pytest.raises(DataError, match="has no split 'val'.*choose one: :train"):
        npz(":val", x_train=X)


def test_each_input_has_its_array(npz: Open) -> None:
    data = npz("", TWO, right=X + 1, left=X, y=Y)
    batch = data.batch([1])
    assert np.array_equal(batch["left"] + 1, batch["right"])


def test_splits_work_for_several_inputs(npz: Open) -> None:
    data = npz(":train", TWO, right_train=X + 1, left_train=X, y_train=Y, left_test=X)
    assert len(data) == 6
    assert data.labels is not None


def test_a_file_without_labels_has_none(npz: Open) -> None:
    assert npz(x=X).labels is None


def test_labels_with_an_axis_of_one_lose_it(npz: Open) -> None:
    labels = npz(x=X, y=Y[:, np.newaxis]).labels
    assert labels is not None
    assert labels.shape == (6,)


def test_no_matching_name_lists_what_there_is_and_what_is_wanted(npz: Open) -> None:
    with pytest.raises(DataError, match=r"it has: foo, bar\); name it features or x"):
        npz(foo=X, bar=Y)


def test_a_missing_input_is_named(npz: Open) -> None:
    with pytest.raises(DataError, match=r"no array for right \(it has: left, y\)"):
        npz("", TWO, left=X, y=Y)


def test_different_lengths_are_refused(npz: Open) -> None:
    with pytest.raises(DataError, match="different numbers of samples: 'features' 6, the labels 2"):
        npz(x=X, y=Y[:2])


def test_inputs_of_different_lengths_are_refused(npz: Open) -> None:
    with pytest.raises(DataError, match="'left' 6, 'right' 2"):
        npz("", TWO, left=X, right=X[:2])


def test_an_array_without_samples_is_refused(npz: Open) -> None:
    with pytest.raises(DataError, match="has no samples"):
        npz(x=X[:0])


def test_a_single_number_is_refused(npz: Open) -> None:
    with pytest.raises(DataError, match="single number"):
        npz(x=np.float32(3))


def test_labels_that_are_text_are_refused(npz: Open) -> None:
    with pytest.raises(DataError, match="the labels are <U1; give numbers"):
        npz(x=X, y=np.array(list("abcdef")))


def test_arrays_of_objects_are_refused_unread(npz: Open) -> None:
    with pytest.raises(DataError, match="array 'x' holds Python pickles"):
        npz(x=np.array([X, None], dtype=object))


class Bomb:
    def __reduce__(self) -> tuple[Any, ...]:
        return (pytest.fail, ("a pickle was loaded",))


@pytest.mark.parametrize("name", ["a.npz", "a.npy"])
@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_a_pickle_is_refused_unread(tmp_path: Path, name: str, protocol: int) -> None:
    path = tmp_path / name
    path.write_bytes(pickle.dumps(Bomb(), protocol))
    with pytest.raises(DataError, match="Python pickles, which can run code and are never read"):
        open_data(str(path), ONE)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.99])
def test_a_truncated_npz_is_refused(tmp_path: Path, share: float) -> None:
    path = tmp_path / "a.npz"
    np.savez(path, x=X, y=Y)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(DataError, match="truncated or damaged"):
        open_data(str(path), ONE)


@pytest.mark.parametrize("compressed", [True, False])
def test_damage_in_the_middle_is_noticed(tmp_path: Path, compressed: bool) -> None:
    path = tmp_path / "a.npz"
    values = np.random.default_rng(0).random((500, 4))
    (np.savez_compressed if compressed else np.savez)(path, x=values)
    content = bytearray(path.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 50] = b"x" * 50
    path.write_bytes(content)
    with pytest.raises(DataError, match="truncated or damaged"):
        open_data(str(path), ONE)


def test_an_npy_is_the_only_input(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", X)
    data = open_data(str(tmp_path / "a.npy"), ONE)
    assert np.array_equal(data.batch([5])["features"], X[5:])


def test_an_npy_for_several_inputs_is_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", X)
    with pytest.raises(DataError, match="the model has the inputs left, right; give a .npz"):
        open_data(str(tmp_path / "a.npy"), TWO)


@pytest.mark.parametrize("keep", [4, 7, 40, 150])
def test_a_truncated_npy_is_refused(tmp_path: Path, keep: int) -> None:
    path = tmp_path / "a.npy"
    np.save(path, X)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(DataError, match=r"a\.npy: .*; save it"):
        open_data(str(path), ONE)


def test_a_header_that_is_no_python_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    np.save(path, X)
    path.write_bytes(path.read_bytes().replace(b"}", b"("))
    with pytest.raises(DataError, match="truncated or damaged"):
        open_data(str(path), ONE)


def test_an_array_said_to_be_larger_than_memory_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    np.save(path, X)
    content = path.read_bytes().replace(b"(6, 4), }          ", b"(99999999999999, 4),}")
    path.write_bytes(content)
    with pytest.raises(DataError, match="more than this machine has|damaged"):
        open_data(str(path), ONE)


def test_a_text_file_named_npz_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    path.write_text("hello")
    with pytest.raises(DataError, match="is no NumPy archive of arrays"):
        open_data(str(path), ONE)


def test_an_npy_named_npz_is_refused_with_the_right_name(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", X)
    (tmp_path / "a.npy").rename(tmp_path / "a.npz")
    with pytest.raises(DataError, match="single array; call it .npy"):
        open_data(str(tmp_path / "a.npz"), ONE)
