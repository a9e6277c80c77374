"""Real numbers in, real numbers out, whatever the file stores."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import edgekit
from edgekit.errors import DataError

Open = Callable[..., edgekit.Model]
QUANTIZED = {"int8": (0.1, -3), "uint8": (0.0123, 131), "int16": (0.001, 0)}
PER_CHANNEL = np.array([0.5, 0.25, 0.1], np.float32), np.array([0, 10, -10], np.float32)

pytestmark = pytest.mark.board


def _stored(real: NDArray[Any], dtype: str) -> NDArray[Any]:
    """The reference: divided in float32, rounded half to even, clipped."""
    scale, zero_point = QUANTIZED[dtype]
    limits = np.iinfo(dtype)
    with np.errstate(over="ignore"):
        quotient = np.rint(real.astype(np.float32) / np.float32(scale))
    clipped: NDArray[Any] = np.clip(quotient + np.float32(zero_point), limits.min, limits.max)
    return clipped.astype(dtype)


def _real(stored: NDArray[Any], dtype: str) -> NDArray[np.float32]:
    scale, zero_point = QUANTIZED[dtype]
    return (stored.astype(np.float32) - np.float32(zero_point)) * np.float32(scale)


def _boundaries(dtype: str) -> NDArray[np.float32]:
    """Steps, the middles between them, their neighbours, and what lies far outside."""
    scale, zero_point = QUANTIZED[dtype]
    limits = np.iinfo(dtype)
    steps = np.arange(limits.min - 3, limits.max + 4, 1 if limits.bits == 8 else 97) - zero_point
    middles = ((steps + 0.5) * np.float64(scale)).astype(np.float32)
    around = [np.nextafter(middles, np.float32(side)) for side in (-np.inf, np.inf)]
    exact = np.float32(scale) * steps.astype(np.float32)
    outside = np.array([0.0, -0.0, 1e-30, 3e38, -3e38, np.inf, -np.inf, 1e9], np.float32)
    random = np.random.default_rng(0).normal(0, 50 * scale, 400).astype(np.float32)
    values = np.concatenate([exact, middles, *around, outside, random])
    return np.resize(values, (-(-len(values) // 4), 4))


@pytest.mark.cases(keep=lambda case: case.arrays and not case.refused_because)
def test_results_are_what_the_model_file_has_to_give(case: Any) -> None:
    with edgekit.load(case.path, backend=case.backend) as model:
        for inputs, expected in case.calls():
            given = model.run(inputs)
            assert list(given) == [spec.name for spec in model.outputs]
            for name, wanted in expected.items():
                assert given[name].dtype == wanted.dtype
                assert given[name].shape == wanted.shape
                wide = np.float64 if wanted.dtype.kind == "f" else wanted.dtype
                np.testing.assert_allclose(
                    given[name].astype(wide), wanted.astype(wide), rtol=1e-5, atol=case.tolerance
                )


@pytest.mark.parametrize("dtype", QUANTIZED)
def test_quantizing_rounds_half_to_even_and_saturates(open_model: Open, dtype: str) -> None:
    model = open_model(f"echo.{dtype}")
    values = _boundaries(dtype)
    for rows in (values[:1], values):  # one call, and rows piece by piece
        given = model(rows)
        assert given.dtype == np.float32
        np.testing.assert_array_equal(given, _real(_stored(rows, dtype), dtype))


@pytest.mark.parametrize("dtype", QUANTIZED)
def test_integers_of_the_files_own_type_pass_through_untouched(
    open_model: Open, dtype: str
) -> None:
    limits = np.iinfo(dtype)
    stored = np.linspace(limits.min, limits.max, 1024).astype(dtype).reshape(-1, 4)
    given = open_model(f"echo.{dtype}")(stored)
    np.testing.assert_array_equal(given, _real(stored, dtype))


@pytest.mark.parametrize("dtype", QUANTIZED)
def test_other_numbers_are_real_numbers(open_model: Open, dtype: str) -> None:
    model = open_model(f"echo.{dtype}")
    whole = np.array([[0, 1, 2, 3]])
    wanted = _real(_stored(whole, dtype), dtype)
    others = {"float64", "float16", "int64", "int32", "uint8", "int8"} - {dtype}
    for other in sorted(others):
        np.testing.assert_array_equal(model(whole.astype(other)), wanted, other)
    np.testing.assert_array_equal(model(whole.tolist()), wanted)


def test_the_spec_tells_scale_and_zero_point(open_model: Open) -> None:
    quantization = open_model("echo.int8").inputs[0].quantization
    assert quantization is not None
    np.testing.assert_allclose(quantization.scale, [0.1], rtol=1e-6)
    assert quantization.zero_point == (-3,)


def test_outputs_quantized_per_channel_use_the_scale_of_each(open_model: Open) -> None:
    stored = np.array([[-128, 0, 127], [1, 10, -10]], np.int8)
    given = open_model("echo.per-channel")(stored)
    np.testing.assert_array_equal(given, (stored - PER_CHANNEL[1]) * PER_CHANNEL[0])


def test_inputs_quantized_per_channel_use_the_scale_of_each(open_model: Open) -> None:
    values = np.array([[1.25, -1.0, 0.25], [1e9, -1e9, 0.0]], np.float32)
    given = open_model("echo.per-channel-in")(values)
    stored = np.clip(np.rint(values / PER_CHANNEL[0]) + PER_CHANNEL[1], -128, 127)
    np.testing.assert_array_equal(given, stored.astype(np.float32) * np.float32(0.5))


def test_float16_takes_and_gives_float32(open_model: Open) -> None:
    model = open_model("echo.float16")
    values = np.array([[0.1, 1 / 3, 65504.0, -1e-7]], np.float32)
    for given in (
        model(values),
        model(values.astype(np.float64)),
        model(values.astype(np.float16)),
    ):
        assert given.dtype == np.float32
        np.testing.assert_array_equal(given, values.astype(np.float16).astype(np.float32))


@pytest.mark.parametrize("dtype", ["int32", "int64"])
def test_whole_numbers_of_any_type_go_into_integer_inputs(open_model: Open, dtype: str) -> None:
    model = open_model(f"echo.{dtype}")
    for values in (np.array([[1.0, -2.0, 0.0, 7.0]]), np.array([[1, -2, 0, 7]], np.int16)):
        given = model(values)
        assert given.dtype == dtype
        np.testing.assert_array_equal(given, values)


@pytest.mark.parametrize("name", ["dense", "echo.int8", "echo.int32"])
def test_memory_order_byte_order_and_read_only_arrays_do_not_matter(
    open_model: Open, name: str
) -> None:
    model = open_model(name)
    width = model.inputs[0].shape[1] or 1
    values = np.arange(width, dtype=np.float32)[None]
    wanted = model(values)
    read_only = values.copy()
    read_only.flags.writeable = False
    apart = np.repeat(values, 3, axis=1)[:, ::3]
    swapped = values.astype(values.dtype.newbyteorder())
    for other in (read_only, apart, swapped, np.asfortranarray(values)):
        np.testing.assert_array_equal(model(other), wanted)


def test_float64_beyond_float32_is_infinite(open_model: Open) -> None:
    given = open_model("echo.float32")(np.array([[1e300, -1e300, 0.1, 1.0]]))
    np.testing.assert_array_equal(given, np.array([[np.inf, -np.inf, 0.1, 1.0]], np.float32))


def test_nan_passes_through_a_float_model(open_model: Open) -> None:
    values = np.array([[np.nan, 1.0, np.inf, 0.0]], np.float32)
    np.testing.assert_array_equal(open_model("echo.float32")(values), values)


@pytest.mark.parametrize("name", ["echo.int8", "echo.uint8", "echo.int16", "picture.int8"])
def test_nan_is_refused_where_the_model_is_quantized(open_model: Open, name: str) -> None:
    model = open_model(name)
    values = np.zeros([size or 1 for size in model.inputs[0].shape], np.float32)
    values.flat[-1] = np.nan
    with pytest.raises(DataError, match="'values': NaN"):
        model(values)
    values.flat[-1] = np.inf
    assert np.isfinite(model(values)).all()


@pytest.mark.cases(keep=lambda case: case.name == "fashion.int8")
def test_nan_is_refused_where_float_inputs_are_quantized_inside(case: Any) -> None:
    with edgekit.load(case.path, backend=case.backend) as model:
        inputs, _ = next(case.calls())
        images = inputs["image"].copy()
        images.flat[3] = np.nan
        with pytest.raises(DataError, match="'image': NaN"):
            model(images)
