"""What is wrong with samples, before they are used."""

from collections.abc import Collection
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edgekit.data_checks import PixelRange, Purpose, check
from edgekit.errors import DataError
from edgekit.tensors import TensorSpec

RANDOM = np.random.default_rng(0)
UNIT = RANDOM.random((20, 8, 8, 3)).astype(np.float32)
RAW = RANDOM.integers(0, 256, (20, 8, 8, 3)).astype(np.float32)


def checked(
    values: NDArray[Any],
    *,
    purpose: Purpose = "calibration",
    pixel_range: PixelRange | None = None,
    given: bool | Collection[str] = False,
    labels: NDArray[Any] | None = None,
) -> tuple[str, ...]:
    spec = TensorSpec(name="image", shape=(None, *values.shape[1:]), dtype=values.dtype.name)
    return check(
        {"image": values},
        [spec],
        purpose=purpose,
        pixel_range=pixel_range,
        preprocess_was_given=given,
        labels=labels,
        source="set.npz",
    )


def test_good_samples_give_no_warning() -> None:
    assert checked(UNIT, labels=np.arange(20)) == ()


def test_nan_and_infinity_are_counted() -> None:
    bad = UNIT.copy()
    bad[3, 0, 0, 0] = bad[4, 0, 0, 0] = np.nan
    bad[4, 1, 1, 1] = -np.inf
    with pytest.raises(
        DataError,
        match=r"^set\.npz: input 'image' has 2 NaN and 1 infinite values, in 2 of 20 samples; ",
    ):
        checked(bad)


def test_nan_is_refused_for_evaluation_too() -> None:
    with pytest.raises(DataError, match="1 NaN values"):
        checked(np.array([[np.nan], [1.0]]), purpose="evaluation")


def test_a_single_sample_is_refused_for_calibration() -> None:
    with pytest.raises(DataError, match=r"^set\.npz: is a single sample.*better 100 or more"):
        checked(UNIT[:1])


def test_a_single_sample_is_doubted_for_evaluation() -> None:
    (warning,) = checked(UNIT[:1], purpose="evaluation")
    assert "only 1 sample" in warning


@pytest.mark.parametrize("count", [2, 9])
def test_few_samples_are_doubted(count: int) -> None:
    (warning,) = checked(UNIT[:count])
    assert f"only {count} samples" in warning


def test_ten_samples_are_not_doubted() -> None:
    assert checked(UNIT[:10]) == ()


def test_identical_samples_are_refused_for_calibration() -> None:
    with pytest.raises(DataError, match="all samples are identical"):
        checked(np.repeat(UNIT[:1], 20, axis=0))


def test_identical_samples_are_doubted_for_evaluation() -> None:
    (warning,) = checked(np.repeat(UNIT[:1], 20, axis=0), purpose="evaluation")
    assert "identical" in warning


def test_one_constant_input_of_two_is_doubted() -> None:
    inputs = [TensorSpec(name=name, shape=(None, 3), dtype="float32") for name in "ab"]
    batch = {"a": RANDOM.random((20, 3)), "b": np.ones((20, 3))}
    (warning,) = check(batch, inputs, purpose="calibration", source="set.npz")
    assert "input 'b' is the same in all samples" in warning


@pytest.mark.parametrize("pixel_range", ["0..1", None])
def test_raw_pixels_for_a_model_without_rescaling_are_refused(
    pixel_range: PixelRange | None,
) -> None:
    with pytest.raises(
        DataError,
        match=r"values reach 255 but the model has no Rescaling layer; add --preprocess "
        r"scale=1/255 \(or --preprocess none if it was trained on 0..255\)",
    ):
        checked(RAW, pixel_range=pixel_range)


def test_raw_pixels_with_channels_first_are_noticed() -> None:
    with pytest.raises(DataError, match="values reach 255"):
        checked(np.moveaxis(RAW, -1, 1))


def test_raw_pixels_are_right_for_a_model_that_rescales() -> None:
    assert checked(RAW, pixel_range="0..255") == ()


@pytest.mark.parametrize("given", [True, {"image"}])
def test_raw_pixels_are_right_when_the_user_said_so(given: bool | Collection[str]) -> None:
    assert checked(RAW, pixel_range="0..1", given=given) == ()


def test_what_was_said_of_another_input_does_not_count() -> None:
    with pytest.raises(DataError, match="values reach 255"):
        checked(RAW, given={"tokens"})


def test_pixels_from_zero_to_one_for_a_model_that_rescales_are_refused() -> None:
    with pytest.raises(DataError, match="within 0..1 .* add --preprocess scale=255"):
        checked(UNIT, pixel_range="0..255")


def test_scaling_twice_is_doubted() -> None:
    (warning,) = checked(UNIT, pixel_range="0..255", given=True)
    assert "is it done twice?" in warning


def test_centred_pixels_are_right() -> None:
    assert checked(RAW - 127.5) == ()


def test_byte_inputs_take_raw_pixels() -> None:
    assert checked(RAW.astype(np.uint8)) == ()


def test_features_are_not_taken_for_pixels() -> None:
    assert checked(RANDOM.integers(0, 256, (20, 30)).astype(np.float32)) == ()


def test_small_numbers_are_not_taken_for_raw_pixels() -> None:
    assert checked(RANDOM.integers(0, 17, (20, 8, 8, 1)).astype(np.float32)) == ()


def test_a_single_class_is_doubted() -> None:
    (warning,) = checked(UNIT, labels=np.full(20, 3))
    assert "all samples have the label 3" in warning


def test_measured_values_are_no_classes() -> None:
    assert checked(UNIT, labels=np.full(20, 0.5)) == ()
