"""Random data: seeded, marked, within bounds."""

import numpy as np
import pytest

from edgekit.data import open_data
from edgekit.errors import UsageError
from edgekit.preprocess import Preprocess
from edgekit.tensors import TensorSpec

FLOAT = TensorSpec(name="x", shape=(None, 4, 4), dtype="float32")
TOKENS = TensorSpec(name="tokens", shape=(None, 50), dtype="int32")


def test_random_data_are_marked() -> None:
    assert open_data("random", [FLOAT]).is_random


def test_the_count_can_be_given() -> None:
    assert len(open_data("random:7", [FLOAT])) == 7
    assert len(open_data("random", [FLOAT])) == 100


@pytest.mark.parametrize("text", ["random:0", "random:", "random:-1", "random:x", "random:9999999"])
def test_a_wrong_count_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="write for example random:100"):
        open_data(text, [FLOAT])


def test_a_sample_is_the_same_in_whatever_batch_it_comes() -> None:
    data = open_data("random", [FLOAT])
    assert np.array_equal(data.batch([5, 9])["x"][1], data.batch([9])["x"][0])


def test_samples_and_inputs_differ() -> None:
    other = TensorSpec(name="z", shape=FLOAT.shape, dtype="float32")
    batch = open_data("random", [FLOAT, other]).batch([0, 1])
    assert not np.array_equal(batch["x"][0], batch["x"][1])
    assert not np.array_equal(batch["x"], batch["z"])


def test_floats_are_from_zero_to_one() -> None:
    values = open_data("random", [FLOAT]).batch(range(100))["x"]
    assert 0 <= values.min() < 0.05 < 0.95 < values.max() < 1


def test_bounds_of_floats_can_be_given() -> None:
    values = open_data("random", [FLOAT], float_bounds={"x": (0, 255)}).batch(range(100))["x"]
    assert 0 <= values.min() < 10 < 245 < values.max() <= 255


def test_integers_stay_below_their_bound() -> None:
    data = open_data("random", [TOKENS], integer_bounds={"tokens": 9})
    values = data.batch(range(100))["tokens"]
    assert values.dtype == np.int32
    assert set(values.ravel().tolist()) == set(range(9))


def test_integers_without_a_bound_are_zero_or_one() -> None:
    assert set(open_data("random", [TOKENS]).batch([0])["tokens"].ravel().tolist()) == {0, 1}


def test_bytes_without_a_bound_are_any() -> None:
    spec = TensorSpec(name="x", shape=(None, 1000), dtype="uint8")
    assert open_data("random", [spec]).batch([0])["x"].max() > 200


def test_free_dimensions_get_a_size() -> None:
    spec = TensorSpec(name="x", shape=(None, None, None, 3), dtype="float32")
    assert open_data("random", [spec]).batch([0])["x"].shape == (1, 32, 32, 3)


def test_preparation_does_not_run_on_random_numbers() -> None:
    data = open_data("random", [FLOAT], preprocess={"x": Preprocess.parse("scale=1/255")})
    assert data.batch([0])["x"].max() > 0.5
