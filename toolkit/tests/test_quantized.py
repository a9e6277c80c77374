"""Quantizing and dequantizing, against a slow reference that shares no code with them."""

import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgekit.errors import DataError, SourceError
from edgekit.sessions.quantized import decoder, dequantize, encoder, quantize, stored
from edgekit.tensors import Quantization, TensorSpec

DTYPES = ("int8", "uint8", "int16", "uint16", "int32", "int4", "uint4")
LARGE = 3 * 2**16 + 17
"""Elements enough for several blocks, the last one odd."""


def spec_of(
    dtype: str = "int8",
    scale: float | tuple[float, ...] = 0.05,
    zero_point: int | tuple[int, ...] = 10,
    axis: int | None = None,
) -> TensorSpec:
    scales = scale if isinstance(scale, tuple) else (scale,)
    points = zero_point if isinstance(zero_point, tuple) else (zero_point,)
    quantization = Quantization(scale=scales, zero_point=points, axis=axis)
    return TensorSpec(name="x", shape=(None,), dtype=dtype, quantization=quantization)


def limits_of(dtype: str) -> tuple[int, int]:
    bits = int(dtype.removeprefix("u").removeprefix("int"))
    return (0, 2**bits - 1) if dtype.startswith("u") else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)


def storage_of(dtype: str) -> str:
    return dtype.replace("int4", "int8")


def float32_of(number: Fraction) -> float:
    """The float32 nearest to `number`, half to even; infinity beyond the largest."""
    if not number:
        return 0.0
    size = abs(number)
    exponent = size.numerator.bit_length() - size.denominator.bit_length()
    if size < Fraction(2) ** exponent:
        exponent -= 1
    unit = Fraction(2) ** (max(exponent, -126) - 23)
    rounded = round(size / unit) * unit  # round() of a Fraction is half to even
    nearest = float("inf") if rounded >= 2**128 else float(rounded)
    return nearest if number > 0 else -nearest


def reference(value: float, scale: float, zero_point: int, dtype: str) -> int:
    """What edgekit promises to store for `value`, in exact arithmetic."""
    low, high = limits_of(dtype)
    if abs(value) != float("inf"):
        value = float32_of(Fraction(value))
    if abs(value) != float("inf"):
        value = float32_of(Fraction(value) / Fraction(float(np.float32(scale))))
    if abs(value) == float("inf"):
        return high if value > 0 else low
    return min(max(round(Fraction(value)) + zero_point, low), high)


# ---- the rule -------------------------------------------------------------------------------


def test_quantizing_saturates_and_never_wraps() -> None:
    values = np.array([7.0, -7.0, np.inf, -np.inf], np.float32)
    assert quantize(values, spec_of()).tolist() == [127, -128, 127, -128]


def test_quantizing_rounds_half_to_even() -> None:
    spec = spec_of(scale=1.0, zero_point=0)
    assert quantize(np.array([0.5, 1.5, 2.5, -0.5]), spec).tolist() == [0, 2, 2, 0]


def test_half_is_rounded_to_even_before_an_odd_zero_point_is_added() -> None:
    spec = spec_of(scale=1.0, zero_point=3)
    assert quantize(np.array([0.5, 1.5, 2.5, -0.5]), spec).tolist() == [3, 5, 5, 3]


def test_per_channel_scales_follow_their_axis() -> None:
    spec = spec_of(scale=(1.0, 0.5), zero_point=(0, 1), axis=1)
    assert quantize(np.array([[3.0, 3.0]]), spec).tolist() == [[3, 7]]
    assert dequantize(np.array([[3, 7]], np.int8), spec).tolist() == [[3.0, 3.0]]


@given(st.lists(st.integers(-128, 127), min_size=1), st.floats(1e-4, 1e3), st.integers(-128, 127))
@settings(deadline=None)
def test_every_stored_number_survives_the_round_trip(
    numbers: list[int], scale: float, zero_point: int
) -> None:
    spec = spec_of(scale=scale, zero_point=zero_point)
    array = np.array(numbers, np.int8)
    np.testing.assert_array_equal(quantize(dequantize(array, spec), spec), array)


