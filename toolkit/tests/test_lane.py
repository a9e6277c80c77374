from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgekit.errors import DataError
from edgekit.lane import Lane
from edgekit.sessions import open_session

Build = Callable[..., Path]
WEIGHTS = np.array([[1.0, -1.0, 0.5], [0.5, 1.0, -1.0]], np.float32)
ROWS = np.array([[1.0, 2.0], [-0.5, 0.25], [0.0, 3.0], [2.0, -1.0], [0.1, 0.2]], np.float32)
STEP = 0.1
"""One step of the tiny int8 file's output."""


@pytest.fixture(params=["tflite", "onnx"])
def tiny(request: Any) -> Build:
    build: Build = request.getfixturevalue(f"tiny_{request.param}")
    return build


def test_the_usual_call_gives_what_the_session_gives(tiny: Build) -> None:
    path = tiny()
    expected = open_session(path).run_real({"image": ROWS[:1]})["scores"]
    np.testing.assert_array_equal(Lane(open_session(path)).call([ROWS[:1]], None)[0], expected)


def test_results_are_not_overwritten_by_the_next_call(tiny: Build) -> None:
    lane = Lane(open_session(tiny()))
    first = lane.call([ROWS[:1]], None)[0]
    kept = first.copy()
    lane.call([ROWS[1:2]], None)
    np.testing.assert_array_equal(first, kept)


def test_another_dtype_than_before_is_taken_and_the_usual_one_after_it(tiny: Build) -> None:
    lane = Lane(open_session(tiny()))
    for dtype in (np.float32, np.float64, np.float16, np.int64, np.float32):
        given = np.array([[1, 2]], dtype)
        np.testing.assert_allclose(lane.call([given], None)[0], [[2, 1, -1.5]], rtol=1e-6)


def test_data_of_the_stored_dtype_passes_through_untouched(tiny: Build) -> None:
    path = tiny(io="int8")
    stored = np.array([[30, 50]], np.int8)
    lane = Lane(open_session(path))
    expected = open_session(path).run({"image": stored})["scores"]
    for _ in range(2):
        real = lane.call([stored], None)[0]
        np.testing.assert_array_equal(np.rint(real / STEP - 5).astype(np.int8), expected)
    as_real = lane.call([np.array([[1.0, 2.0]])], None)[0]  # the same numbers, said otherwise
    np.testing.assert_array_equal(as_real, real)


def test_an_array_counts_by_its_values_not_by_how_they_lie_in_memory(tiny: Build) -> None:
    lane = Lane(open_session(tiny()))
    read_only = ROWS[:1].copy()
    read_only.flags.writeable = False
    expected = lane.call_one(ROWS[:1], None)
    for values in (ROWS[:1].astype(">f4"), ROWS[:1, ::-1][:, ::-1], ROWS.T[:, :1].T, read_only):
        np.testing.assert_array_equal(lane.call_one(values, None), expected)
        np.testing.assert_array_equal(lane.call([values], None)[0], expected)


def test_integers_of_the_stored_dtype_may_have_another_byte_order(tiny: Build) -> None:
    lane = Lane(open_session(tiny(io="int8")))
    whole = np.array([[1, 2]], np.int16)
    expected = lane.call_one(whole, None)
    np.testing.assert_array_equal(lane.call_one(whole.astype(">i2"), None), expected)


def test_lists_are_taken_as_arrays(tiny: Build) -> None:
    lane = Lane(open_session(tiny()))
    np.testing.assert_allclose(lane.call([[[1.0, 2.0]]], None)[0], [[2, 1, -1.5]], rtol=1e-6)


@settings(deadline=None, max_examples=25)
@given(st.lists(st.integers(1, 6), min_size=1, max_size=8))
def test_a_free_batch_takes_any_rows_in_any_order(counts: list[int]) -> None:
    for lane in _free():
        for count in counts:
            given = np.resize(ROWS, (count, 2))
            np.testing.assert_allclose(
                lane.call([given], None)[0], given @ WEIGHTS, rtol=1e-6, atol=1e-6
            )


_LANES: list[Lane] = []


def _free() -> list[Lane]:
    return _LANES


