"""Preparing inputs: reading, writing and doing the steps."""

import json
import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from edgekit.errors import DataError, UsageError
from edgekit.preprocess import STEPS, Preprocess, Step, decided, for_inputs, parse_prefixed
from edgekit.tensors import TensorSpec

IMAGE = TensorSpec(name="image", shape=(None, 8, 8, 3), dtype="float32")
TOKENS = TensorSpec(name="tokens", shape=(None, 5), dtype="int32")
BYTES = np.arange(2 * 8 * 8 * 3, dtype=np.int64).reshape(2, 8, 8, 3).astype(np.uint8)

numbers = st.floats(1e-6, 1e6).flatmap(lambda v: st.sampled_from([v, -v]))
steps = st.one_of(
    st.builds(
        lambda name, values: Step(name=name, values=tuple(values)),
        st.sampled_from(["scale", "mean", "std"]),
        st.lists(numbers, min_size=1, max_size=4),
    ),
    st.builds(
        lambda name, size: Step(name=name, values=size),
        st.sampled_from(["resize", "crop"]),
        st.tuples(st.integers(1, 512).map(float), st.integers(1, 512).map(float)),
    ),
    st.sampled_from(["0..1", "-1..1", "gray", "rgb", "bgr"]).map(lambda name: Step(name=name)),
)


def meant(names: list[str]) -> bool:
    return all(pair != ("std", "mean") for pair in pairwise(names))


preprocesses = (
    st.lists(steps, max_size=4)
    .filter(lambda found: meant([step.name for step in found]))
    .map(lambda found: Preprocess(steps=tuple(found)))
)


@given(preprocesses)
def test_what_is_written_as_text_reads_back_the_same(preprocess: Preprocess) -> None:
    assert Preprocess.parse(str(preprocess)) == preprocess


@given(preprocesses)
def test_what_is_stored_in_a_manifest_reads_back_the_same(preprocess: Preprocess) -> None:
    stored = json.loads(json.dumps(preprocess.to_dict()))
    assert Preprocess.from_dict(stored) == preprocess


def test_a_fraction_is_written_as_a_fraction() -> None:
    assert str(Preprocess.parse("scale=1/255")) == "scale=1/255"


def test_one_number_makes_a_square() -> None:
    assert Preprocess.parse("resize=96") == Preprocess.parse("resize=96x96")


def test_spaces_around_steps_do_not_count() -> None:
    assert Preprocess.parse(" resize = 96 , scale = 1/255 ") == Preprocess.parse(
        "resize=96,scale=1/255"
    )


def test_none_leaves_the_values_alone() -> None:
    assert np.array_equal(Preprocess.parse("none").apply(BYTES), BYTES.astype(np.float32))


def test_an_unknown_step_is_refused_with_the_list_of_steps() -> None:
    with pytest.raises(UsageError, match=r"no step 'normalise'.*scale, mean, std") as caught:
        Preprocess.parse("normalise=1")
    assert all(name in str(caught.value) for name in STEPS)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "scale",
        "scale=",
        "scale=a",
        "scale=1/0",
        "scale=nan",
        "scale=inf",
        "scale=0",
        "scale=1e300",
        "std=0",
        "resize=0",
        "resize=3x3x3",
        "resize=1.5",
        "resize=99999",
        "resize=inf",
        "gray=1",
        "none,gray",
        "scale=1/255,",
    ],
)
def test_a_value_that_a_step_cannot_have_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match=r"^--preprocess .*; "):
        Preprocess.parse(text)


def test_commas_between_channels_are_refused_with_the_right_separator() -> None:
    with pytest.raises(UsageError, match="join channels by colons"):
        Preprocess.parse("mean=0.485,0.456,0.406")