@st.composite
def cases(draw: st.DrawFn) -> tuple[TensorSpec, list[float]]:
    """A scale and zero point anywhere, and values where rounding and saturation decide."""
    dtype = draw(st.sampled_from(DTYPES))
    low, high = limits_of(dtype)
    scale = draw(
        st.floats(2.0**-149, float(np.finfo(np.float32).max), width=32)
        | st.floats(2.0**-20, 8.0, width=32)
        | st.integers(-149, 127).map(lambda e: 2.0**e)
    )
    zero_point = draw(st.sampled_from([low, high, 0, low + 1]) | st.integers(low, high))
    halves = st.integers(2 * (low - zero_point) - 4, 2 * (high - zero_point) + 4).map(
        lambda n: n / 2 * scale
    )
    step = st.sampled_from([-np.inf, np.inf])
    beside = st.tuples(halves, step).map(
        lambda pair: float(np.nextafter(np.clip(pair[0], -3e38, 3e38).astype(np.float32), pair[1]))
    )
    anything = st.floats(allow_nan=False)
    return spec_of(dtype, scale, zero_point), draw(st.lists(halves | beside | anything, min_size=1))


@given(cases())
@settings(deadline=None, max_examples=400)
def test_quantizing_is_what_exact_arithmetic_says(case: tuple[TensorSpec, list[float]]) -> None:
    spec, values = case
    assert spec.quantization is not None
    scale, zero_point = spec.quantization.scale[0], spec.quantization.zero_point[0]
    wanted = [reference(value, scale, zero_point, spec.dtype) for value in values]
    assert quantize(np.array(values), spec).tolist() == wanted
    repeated = np.resize(np.array(values), 1500)  # beyond what counts as small
    assert quantize(repeated, spec).tolist() == np.resize(wanted, 1500).tolist()


@given(cases())
@settings(deadline=None, max_examples=200)
def test_dequantizing_is_what_exact_arithmetic_says(case: tuple[TensorSpec, list[float]]) -> None:
    spec, _ = case
    assert spec.quantization is not None
    low, high = limits_of(spec.dtype)
    numbers = [low, low + 1, *([0] if low <= 0 else []), high - 1, high]
    scale = Fraction(float(np.float32(spec.quantization.scale[0])))
    wanted = [float32_of(scale * (n - spec.quantization.zero_point[0])) for n in numbers]
    array = np.array(numbers, storage_of(spec.dtype))
    given = dequantize(array, spec)
    assert given.dtype == np.float32
    if spec.dtype == "int32":  # product of 24 and 33 bits, rounded to float64 on the way
        np.testing.assert_allclose(given, np.array(wanted, np.float64), rtol=1.2e-7)
    else:
        assert given.tolist() == wanted


@pytest.mark.parametrize("zero_point", [-128, 0, 7])
@pytest.mark.parametrize("scale", [1 / 255, 0.0078125, 0.0235])
def test_every_tie_and_its_neighbours_are_right(scale: float, zero_point: int) -> None:
    ties = (np.arange(-300, 300) * np.float32(0.5) * np.float32(scale)).astype(np.float32)
    values = np.concatenate([ties, np.nextafter(ties, -np.inf), np.nextafter(ties, np.inf)])
    wanted = [reference(float(value), scale, zero_point, "int8") for value in values]
    assert quantize(values, spec_of("int8", scale, zero_point)).tolist() == wanted


# ---- the ways of holding the data -----------------------------------------------------------


def plain(values: Any, spec: TensorSpec) -> Any:
    assert spec.quantization is not None
    low, high = limits_of(spec.dtype)
    scale = np.asarray(spec.quantization.scale, np.float32)
    zero_point = np.asarray(spec.quantization.zero_point, np.float64)
    with np.errstate(over="ignore"):
        number = np.rint(np.asarray(values).astype(np.float32) / scale).astype(np.float64)
    return np.clip(number + zero_point, low, high).astype(storage_of(spec.dtype))


@pytest.mark.parametrize("size", [1, 10, 1024, 1025, 2**16, 2**16 + 1, LARGE])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("spread", [0.4, 20.0, 1e30])
def test_arrays_of_all_sizes_are_quantized_alike(size: int, dtype: str, spread: float) -> None:
    low, high = limits_of(dtype)
    spec = spec_of(dtype, 0.031, min(max(3, low), high))
    for least in (-spread, 0):
        values = np.random.default_rng(size).uniform(least, spread, size).astype(np.float32)
        np.testing.assert_array_equal(quantize(values, spec), plain(values, spec))