@pytest.fixture(autouse=True)
def lanes_with_a_free_batch(tiny_tflite: Build, tiny_onnx: Build) -> None:
    if not _LANES:
        paths = (tiny_tflite("free.tflite", batch=-1), tiny_onnx("free.onnx", batch="batch"))
        _LANES.extend(Lane(open_session(path)) for path in paths)


def test_rows_beyond_a_fixed_batch_run_piece_by_piece_also_into_out(tiny: Build) -> None:
    lane = Lane(open_session(tiny(batch=2)))
    out = np.zeros((5, 3), np.float32)
    (given_back,) = lane.call([ROWS], [out])
    assert given_back is out
    np.testing.assert_allclose(out, ROWS @ WEIGHTS, rtol=1e-6, atol=1e-6)


def test_out_is_filled_and_returned(tiny: Build) -> None:
    for io in ("float32", "int8"):
        lane = Lane(open_session(tiny(f"{io}.model", io=io)))
        out = np.zeros((1, 3), np.float32)
        (result,) = lane.call([ROWS[:1]], [out])
        assert result is out
        np.testing.assert_array_equal(out, lane.call([ROWS[:1]], None)[0])


@pytest.mark.parametrize(
    "out",
    [np.zeros((1, 4), np.float32), np.zeros((3,), np.float32), np.zeros((1, 3)), [[0.0, 0.0, 0.0]]],
)
def test_an_out_that_does_not_fit_is_refused(tiny: Build, out: Any) -> None:
    lane = Lane(open_session(tiny()))
    with pytest.raises(DataError, match="out 'scores': .* writable float32 array of shape"):
        lane.call([ROWS[:1]], [out])


def test_an_out_that_cannot_be_written_is_refused(tiny: Build) -> None:
    out = np.zeros((1, 3), np.float32)
    out.flags.writeable = False
    with pytest.raises(DataError, match="writable"):
        Lane(open_session(tiny())).call([ROWS[:1]], [out])


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (np.zeros((1, 7)), "has shape \\(1, 7\\), the model takes \\(1, 2\\)"),
        (np.zeros(2), "add the batch dimension"),
        (np.zeros((1, 2, 1)), "has shape \\(1, 2, 1\\)"),
        (np.zeros((0, 2)), "is empty"),
        (3.0, "has shape \\(\\)"),
        ([[1.0, 2.0], [3.0]], "rows of equal length"),
        (np.array([["a", "b"]]), "the model takes numbers"),
        (np.array([[None, object()]]), "the model takes numbers"),
        (np.zeros((1, 2), np.complex64), "the model takes numbers"),
        (np.zeros((1, 2), "datetime64[s]"), "the model takes numbers"),
    ],
)
def test_what_does_not_fit_is_told_and_the_lane_works_on(
    tiny: Build, value: Any, told: str
) -> None:
    lane = Lane(open_session(tiny()))
    with pytest.raises(DataError, match=told):
        lane.call([value], None)
    np.testing.assert_allclose(lane.call([ROWS[:1]], None)[0], ROWS[:1] @ WEIGHTS, rtol=1e-6)


def test_another_number_of_inputs_is_refused(tiny: Build) -> None:
    lane = Lane(open_session(tiny()))
    for arrays in ([], [ROWS[:1], ROWS[:1]]):
        with pytest.raises(DataError, match="the model takes 1 \\(image\\)"):
            lane.call(arrays, None)


def test_nan_is_refused_where_integers_stand_for_numbers(tiny: Build) -> None:
    lane = Lane(open_session(tiny(io="int8")))
    with pytest.raises(DataError, match="NaN"):
        lane.call([np.array([[np.nan, 1.0]], np.float32)], None)


def test_nan_goes_through_a_float_file(tiny: Build) -> None:
    lane = Lane(open_session(tiny()))
    assert np.isnan(lane.call([np.array([[np.nan, 1.0]], np.float32)], None)[0]).all()


def test_numbers_beyond_float32_become_infinite_without_a_warning(tiny: Build) -> None:
    lane = Lane(open_session(tiny()))
    assert not np.isfinite(lane.call([np.array([[1e300, 1.0]])], None)[0]).any()