def test_dividing_before_subtracting_is_refused() -> None:
    with pytest.raises(UsageError, match="write mean=1,std=2"):
        Preprocess.parse("std=2,mean=1")


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"steps": [], "more": 1},
        {"steps": "scale"},
        {"steps": [{"name": "scale"}]},
        {"steps": [{"name": "scale", "values": [1], "x": 1}]},
        {"steps": [{"name": "blur", "values": []}]},
        {"steps": [{"name": "scale", "values": ["1"]}]},
        {"steps": [{"name": "scale", "values": [True]}]},
        {"steps": ["scale=1"]},
    ],
)
def test_a_manifest_with_anything_unknown_is_refused(data: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        Preprocess.from_dict(data)


def test_minus_one_to_one_maps_the_ends_of_the_range_exactly() -> None:
    assert Preprocess.parse("-1..1").apply(np.array([0, 255], np.uint8)).tolist() == [-1.0, 1.0]


def test_zero_to_one_maps_the_ends_of_the_range_exactly() -> None:
    assert Preprocess.parse("0..1").apply(np.array([0, 255], np.uint8)).tolist() == [0.0, 1.0]


def test_steps_run_in_the_order_written() -> None:
    assert Preprocess.parse("scale=2,mean=1").apply(np.array([3.0])).tolist() == [5.0]
    assert Preprocess.parse("mean=1,scale=2").apply(np.array([3.0])).tolist() == [4.0]


def test_each_channel_has_its_own_mean() -> None:
    made = Preprocess.parse("mean=1:2:3").apply(np.full((2, 4, 4, 3), 10, np.uint8))
    assert np.array_equal(made, np.broadcast_to(np.array([9, 8, 7]), (2, 4, 4, 3)))


def test_channel_values_follow_the_axis_of_a_channels_first_input() -> None:
    spec = TensorSpec(name="image", shape=(None, 3, 8, 8), dtype="float32")
    first = Preprocess.parse("mean=1:2:3").apply(np.moveaxis(BYTES, -1, 1), spec)
    last = Preprocess.parse("mean=1:2:3").apply(BYTES)
    assert np.array_equal(np.moveaxis(first, 1, -1), last)


def test_another_number_of_channels_is_refused() -> None:
    with pytest.raises(DataError, match="has 2 values, the data have 3 channels"):
        Preprocess.parse("mean=1:2").apply(BYTES)


def test_text_is_refused() -> None:
    with pytest.raises(DataError, match="give numbers"):
        Preprocess.parse("scale=2").apply(np.array(["a"]))


floats = hnp.arrays(np.float32, st.integers(1, 20), elements=st.floats(-1e6, 1e6, width=32))


@given(floats, st.integers(2, 1000))
def test_scaling_down_and_up_again_gives_the_same(values: np.ndarray, by: int) -> None:
    made = Preprocess.parse(f"scale=1/{by},scale={by}").apply(values)
    np.testing.assert_allclose(made, values, rtol=1e-6, atol=1e-30)


@given(floats, st.floats(-100, 100), st.floats(0.01, 100))
def test_mean_and_std_do_what_the_formula_says(values: np.ndarray, mean: float, std: float) -> None:
    made = Preprocess(
        steps=(
            *((Step(name="mean", values=(mean,)),) if abs(mean) > 1e-30 or mean == 0 else ()),
            Step(name="std", values=(std,)),
        )
    ).apply(values)
    expected = (values.astype(np.float64) - mean) / std
    np.testing.assert_allclose(made, expected, rtol=1e-5, atol=1e-5 * max(1, abs(mean)) / std)


@given(preprocesses.filter(lambda p: not p.fixes_size), hnp.arrays(np.uint8, (3, 4, 4, 3)))
def test_a_batch_is_prepared_as_its_samples_are(preprocess: Preprocess, batch: np.ndarray) -> None:
    try:
        together = preprocess.apply(batch)
    except DataError:
        return  # values for another number of channels
    single = np.stack([preprocess.apply(sample) for sample in batch])
    assert together.dtype == np.float32
    assert np.array_equal(together, single, equal_nan=True)


@given(hnp.arrays(np.uint8, (1, 5, 7, 3)))
def test_gray_is_what_pillow_makes(batch: np.ndarray) -> None:
    made = Preprocess.parse("gray").apply(batch)
    assert np.array_equal(made[0, :, :, 0], np.asarray(Image.fromarray(batch[0]).convert("L")))


def test_gray_of_floats_weighs_the_channels() -> None:
    made = Preprocess.parse("gray").apply(np.array([[[[1.0, 0.5, 0.25]]]]))
    assert made.item() == pytest.approx(0.299 + 0.587 * 0.5 + 0.114 * 0.25)


def test_bgr_turns_the_channels_round() -> None:
    assert np.array_equal(Preprocess.parse("bgr").apply(BYTES), BYTES[..., ::-1])


def test_rgb_repeats_gray_and_drops_alpha() -> None:
    gray = Preprocess.parse("rgb").apply(BYTES[..., :1])
    assert np.array_equal(gray, np.repeat(BYTES[..., :1], 3, axis=-1))
    alpha = np.concatenate([BYTES, BYTES[..., :1]], axis=-1)
    assert np.array_equal(Preprocess.parse("rgb").apply(alpha), BYTES)


def test_colours_of_what_is_no_image_are_refused() -> None:
    with pytest.raises(DataError, match="needs images"):
        Preprocess.parse("gray").apply(np.zeros((4, 5)), TOKENS)


def test_resizing_keeps_a_flat_image_flat() -> None:
    made = Preprocess.parse("resize=5x9").apply(np.full((2, 16, 16, 3), 77, np.uint8))
    assert made.shape == (2, 5, 9, 3)
    assert np.all(made == 77)


def test_shrinking_averages() -> None:
    checkers = (np.indices((64, 64)).sum(axis=0) % 2 * 255).astype(np.uint8)[None, ..., None]
    made = Preprocess.parse("resize=8").apply(checkers)
    assert np.all(np.abs(made - 127.5) < 8)


def test_resizing_floats_keeps_fractions() -> None:
    made = Preprocess.parse("resize=2x4").apply(np.full((1, 2, 2, 1), 0.3, np.float32))
    assert np.allclose(made, 0.3)


def test_a_gray_image_without_channel_axis_stays_without() -> None:
    assert Preprocess.parse("resize=4").apply(np.zeros((8, 8), np.uint8), IMAGE).shape == (4, 4)


def test_crop_takes_the_middle() -> None:
    made = Preprocess.parse("crop=2x4").apply(BYTES)
    assert np.array_equal(made, BYTES[:, 3:5, 2:6])


def test_cropping_more_than_there_is_is_refused() -> None:
    with pytest.raises(DataError, match=r"crop=9x9: the images are 8x8; put resize"):
        Preprocess.parse("crop=9").apply(BYTES)


def test_the_input_is_named_before_a_colon() -> None:
    name, preprocess = parse_prefixed("image:mean=1:2:3,std=4")
    assert (name, preprocess) == ("image", Preprocess.parse("mean=1:2:3,std=4"))


def test_an_input_whose_name_has_a_colon_can_be_named() -> None:
    assert parse_prefixed("serving_x:0:-1..1") == ("serving_x:0", Preprocess.parse("-1..1"))


def test_steps_without_a_name_are_for_the_only_input() -> None:
    assert for_inputs(["-1..1"], [IMAGE]) == {"image": Preprocess.parse("-1..1")}


def test_each_input_has_its_steps() -> None:
    assert for_inputs(["tokens:none", "image:0..1"], [IMAGE, TOKENS]) == {
        "image": Preprocess.parse("0..1"),
        "tokens": Preprocess(),
    }


@pytest.mark.parametrize(
    ("texts", "told"),
    [
        (["0..1"], "say which, as in image:0..1"),
        (["sound:0..1"], "no input 'sound'; there are: image, tokens"),
        (["image:0..1", "image:gray"], "given twice"),
    ],
)
def test_steps_for_no_clear_input_are_refused(texts: list[str], told: str) -> None:
    with pytest.raises(UsageError, match=told):
        for_inputs(texts, [IMAGE, TOKENS])


def test_only_steps_that_calculate_and_none_say_what_the_range_is() -> None:
    assert decided(
        {
            "a": Preprocess.parse("resize=8"),
            "b": Preprocess.parse("none"),
            "c": Preprocess.parse("resize=8,scale=2"),
        }
    ) == {"b", "c"}


def test_a_picture_is_prepared_as_the_array_it_holds() -> None:
    preprocess = Preprocess.parse("-1..1")
    made = preprocess.apply_image(Image.fromarray(BYTES[0]), IMAGE)
    assert np.array_equal(made, preprocess.apply(BYTES[0]))


def test_a_picture_is_stretched_to_the_input() -> None:
    picture = Image.fromarray(np.full((20, 30, 3), 9, np.uint8))
    made = Preprocess().apply_image(picture, IMAGE)
    assert made.shape == (8, 8, 3)
    assert math.isclose(float(made.mean()), 9)


def test_a_picture_for_a_channels_first_input_has_channels_first() -> None:
    spec = TensorSpec(name="image", shape=(1, 3, 6, 8), dtype="float32")
    assert Preprocess().apply_image(Image.fromarray(BYTES[0]), spec).shape == (3, 6, 8)


def test_a_picture_for_an_input_without_channels_has_none() -> None:
    spec = TensorSpec(name="image", shape=(None, 6, 8), dtype="float32")
    assert Preprocess().apply_image(Image.fromarray(BYTES[0]), spec).shape == (6, 8)


def test_steps_that_make_another_size_than_the_input_are_refused() -> None:
    with pytest.raises(DataError, match=r"makes images of \(4, 4, 3\), the input 'image' takes"):
        Preprocess.parse("resize=4").apply_image(Image.fromarray(BYTES[0]), IMAGE)


def test_steps_of_several_inputs_in_one_text_are_quoted_as_they_are() -> None:
    said = "--preprocess a:none,b:scale=1/255: names another input, b; repeat --preprocess for each"
    with pytest.raises(UsageError, match=said):
        parse_prefixed("a:none,b:scale=1/255")
    with pytest.raises(UsageError, match="names another input, b"):
        parse_prefixed("none,b:none")