@pytest.mark.parametrize(
    "dtype",
    [
        "float16",
        "float64",
        "longdouble",
        "bool",
        "int8",
        "uint8",
        "int16",
        "int64",
        "uint64",
        ">f4",
    ],
)
@pytest.mark.parametrize("size", [7, 5000, LARGE])
def test_numbers_of_any_dtype_are_taken(dtype: str, size: int) -> None:
    values = np.random.default_rng(1).uniform(0, 100, size).astype(dtype)
    spec = spec_of("int16", 0.37, -5)
    out = np.empty(size, np.int16)
    encoder(spec)(values, out)
    if dtype == "int16":
        np.testing.assert_array_equal(out, values)
    else:
        np.testing.assert_array_equal(out, plain(values, spec))


@pytest.mark.parametrize("scale", [1.0, 0.5, 1.004])
@pytest.mark.parametrize("pair", [("int8", "uint8"), ("uint8", "int8")])
def test_pixels_into_a_quantized_input_mean_their_numbers(
    pair: tuple[str, str], scale: float
) -> None:
    source, target = pair
    values = np.arange(256, dtype=np.uint8).view(source).reshape(16, 16)[:, ::-1]
    spec = spec_of(target, scale, -128 if target == "int8" else 128)
    out = np.empty(values.shape, target)
    encoder(spec)(values, out)
    np.testing.assert_array_equal(out, plain(values, spec))


@pytest.mark.parametrize("scale", [0.05, (0.05, 0.01, 0.3)])
@pytest.mark.parametrize("shape", [(1, 5, 4, 3), (1, 160, 171, 3), (2, 40_000, 3), (70_000, 2, 3)])
def test_arrays_that_are_not_contiguous_are_taken(
    shape: tuple[int, ...], scale: float | tuple[float, ...]
) -> None:
    spec = spec_of("int8", scale, 10, axis=len(shape) - 1)
    whole = np.random.default_rng(1).normal(0, 5, shape).astype(np.float32)
    for values in (whole[..., ::-1], whole[::-1], np.asfortranarray(whole)):
        room = np.zeros((*shape, 2), np.int8)
        for out in (np.empty(shape, np.int8), room[..., 0]):
            encoder(spec)(values, out)
            np.testing.assert_array_equal(out, plain(values, spec))
        assert not room[..., 1].any()
        real = dequantize(room[..., 0], spec)
        real_room = np.zeros((*shape, 2), np.float32)
        decoder(spec)(room[..., 0], real_room[..., 0])
        np.testing.assert_array_equal(real_room[..., 0], real)
        columns = np.asarray(scale, np.float32)
        np.testing.assert_array_equal(real, (room[..., 0].astype(np.float32) - 10) * columns)


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_single_number_has_no_dimension(dtype: str) -> None:
    spec = spec_of(dtype, 0.5, 1)
    out = np.empty((), storage_of(dtype))
    encoder(spec)(np.array(2.5, np.float32), out)
    assert out == 6
    assert decoder(spec)(out, None) == np.float32(2.5)


def test_an_empty_array_is_quantized_to_an_empty_array() -> None:
    assert quantize(np.empty((0, 3)), spec_of()).shape == (0, 3)
    assert dequantize(np.empty((0, 3), np.int8), spec_of()).shape == (0, 3)


def test_data_of_the_dtype_of_the_file_is_copied_untouched() -> None:
    values = np.array([-128, 5, 127], np.int8)
    out = np.empty(3, np.int8)
    encoder(spec_of(scale=0.3))(values, out)
    assert out.tolist() == [-128, 5, 127]


def test_one_encoder_serves_shape_after_shape() -> None:
    spec = spec_of()
    encode = encoder(spec)
    for shape in [(3,), (LARGE,), (2, 2), (), (5000,), (3,)]:
        values = np.random.default_rng(1).normal(0, 3, shape).astype(np.float32)
        out = np.empty(shape, np.int8)
        encode(values, out)
        np.testing.assert_array_equal(out, plain(values, spec))


