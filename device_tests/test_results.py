"""Results belong to the caller, unless the caller says where they go."""

import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import edgekit
from edgekit.errors import DataError

Open = Callable[..., edgekit.Model]
LIMIT_BYTES = 8192
"""Frames and small objects; a picture of 224 x 224 x 3 takes 150,528 bytes in int8."""
ROWS = np.array([[1, 2], [-0.5, 0.25], [0, 3]], np.float32)


def _zeros(model: edgekit.Model) -> list[Any]:
    return [np.zeros([size or 1 for size in spec.shape], np.float32) for spec in model.outputs]


def test_a_result_stays_what_it_is_when_the_model_runs_again(open_model: Open) -> None:
    for name in ("dense", "echo.int8", "echo.float16", "fashion.float32"):
        model = open_model(name)
        shape = [size or 1 for size in model.inputs[0].shape]
        first = model(np.ones(shape, np.float32))
        kept = first.copy()
        model(np.full(shape, 0.25, np.float32))
        np.testing.assert_array_equal(first, kept)
        assert first.flags.owndata
        assert first.flags.writeable


def test_changing_a_result_changes_no_later_one(open_model: Open) -> None:
    model = open_model("dense")
    wanted = model(ROWS[:1]).copy()
    model(ROWS[:1])[:] = 99
    np.testing.assert_array_equal(model(ROWS[:1]), wanted)


def test_inputs_are_left_as_they_are(open_model: Open) -> None:
    for name in ("echo.float32", "echo.int8"):
        values = np.array([[0.26, -1e9, np.inf, 0.0]], np.float32)
        kept = values.copy()
        open_model(name)(values)
        np.testing.assert_array_equal(values, kept)


def test_a_result_outlives_the_model(open_model: Open) -> None:
    model = open_model("dense")
    given = model(ROWS[:1])
    kept = given.copy()
    model.close()
    np.testing.assert_array_equal(given, kept)


def test_one_output_comes_alone_and_several_by_name(open_model: Open) -> None:
    assert isinstance(open_model("dense")(ROWS[:1]), np.ndarray)
    pair = open_model("pair")
    inputs = {"image": np.zeros((1, 8, 8, 1), np.float32), "ids": np.zeros((1, 5), np.int32)}
    given = pair(*(inputs[spec.name] for spec in pair.inputs))
    assert {name: array.shape for name, array in given.items()} == {"scores": (1, 3), "age": (1, 1)}


@pytest.mark.parametrize("name", ["dense", "dense.batch-free", "echo.int8", "echo.float16"])
def test_out_is_filled_and_returned(open_model: Open, name: str) -> None:
    model = open_model(name)
    values = np.ones([size or 1 for size in model.inputs[0].shape], np.float32)
    wanted = model(values)
    out = np.full_like(wanted, 77)
    assert model(values, out=out) is out
    np.testing.assert_array_equal(out, wanted)


def test_out_takes_the_rows_of_a_fixed_batch(open_model: Open) -> None:
    model = open_model("dense")
    out = np.zeros((3, 3), np.float32)
    assert model(ROWS, out=out) is out
    np.testing.assert_array_equal(out, model(ROWS))


def test_out_by_name_may_leave_some_to_the_model(open_model: Open) -> None:
    model = open_model("pair")
    inputs = {"image": np.ones((1, 8, 8, 1), np.float32), "ids": np.zeros((1, 5), np.int32)}
    wanted = model.run(inputs)
    out = {"age": np.zeros((1, 1), np.float32)}
    given = model.run(inputs, out=out)
    assert given["age"] is out["age"]
    for name, array in wanted.items():
        np.testing.assert_array_equal(given[name], array)


def test_out_that_does_not_fit_is_refused(open_model: Open) -> None:
    model = open_model("dense")
    read_only = np.zeros((1, 3), np.float32)
    read_only.flags.writeable = False
    bad: tuple[Any, ...] = (np.zeros((1, 4), np.float32), np.zeros((1, 3)), read_only, [[0.0] * 3])
    for out in bad:
        with pytest.raises(DataError, match="'scores'"):
            model(ROWS[:1], out=out)
    with pytest.raises(DataError, match="nothing"):
        model.run({"image": ROWS[:1]}, out={"nothing": np.zeros((1, 3), np.float32)})
    np.testing.assert_allclose(model(ROWS[:1]), [[2.0, 1.0, -1.5]], rtol=1e-6)


def _peak_bytes(call: Callable[[], object]) -> int:
    """What the calls allocate in Python and NumPy, beyond what there was."""
    for _ in range(3):
        call()
    tracemalloc.start()
    try:
        call()
        tracemalloc.reset_peak()
        before, _ = tracemalloc.get_traced_memory()
        for _ in range(3):
            call()
        return tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("name", ["picture.float32", "picture.int8"])
@pytest.mark.parametrize("dtype", ["float32", "uint8"])
def test_the_steady_state_allocates_no_tensor_memory(
    open_model: Open, name: str, dtype: str
) -> None:
    model = open_model(name)
    values = np.zeros((1, 224, 224, 3), dtype)
    out = np.zeros((1, 224, 224, 3), np.float32)
    assert _peak_bytes(lambda: model(values, out=out)) < LIMIT_BYTES
    assert _peak_bytes(lambda: model.run({"values": values}, out={"same": out})) < LIMIT_BYTES


def test_integers_of_the_files_own_type_allocate_nothing_either(open_model: Open) -> None:
    model = open_model("picture.int8")
    values = np.zeros((1, 224, 224, 3), np.int8)
    out = np.zeros((1, 224, 224, 3), np.float32)
    assert _peak_bytes(lambda: model(values, out=out)) < LIMIT_BYTES


def test_a_free_size_is_resized_once_and_then_reused(open_model: Open) -> None:
    model = open_model("dense.batch-free")
    values = np.zeros((5000, 2), np.float32)
    out = np.zeros((5000, 3), np.float32)
    assert _peak_bytes(lambda: model(values, out=out)) < LIMIT_BYTES


def test_measuring_memory_sees_a_copy() -> None:
    values = np.zeros((1, 224, 224, 3), np.float32)
    assert _peak_bytes(values.copy) >= values.nbytes
