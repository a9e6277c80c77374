"""Free sizes, fixed batches, scalars, and nothing at all."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import edgekit
from edgekit.errors import DataError, EdgekitError

Open = Callable[..., edgekit.Model]
WEIGHTS = np.array([[1.0, -1.0, 0.5], [0.5, 1.0, -1.0]], np.float32)
ROWS = np.random.default_rng(5).normal(size=(11, 2)).astype(np.float32)


@pytest.mark.board
@pytest.mark.parametrize("name", ["dense", "dense.batch-4", "dense.batch-free"])
def test_any_number_of_rows_is_run(open_model: Open, name: str) -> None:
    model = open_model(name)
    for count in (1, 4, 3, 11, 8, 1):
        given = model(ROWS[:count])
        assert given.shape == (count, 3)
        np.testing.assert_allclose(given, ROWS[:count] @ WEIGHTS, rtol=1e-5, atol=1e-6)


def test_rows_of_a_fixed_batch_are_each_what_one_alone_gives(open_model: Open) -> None:
    model = open_model("fashion.int8.io-int8")
    images = np.random.default_rng(6).random((5, 28, 28, 1), np.float32)
    alone = np.concatenate([model(image[None]) for image in images])
    np.testing.assert_array_equal(model(images), alone)


def test_the_spec_has_none_for_a_free_size(open_model: Open) -> None:
    assert open_model("dense.batch-free").inputs[0].shape == (None, 2)
    assert open_model("sequence").inputs[0].shape == (None, None, 4)


def test_every_length_of_a_free_sequence_gives_its_own_result(open_model: Open) -> None:
    model = open_model("sequence")
    steps = np.random.default_rng(7).random((3, 9, 4), np.float32)
    first = model(steps)
    for batch, length in ((1, 1), (2, 5), (3, 9), (3, 4)):
        given = model(steps[:batch, :length])
        assert given.shape == (batch, 2)
        again = model(steps[:batch, :length])
        np.testing.assert_array_equal(given, again)
    np.testing.assert_array_equal(model(steps), first)


def test_a_shape_the_model_cannot_take_leaves_it_usable(open_model: Open) -> None:
    model = open_model("dense.batch-free")
    wanted = model(ROWS)
    with pytest.raises(DataError, match="'image'"):
        model(np.zeros((3, 7), np.float32))
    np.testing.assert_array_equal(model(ROWS), wanted)


def test_a_shape_the_runtime_refuses_leaves_the_model_usable(open_model: Open) -> None:
    model = open_model("picky")
    values = np.arange(8, dtype=np.float32).reshape(2, 4)
    for _ in range(3):
        np.testing.assert_array_equal(model(values), values)
        with pytest.raises(EdgekitError, match="picky"):
            model(np.zeros((3, 4), np.float32))
        np.testing.assert_array_equal(model(values + 1), values + 1)


def test_results_whose_shape_depends_on_the_values(open_model: Open) -> None:
    model = open_model("positive")
    for grid in ([[0, 1, -2], [3, 0, 4]], [[1, 1, 1], [1, 1, 1]], [[0, 0, 0], [0, 0, 0]]):
        values = np.array(grid, np.float32)
        given = model(values)
        assert given.dtype == np.int64
        np.testing.assert_array_equal(given, np.argwhere(values > 0))


@pytest.mark.parametrize("value", [2.5, np.float32(2.5), np.array(2.5), np.array(2.5, np.float32)])
def test_a_scalar_input_takes_a_scalar(open_model: Open, value: Any) -> None:
    given = open_model("scalar")(value)
    assert given.shape == ()
    assert given == np.float32(6.0)


def test_a_scalar_input_refuses_an_array(open_model: Open) -> None:
    with pytest.raises(DataError, match=r"'x': has shape \(1,\)"):
        open_model("scalar")(np.zeros(1, np.float32))


@pytest.mark.parametrize("name", ["dense", "dense.batch-free", "echo.int8"])
@pytest.mark.parametrize("value", [1.0, np.float32(1.0), np.zeros(())])
def test_a_scalar_is_refused_elsewhere(open_model: Open, name: str, value: Any) -> None:
    with pytest.raises(DataError, match="shape"):
        open_model(name)(value)


@pytest.mark.parametrize("name", ["dense", "dense.batch-4", "dense.batch-free", "echo.int8"])
def test_an_empty_array_is_refused(open_model: Open, name: str) -> None:
    model = open_model(name)
    width = model.inputs[0].shape[1]
    for shape in ((0, width), (1, 0)):
        with pytest.raises(DataError, match=r"input '\w+'"):
            model(np.zeros(shape, np.float32))


def test_an_empty_sequence_is_refused(open_model: Open) -> None:
    with pytest.raises(DataError, match="empty"):
        open_model("sequence")(np.zeros((1, 0, 4), np.float32))


def test_inputs_with_different_numbers_of_rows_are_refused(open_model: Open) -> None:
    model = open_model("pair")
    image, ids = np.zeros((3, 8, 8, 1), np.float32), np.zeros((2, 5), np.int32)
    with pytest.raises(DataError, match="different numbers of rows"):
        model.run({"image": image, "ids": ids})


def test_several_inputs_and_outputs_are_run_row_by_row(open_model: Open) -> None:
    model = open_model("pair")
    random = np.random.default_rng(8)
    inputs = {
        "image": random.random((3, 8, 8, 1), np.float32),
        "ids": random.integers(0, 16, (3, 5), np.int32),
    }
    given = model.run(inputs)
    for row in range(3):
        alone = model.run({name: array[row : row + 1] for name, array in inputs.items()})
        for name, array in alone.items():
            np.testing.assert_array_equal(given[name][row : row + 1], array)