def test_results_without_out_are_new_arrays() -> None:
    decode = decoder(spec_of())
    array = np.array([1, 2], np.int8)
    first = decode(array, None)
    assert decode(array, None) is not first
    assert decoder(TensorSpec(name="x", shape=(2,), dtype="float32"))(first, None) is not first


def test_a_given_out_is_returned() -> None:
    out = np.empty(2, np.float32)
    assert decoder(spec_of())(np.array([1, 2], np.int8), out) is out


# ---- without quantization -------------------------------------------------------------------


def test_whole_numbers_go_into_an_integer_input() -> None:
    spec = TensorSpec(name="ids", shape=(None,), dtype="int32")
    assert stored(np.array([1.0, 7.0]), spec).dtype == np.int32


@pytest.mark.parametrize("bad", [0.5, np.nan, np.inf, 3e9, np.float32(2**31)])
def test_numbers_that_an_integer_input_cannot_hold_are_refused(bad: float) -> None:
    spec = TensorSpec(name="ids", shape=(None,), dtype="int32")
    with pytest.raises(DataError, match="ids"):
        stored(np.array([bad]), spec)


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_floats_go_into_an_input_of_any_float(dtype: str) -> None:
    spec = TensorSpec(name="x", shape=(None,), dtype=dtype)
    assert stored(np.array([1.5, 1e300]), spec).tolist() == [1.5, np.inf]


def test_half_precision_comes_back_as_float32() -> None:
    every = np.arange(2**16, dtype=np.uint16).view(np.float16)
    spec = TensorSpec(name="x", shape=(None,), dtype="float16")
    given = decoder(spec)(every, None)
    assert given.dtype == np.float32
    np.testing.assert_array_equal(given, every.astype(np.float32))


# ---- what is refused ------------------------------------------------------------------------


@pytest.mark.parametrize("axis", [None, 0])
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize(("size", "place"), [(1, 0), (10, 9), (3000, 1234), (LARGE, LARGE - 2)])
def test_nan_is_refused_wherever_it_is(size: int, place: int, dtype: str, axis: int | None) -> None:
    scale = 0.05 if axis is None else (0.05,) * size
    for values in (np.zeros(size, dtype), np.linspace(-3, 3, size).astype(dtype)):
        for nan in (np.nan, -np.nan):
            values[place] = nan
            with pytest.raises(DataError, match="input 'x': NaN has no value in int8"):
                encoder(spec_of("int8", scale, 10, axis))(values, np.empty(size, np.int8))


@pytest.mark.parametrize("values", [np.array(["seven"]), np.array([1j]), np.array([None])])
@pytest.mark.parametrize("dtype", ["int8", "int32"])
def test_what_is_no_real_number_is_refused(values: Any, dtype: str) -> None:
    with pytest.raises(DataError, match="the model takes int"):
        stored(values, spec_of(dtype))
    with pytest.raises(DataError, match="the model takes int"):
        stored(values, TensorSpec(name="x", shape=(1,), dtype=dtype))


@pytest.mark.parametrize("scale", [0.0, -1.0, np.nan, np.inf, 1e-60])
def test_a_scale_that_is_no_positive_number_is_refused(scale: float) -> None:
    with pytest.raises(SourceError, match="is no positive number"):
        encoder(spec_of(scale=scale))


# ---- memory ---------------------------------------------------------------------------------


@contextmanager
def at_most(size_bytes: int) -> Iterator[None]:
    tracemalloc.start()
    try:
        yield
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < size_bytes, f"{peak} bytes at the peak"


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "uint8", "int64"])
@pytest.mark.parametrize("spread", [1.0, 100.0])
def test_the_steady_state_allocates_nothing(dtype: str, spread: float) -> None:
    values = np.random.default_rng(1).uniform(0, spread, (1, 224, 224, 3)).astype(dtype)
    spec = spec_of()
    encode, decode = encoder(spec), decoder(spec)
    codes, real = np.empty(values.shape, np.int8), np.empty(values.shape, np.float32)
    encode(values, codes)
    encode(values[:, ::-1], codes)
    with at_most(5000):
        encode(values, codes)
        encode(values[:, ::-1], codes)
        decode(codes, real)
