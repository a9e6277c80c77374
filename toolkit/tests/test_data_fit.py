"""Making data fit an input: shapes and dtypes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from edgekit.data_fit import cast, fit, sample_dtype
from edgekit.errors import DataError
from edgekit.preprocess import Preprocess
from edgekit.tensors import Quantization, TensorSpec


def spec(*shape: int | None, dtype: str = "float32") -> TensorSpec:
    return TensorSpec(name="x", shape=shape, dtype=dtype)


@pytest.mark.parametrize(
    ("given_shape", "wanted"),
    [
        ((4, 8, 8), (None, 8, 8, 1)),
        ((4, 8, 8), (1, 1, 8, 8)),
        ((4, 30), (None, 30, 1)),
        ((4,), (None, 1)),
        ((4, 10), (32, 10)),
        ((4, 10), (None, None)),
        ((4, 9, 7, 3), (None, None, None, 3)),
        ((4,), (None,)),
    ],
)
def test_a_shape_that_fits_is_accepted(
    given_shape: tuple[int, ...], wanted: tuple[int | None, ...]
) -> None:
    made = fit(np.zeros(given_shape), spec(*wanted))
    assert made.ndim == len(wanted)
    assert made.size == np.zeros(given_shape).size


@pytest.mark.parametrize(
    ("given_shape", "wanted", "advice"),
    [
        ((4, 8, 8, 3), (None, 8, 8, 1), "gray"),
        ((4, 8, 8), (None, 8, 8, 3), "rgb"),
        ((4, 8, 8, 1), (None, 8, 8, 3), "rgb"),
        ((4, 3, 8, 8), (None, 8, 8, 3), "move the channel axis"),
        ((4, 9, 9, 3), (None, 8, 8, 3), "resize=8x8"),
        ((4, 64), (None, 8, 8, 1), "reshape"),
        ((4, 11), (None, 10), "reshape"),
        ((4,), (None, 10), "reshape"),
        ((4, 7), (None, 6), "call the column of a table 'label'"),
    ],
)
def test_a_shape_that_does_not_fit_is_refused_with_advice(
    given_shape: tuple[int, ...], wanted: tuple[int | None, ...], advice: str
) -> None:
    with pytest.raises(DataError, match=rf"the model takes .*; .*{advice}"):
        fit(np.zeros(given_shape), spec(*wanted))


def test_gray_images_become_rgb_when_asked() -> None:
    assert fit(np.zeros((4, 8, 8)), spec(None, 8, 8, 3), Preprocess.parse("rgb")).shape[-1] == 3


def test_images_without_channel_axis_are_resized() -> None:
    made = fit(np.zeros((4, 8, 8), np.uint8), spec(None, 6, 6, 1), Preprocess.parse("resize=6"))
    assert made.shape == (4, 6, 6, 1)


def test_without_steps_large_integers_stay_exact() -> None:
    tokens = np.array([[2**31 - 2]])
    assert fit(tokens, spec(None, 1, dtype="int32"), Preprocess()).item() == 2**31 - 2


def test_integers_become_floats() -> None:
    assert cast(np.arange(5), spec(None)).dtype == np.float32


def test_whole_floats_become_integers() -> None:
    assert cast(np.array([1.0, 2.0]), spec(None, dtype="int32")).tolist() == [1, 2]


@pytest.mark.parametrize("value", [0.5, float("nan")])
def test_fractions_and_nan_for_an_integer_input_are_refused(value: float) -> None:
    with pytest.raises(DataError, match="fractions or NaN"):
        cast(np.array([1.0, value]), spec(None, dtype="int32"))


@pytest.mark.parametrize(
    ("value", "dtype"), [(300, "uint8"), (-1, "uint8"), (2**40, "int32"), (2, "bool")]
)
def test_values_an_integer_input_cannot_hold_are_refused(value: int, dtype: str) -> None:
    with pytest.raises(DataError, match="give values in that range"):
        cast(np.array([value]), spec(None, dtype=dtype))


def test_infinity_for_an_integer_input_is_refused() -> None:
    with pytest.raises(DataError):
        cast(np.array([np.inf]), spec(None, dtype="int64"))


@given(hnp.arrays(hnp.integer_dtypes() | hnp.unsigned_integer_dtypes(), st.integers(0, 9)))
def test_casting_to_integers_never_changes_a_value(values: np.ndarray) -> None:
    try:
        made = cast(values, spec(None, dtype="int16"))
    except DataError:
        assert values.min() < -(2**15) or values.max() >= 2**15
    else:
        assert made.tolist() == values.tolist()


@pytest.mark.parametrize(
    ("array", "what"),
    [
        (np.array(["a"]), "text"),
        (np.array([None]), "Python objects"),
        (np.array([1j]), "complex"),
        (np.array(["2020-01-01"], "M8[D]"), "dates"),
    ],
)
def test_what_are_no_numbers_is_refused(array: np.ndarray, what: str) -> None:
    with pytest.raises(DataError, match=what):
        fit(array, spec(None))


def test_an_input_that_takes_text_is_refused() -> None:
    with pytest.raises(DataError, match="takes string, for which there is no data"):
        sample_dtype(spec(None, dtype="string"))


def test_a_quantized_input_is_given_real_numbers() -> None:
    quantized = TensorSpec(
        name="x",
        shape=(1,),
        dtype="int8",
        quantization=Quantization(scale=(0.1,), zero_point=(0,)),
    )
    assert cast(np.array([0.55]), quantized).dtype == np.float32
