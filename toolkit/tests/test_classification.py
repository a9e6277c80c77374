"""Pictures in, classes out."""

import asyncio
import io
import json
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

import edgekit
from edgekit.data import open_data
from edgekit.errors import DataError, UsageError, VerificationError
from edgekit.preprocess import Preprocess
from edgekit.tensors import Quantization, TensorSpec
from edgekit.told import check_labels

Build = Callable[..., Path]
Array = NDArray[Any]

STEEP = np.array([[-3.0, 1.0, 3.0, 2.0]], np.float32)
"""Scores by class: 2, 3, 1, 0 is the order for every picture that is not black."""
NAMES = ["auk", "bee", "cat", "dog"]
SCALED = {"image": Preprocess.parse("scale=1/255").to_dict()}


def picture_model(
    path: Path,
    *,
    shape: tuple[int | None, ...] = (1, 8, 8, 3),
    dtype: str = "float32",
    outputs: dict[str, Array] | None = None,
    quantization: tuple[float, int] | None = None,
    **manifest: Any,
) -> Path:
    """Write a model that gives ``mean(image * PATTERN) * output`` for each of `outputs`."""
    onnx = pytest.importorskip("onnx", reason="onnx is not installed")
    pytest.importorskip("onnxruntime", reason="ONNX Runtime is not installed")
    from onnx import helper, numpy_helper

    outputs = {"scores": STEEP} if outputs is None else outputs
    sizes = [size or 1 for size in (shape if len(shape) == 3 and shape[0] != 1 else shape[1:])]
    pattern = np.random.default_rng(1).uniform(0.5, 1.5, sizes)
    values: dict[str, Any] = {"pattern": pattern.astype(np.float32)}
    values |= {f"{name}_factors": factors for name, factors in outputs.items()}
    nodes = [
        helper.make_node("Cast", ["image"], ["real"], to=onnx.TensorProto.FLOAT),
        helper.make_node("Mul", ["real", "pattern"], ["product"]),
        helper.make_node("ReduceMean", ["product"], ["mean"], keepdims=0),
    ]
    if quantization:
        values |= {
            "scale": np.float32(quantization[0]),
            "zero": np.dtype(dtype).type(quantization[1]),
        }
        nodes[0] = helper.make_node("DequantizeLinear", ["image", "scale", "zero"], ["real"])
        kept = Quantization(scale=(quantization[0],), zero_point=(quantization[1],))
        spec = TensorSpec(name="image", shape=shape, dtype=dtype, quantization=kept)
        manifest["inputs"] = [spec.to_dict()]
    elements = {}
    for name, factors in outputs.items():
        elements[name] = helper.np_dtype_to_tensor_dtype(factors.dtype)
        nodes += [
            helper.make_node("Cast", ["mean"], [f"{name}_mean"], to=elements[name]),
            helper.make_node("Mul", [f"{name}_mean", f"{name}_factors"], [name]),
        ]
    graph = helper.make_graph(
        nodes,
        "picture",
        [
            helper.make_tensor_value_info(
                "image", helper.np_dtype_to_tensor_dtype(np.dtype(dtype)), shape
            )
        ],
        [
            helper.make_tensor_value_info(name, elements[name], factors.shape)
            for name, factors in outputs.items()
        ],
        [numpy_helper.from_array(np.asarray(v), name) for name, v in values.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 15)], ir_version=8)
    if quantization:
        manifest["outputs"] = [
            TensorSpec(name=name, shape=factors.shape, dtype=str(factors.dtype)).to_dict()
            for name, factors in outputs.items()
        ]
    if manifest:
        helper.set_model_props(model, {"edgekit.manifest": json.dumps(manifest)})
    path.write_bytes(model.SerializeToString())
    return path


@pytest.fixture
def build(tmp_path: Path) -> Build:
    return lambda name="picture.onnx", **options: picture_model(tmp_path / name, **options)


@pytest.fixture
def model(build: Build) -> Iterator[edgekit.Model]:
    with edgekit.load(build(preprocess=SCALED, labels=NAMES)) as model:
        yield model


def photo(height: int = 30, width: int = 20, channels: int = 3, seed: int = 0) -> Array:
    shape = (height, width, channels)[: 3 if channels > 1 else 2]
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


def encoded(image: Image.Image, kind: str = "png", **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


# ---- every form of a picture ------------------------------------------------


def test_the_likeliest_classes_come_first_with_their_names(model: edgekit.Model) -> None:
    found = model.classify(photo())
    assert [one.label for one in found] == ["cat", "dog", "bee", "auk"]
    assert [one.index for one in found] == [2, 3, 1, 0]
    assert found[0].score > found[1].score > 0 > found[3].score
    assert type(found[0].score) is float
    assert type(found[0].index) is int


def test_so_many_as_asked_for(model: edgekit.Model) -> None:
    assert [one.label for one in model.classify(photo(), top=1)] == ["cat"]
    assert len(model.classify(photo(), top=99)) == 4
    with pytest.raises(UsageError, match="top=0: not a number of classes; give 1 or more"):
        model.classify(photo(), top=0)


@pytest.mark.parametrize("shape", [(1, 8, 8, 3), (1, 8, 8, 1), (1, 8, 8), (1, 3, 8, 8)])
@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("steps", ["scale=1/255", "mean=3,std=100", "resize=12x16,crop=8,-1..1"])
def test_a_file_its_bytes_a_pil_image_and_an_array_give_bit_equal_scores(
    build: Build, tmp_path: Path, shape: tuple[int, ...], channels: int, steps: str
) -> None:
    pixels = photo(channels=channels)
    image = Image.fromarray(pixels)
    (file := tmp_path / "photo.png").write_bytes(encoded(image))
    with edgekit.load(build(shape=shape), preprocess=steps) as model:
        wanted = model.classify(file)
        assert model.classify(str(file)) == wanted
        assert model.classify(file.read_bytes()) == wanted
        assert model.classify(bytearray(file.read_bytes())) == wanted  # type: ignore[arg-type]
        assert model.classify(image) == wanted
        assert model.classify(pixels) == wanted
        assert model.classify(pixels[np.newaxis].reshape(1, 30, 20, channels)) == wanted
        assert model.classify(pixels.tolist()) == wanted


@pytest.mark.parametrize("shape", [(1, 8, 8, 3), (1, 8, 8, 1), (1, 3, 8, 8)])
def test_evaluation_and_calibration_feed_the_same_numbers(
    build: Build, tmp_path: Path, shape: tuple[int, ...]
) -> None:
    (folder := tmp_path / "photos").mkdir()
    Image.fromarray(photo()).save(folder / "one.jpg")
    with edgekit.load(build(shape=shape), preprocess="-1..1") as model:
        data = open_data(str(folder), model.inputs, preprocess=model.preprocess)
        assert rows(model.classify(folder / "one.jpg")) == rows_of(model(data.batch([0])["image"]))


def test_evaluation_of_arrays_feeds_the_same_numbers(build: Build, tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", x=(samples := photo(8, 8)[np.newaxis]))
    with edgekit.load(build(preprocess=SCALED)) as model:
        data = open_data(str(tmp_path / "x.npz"), model.inputs, preprocess=model.preprocess)
        assert rows(model.classify(samples)) == rows_of(model(data.batch([0])["image"]))


def rows(found: list[edgekit.Prediction]) -> list[float]:
    return [one.score for one in sorted(found, key=lambda one: one.index)]


def rows_of(scores: Array) -> list[float]:
    return [float(score) for score in scores.ravel()]


def test_float_pixels_are_the_same_picture(model: edgekit.Model) -> None:
    pixels = photo(8, 8)
    assert model.classify(pixels.astype(np.float32)) == model.classify(pixels)
    assert model.classify(pixels.astype(np.float64)) == model.classify(pixels)


@pytest.mark.parametrize(("has", "takes"), [(1, 3), (4, 3), (3, 1), (4, 1), (1, 4), (3, 4)])
def test_float_pixels_get_the_channels_of_the_input(build: Build, has: int, takes: int) -> None:
    pixels = photo(8, 8, has)
    with edgekit.load(build(shape=(1, 8, 8, takes)), preprocess="0..1") as model:
        assert rows(model.classify(pixels.astype(np.float32))) == pytest.approx(
            rows(model.classify(pixels)), rel=1e-2
        )


def test_channels_first_arrays_are_turned(model: edgekit.Model) -> None:
    assert model.classify(np.moveaxis(photo(), -1, 0)) == model.classify(photo())
    assert model.classify(np.moveaxis(photo(), -1, 0)[np.newaxis]) == model.classify(photo())


def test_an_array_in_reverse_order_in_memory_is_read_right(model: edgekit.Model) -> None:
    assert model.classify(photo()[::-1, ::-1]) == model.classify(photo()[::-1, ::-1].copy())


@pytest.mark.parametrize("orientation", range(1, 9))
def test_pictures_are_turned_upright(model: edgekit.Model, orientation: int) -> None:
    upright = Image.fromarray(photo())
    turn = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }.get(orientation)
    stored = upright if turn is None else upright.transpose(turn)
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(stored, exif=exif)
    assert model.classify(data) == model.classify(upright)
    assert model.classify(Image.open(io.BytesIO(data))) == model.classify(upright)


def test_16_bit_pictures_keep_their_upper_8_bits(build: Build) -> None:
    deep = photo(channels=1).astype(np.uint16) * 256 + 99
    with edgekit.load(build(shape=(1, 8, 8, 1)), preprocess="0..1") as model:
        wanted = model.classify(photo(channels=1))
        assert model.classify(encoded(Image.fromarray(deep))) == wanted
        assert model.classify(deep) == wanted


def test_palettes_are_looked_up_and_alpha_is_dropped(model: edgekit.Model) -> None:
    flat = Image.fromarray(photo()).quantize(16)
    wanted = model.classify(flat.convert("RGB"))
    assert model.classify(encoded(flat)) == wanted
    see_through = flat.convert("RGBA")
    see_through.putalpha(17)
    assert model.classify(encoded(see_through)) == wanted


def test_bilevel_pictures_are_black_and_white(build: Build) -> None:
    mask = photo(channels=1) > 99
    with edgekit.load(build(shape=(1, 8, 8, 1)), preprocess="0..1") as model:
        assert model.classify(mask) == model.classify(Image.fromarray(mask))
        assert model.classify(mask) == model.classify(mask.astype(np.uint8) * 255)


def test_the_callers_picture_is_left_alone(model: edgekit.Model) -> None:
    pixels, image = photo(8, 8).astype(np.float32), Image.fromarray(photo())
    before = pixels.copy()
    model.classify(pixels)
    model.classify(image)
    np.testing.assert_array_equal(pixels, before)
    assert image.getpixel((3, 4)) == tuple(photo()[4, 3])


@pytest.mark.parametrize("shape", [(8, 8, 3), (3, 8, 8)])
def test_an_input_may_lack_the_batch_dimension(build: Build, shape: tuple[int, ...]) -> None:
    path = build(shape=shape, outputs={"scores": STEEP[0]}, preprocess=SCALED)
    with edgekit.load(path) as model:
        given = model.preprocess["image"].apply(photo(8, 8))
        prepared = given if shape[0] == 8 else np.moveaxis(given, -1, 0)
        assert rows(model.classify(photo(8, 8))) == rows_of(model(prepared))


def test_a_free_size_is_taken_as_it_is(build: Build) -> None:
    with edgekit.load(build(shape=(None, None, None, 3), preprocess=SCALED)) as model:
        assert len(model.classify(photo(9, 7))) == 4


def test_many_threads_leave_the_filters_of_warnings_alone(build: Build) -> None:
    before = list(warnings.filters)
    data = encoded(Image.fromarray(photo()))
    with edgekit.load(build(preprocess=SCALED), instances=2) as model:
        wanted = model.classify(data)
        with ThreadPoolExecutor(8) as pool:
            assert all(found == wanted for found in pool.map(model.classify, [data] * 200))
    assert list(warnings.filters) == before


def test_it_works_from_asyncio(model: edgekit.Model) -> None:
    assert asyncio.run(model.classify_async(photo(), top=2)) == model.classify(photo(), top=2)


# ---- what is no picture -----------------------------------------------------


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (b"", "image: not a readable image"),
        (b"GIF89a", "image: not a readable image"),
        ("gone.png", "gone.png: no such image; check the path"),
        (None, "image: is NoneType; give a path, bytes, a PIL image, or an array of pixels"),
        (object(), "image: is object; give a path"),
        (np.array(["a"]), "image: is <U1; give a path"),
        (np.zeros((8, 8), complex), "image: is complex128; give a path"),
        (np.zeros(8, np.uint8), r"image: has shape \(8,\), which is no picture; give"),
        (np.zeros((8, 8, 2), np.uint8), r"image: has shape \(8, 8, 2\), which is no picture"),
        (np.zeros((0, 8, 3), np.uint8), r"image: has shape \(0, 8, 3\), which is no picture"),
        (np.zeros((2, 8, 8, 3), np.uint8), "2 pictures; classify one at a time"),
        (np.uint8(3), r"image: has shape \(\), which is no picture"),
        ([[1, 2], [3]], "image: no array .*; give rows of equal length"),
        (np.full((8, 8, 3), 256), "image: int64 pixels from 256 to 256; give them from 0 to 255"),
        (np.full((8, 8, 3), -1), "image: int64 pixels from -1 to -1; give them from 0 to 255"),
        (np.full((8, 8, 3), 255, np.uint16), "16-bit pixels that reach only 255; convert them"),
        (np.full((8, 8, 3), np.nan), "image: has pixels that are NaN or infinite; remove them"),
        (np.broadcast_to(np.uint8(0), (9000, 9000)), "more than 64 million pixels"),
    ],
)  # fmt: skip
def test_what_is_no_picture_is_refused(model: edgekit.Model, given: Any, told: str) -> None:
    with pytest.raises(DataError, match=told):
        model.classify(given)


def test_a_truncated_file_is_refused(model: edgekit.Model, tmp_path: Path) -> None:
    (file := tmp_path / "cut.jpg").write_bytes(encoded(Image.fromarray(photo()), "jpeg")[:-200])
    with pytest.raises(DataError, match=r"cut\.jpg: not a readable image \(.*truncated"):
        model.classify(file)
    with (
        pytest.raises(DataError, match=r"image: not readable \(.*truncated"),
        Image.open(file) as image,
    ):
        model.classify(image)


def test_what_is_wrong_with_a_file_names_it(model: edgekit.Model, tmp_path: Path) -> None:
    Image.fromarray(photo(channels=1).astype(np.float32)).save(tmp_path / "deep.tiff")
    with pytest.raises(DataError, match=r"deep\.tiff: image: has 32-bit 'F' pixels"):
        model.classify(tmp_path / "deep.tiff")


def test_a_model_with_several_inputs_is_referred_to_run(tiny_onnx: Build, tmp_path: Path) -> None:
    import onnx
    from onnx import helper

    floats = onnx.TensorProto.FLOAT
    values = [helper.make_tensor_value_info(name, floats, [1, 8, 8, 3]) for name in "abc"]
    graph = helper.make_graph(
        [helper.make_node("Add", ["a", "b"], ["c"])], "two", values[:2], values[2:]
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 15)], ir_version=8)
    (path := tmp_path / "two.onnx").write_bytes(model.SerializeToString())
    with (
        edgekit.load(path) as two,
        pytest.raises(
            DataError,
            match=r"two\.onnx: has the inputs a, b; prepare an array for each and call run",
        ),
    ):
        two.classify(photo())


def test_a_model_that_takes_no_picture_says_so(tiny_onnx: Build) -> None:
    with (
        edgekit.load(tiny_onnx(), preprocess="none") as model,
        pytest.raises(DataError, match="the input takes .* a sample, which is no picture"),
    ):
        model.classify(photo())


# ---- how pixels become the input --------------------------------------------


def test_a_file_that_does_not_say_how_to_prepare_pictures_is_not_guessed(build: Build) -> None:
    told = "picture.onnx: does not say how pixels become its input 'image'; give preproc"
    with edgekit.load(build()) as model, pytest.raises(DataError, match=told):
        model.classify(photo())
    with edgekit.load(build(), preprocess="none") as model:
        assert model.classify(photo(8, 8), top=1)[0].index == 2


def test_steps_given_to_load_replace_those_of_the_file(build: Build) -> None:
    path = build(preprocess=SCALED)
    with edgekit.load(path) as stored, edgekit.load(path, preprocess="none") as given:
        assert given.classify(photo())[0].score == pytest.approx(
            255 * stored.classify(photo())[0].score, rel=1e-5
        )


@pytest.mark.parametrize(
    ("dtype", "scale", "zero", "first"),
    [
        ("uint8", 1 / 255, 0, 0),
        ("uint8", 1 / 128, 128, 0),
        ("uint8", 1 / 127.5, 127, 0),
        ("uint8", 1.0, 0, 0),
        ("int8", 1 / 255, -128, -128),
        ("int8", 1 / 127.5, -1, -128),
        ("int8", 1 / 128, 0, -128),
        ("int8", 1.0, -128, -128),
    ],
)
def test_the_bytes_of_a_picture_go_untouched_into_an_8_bit_input_that_is_made_for_them(
    build: Build, dtype: str, scale: float, zero: int, first: int
) -> None:
    pixels = photo(8, 8)
    with edgekit.load(build(dtype=dtype, quantization=(scale, zero))) as model:
        stored = (pixels.astype(np.int16) + first).astype(dtype)
        assert rows(model.classify(pixels)) == rows_of(model(stored[np.newaxis]))
        assert model.classify(pixels.astype(np.float32)) == model.classify(pixels)


@pytest.mark.parametrize(("scale", "zero"), [(0.0186, 114), (0.1, 0), (1 / 255, 128)])
def test_an_8_bit_input_with_another_range_is_not_guessed(
    build: Build, scale: float, zero: int
) -> None:
    path = build(dtype="uint8", quantization=(scale, zero))
    with edgekit.load(path) as model, pytest.raises(DataError, match="does not say how pixels"):
        model.classify(photo())


def test_an_8_bit_input_takes_real_numbers_where_the_file_says_how(build: Build) -> None:
    path = build(
        dtype="uint8",
        quantization=(1 / 128, 128),
        preprocess={"image": Preprocess.parse("-1..1").to_dict()},
    )
    pixels = photo(8, 8)
    with edgekit.load(path) as model:
        real = pixels[np.newaxis].astype(np.float32) / np.float32(127.5) - np.float32(1)
        assert rows(model.classify(pixels)) == rows_of(model(real))


@pytest.mark.parametrize("dtype", ["uint8", "int32"])
def test_plain_integer_inputs_take_pixels_as_they_are(build: Build, dtype: str) -> None:
    pixels = photo(8, 8)
    with edgekit.load(build(dtype=dtype)) as model:
        assert rows(model.classify(pixels)) == rows_of(model(pixels[np.newaxis].astype(dtype)))


@pytest.mark.parametrize("steps", ["scale=1/255", "0..1", "-1..1", "mean=127.5,std=127.5"])
def test_float_pixels_that_look_scaled_already_give_a_warning(build: Build, steps: str) -> None:
    with edgekit.load(build(), preprocess=steps) as model:
        with pytest.warns(UserWarning, match="its pixels go from .* to .*, and will be taken with"):
            model.classify(photo(8, 8) / 255)
        with pytest.warns(UserWarning, match="call the model itself on prepared arrays"):
            model.classify(photo(8, 8) / 127.5 - 1)


def test_the_warning_points_at_the_caller(build: Build) -> None:
    with (
        edgekit.load(build(), preprocess="0..1") as model,
        warnings.catch_warnings(record=True) as seen,
    ):
        warnings.simplefilter("always")
        model.classify(photo(8, 8) / 255)
    assert [one.filename for one in seen] == [__file__]


def test_float_data_of_any_range_goes_into_a_model_that_scales_nothing(build: Build) -> None:
    data = np.random.default_rng(0).normal(size=(8, 8, 3)).astype(np.float32)
    with edgekit.load(build(), preprocess="none") as model:
        assert rows(model.classify(data)) == rows_of(model(data[np.newaxis]))


# ---- which scores -----------------------------------------------------------


def test_without_labels_a_class_is_called_by_its_number(build: Build) -> None:
    with edgekit.load(build(preprocess=SCALED)) as model:
        assert [one.label for one in model.classify(photo())] == ["2", "3", "1", "0"]


@pytest.mark.parametrize("shape", [(4,), (1, 4), (1, 1, 1, 4), (1, 4, 1, 1)])
def test_scores_may_have_dimensions_of_one(build: Build, shape: tuple[int, ...]) -> None:
    path = build(outputs={"scores": STEEP.reshape(shape)}, preprocess=SCALED)
    with edgekit.load(path) as model:
        assert [one.index for one in model.classify(photo())] == [2, 3, 1, 0]


def test_equal_scores_stay_in_the_order_of_classes(build: Build) -> None:
    path = build(outputs={"scores": np.zeros((1, 4), np.float32)}, preprocess=SCALED)
    with edgekit.load(path) as model:
        assert [one.index for one in model.classify(photo())] == [0, 1, 2, 3]


def test_of_several_outputs_the_one_with_a_score_for_each_label_counts(build: Build) -> None:
    outputs = {"features": np.ones((1, 16), np.float32), "scores": STEEP}
    path = build(outputs=outputs, preprocess=SCALED)
    with edgekit.load(path, labels=NAMES) as model:
        assert model.classify(photo())[0].label == "cat"
    told = (
        r"no output has a score for each of its 0 labels \(features: \(1, 16\); scores: \(1, 4\)\)"
    )
    with edgekit.load(path) as model, pytest.raises(DataError, match=told):
        model.classify(photo())


def test_two_outputs_with_a_score_for_each_label_are_not_guessed(build: Build) -> None:
    path = build(outputs={"one": STEEP, "two": STEEP}, preprocess=SCALED, labels=NAMES)
    with (
        edgekit.load(path) as model,
        pytest.raises(DataError, match="several outputs have a score"),
    ):
        model.classify(photo())


def test_too_few_labels_are_told_at_load(build: Build) -> None:
    path = build(preprocess=SCALED)
    told = "has 2 labels, and output 'scores' gives 4 scores; load it with labels of 4 classes$"
    with pytest.raises(DataError, match=told):
        edgekit.load(path, labels=["a", "b"])
    with pytest.raises(DataError, match="has 1 label, and"):
        edgekit.load(path, labels=["a"])


def test_a_background_class_without_a_label_is_told(build: Build) -> None:
    with pytest.raises(DataError, match="is a background class missing in front?"):
        edgekit.load(build(preprocess=SCALED), labels=NAMES[1:])


def test_too_few_labels_in_the_file_are_told_when_it_classifies(build: Build) -> None:
    path = build(preprocess=SCALED, labels=NAMES[1:])
    told = "has 3 labels, and output 'scores' gives 4 scores"
    with edgekit.load(path) as model, pytest.raises(DataError, match=told):
        model.classify(photo())
    with edgekit.load(path, labels=NAMES) as model:
        assert model.classify(photo())[0].label == "cat"


def test_one_score_takes_no_three_labels(build: Build) -> None:
    path = build(outputs={"p": np.full((1, 1), 0.2, np.float32)}, preprocess=SCALED)
    with pytest.raises(DataError, match="has 3 labels, and output 'p' gives 2 scores"):
        edgekit.load(path, labels=["a", "b", "c"])


@pytest.mark.parametrize(
    ("shape", "dtype", "inputs", "fits"),
    [
        ((1, 3), "float32", (1, 8), True),
        ((1, 4), "float32", (1, 8), False),
        ((None, 4), "float32", (None, 8), False),
        ((8, 4), "float32", (8, 2), False),
        ((4,), "float32", (8, 8, 3), False),
        ((1, 1, 1, 4), "int8", (1, 8), False),
        ((4,), "float32", (4, 2), True),
        ((3, 1), "float32", (8, 8, 3), True),
        ((1, None), "float32", (1, 8), True),
        ((1, 10, 4), "float32", (1, 8), True),
        ((1,), "int64", (1, 8), True),
        ((1, 1), "bool", (1, 8), True),
        ((), "float32", (1, 8), False),
    ],
)
def test_three_labels_are_held_against_what_the_file_says_of_its_output(
    shape: tuple[int | None, ...], dtype: str, inputs: tuple[int, ...], fits: bool
) -> None:
    output = TensorSpec(name="scores", shape=shape, dtype=dtype)
    given = TensorSpec(name="image", shape=inputs, dtype="float32")
    with nullcontext() if fits else pytest.raises(DataError, match="has 3 labels"):
        check_labels(["a", "b", "c"], [given], [output], "m")


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("", "a folder, not a file; check the path$"),
        ("a.png/x", "a part of this path is a file, not a folder; check the path$"),
        ("x" * 300, r"cannot be read \(File name too long\); check the path$"),
        ("nul\0", r"cannot be read \(embedded null byte\); check the path$"),
        ("gone.png", "no such image; check the path$"),
    ],
)
def test_a_picture_that_the_system_does_not_give_is_one_line(
    model: edgekit.Model, tmp_path: Path, name: str, told: str
) -> None:
    (tmp_path / "a.png").touch()
    with pytest.raises(DataError, match=f"^[^\n]*: {told}") as caught:
        model.classify(tmp_path / name)
    assert "Errno" not in str(caught.value)


def test_an_empty_path_is_no_picture(model: edgekit.Model) -> None:
    with pytest.raises(DataError, match="^image: an empty path; give that of an image file$"):
        model.classify("")


@pytest.mark.parametrize(
    ("labels", "names"), [(["no", "yes"], ["no", "yes"]), (None, ["0", "1"]), (["yes"], ["yes"])]
)
def test_one_score_is_the_probability_of_the_second_class(
    build: Build, labels: list[str] | None, names: list[str]
) -> None:
    path = build(outputs={"p": np.full((1, 1), 0.2, np.float32)}, preprocess=SCALED)
    with edgekit.load(path, labels=labels) as model:
        found = model.classify(np.full((8, 8, 3), 255, np.uint8))
        assert [one.label for one in found] == names
        if len(found) == 2:
            assert found[0].score == pytest.approx(0.8, abs=0.02)
            assert found[0].score + found[1].score == 1


def test_one_number_that_is_no_probability_is_refused(build: Build) -> None:
    path = build(outputs={"age": np.full((1, 1), 40, np.float32)}, preprocess=SCALED)
    with (
        edgekit.load(path) as model,
        pytest.raises(
            DataError,
            match=r"output 'age' is one number, [\d.]+, and no probability; call the model",
        ),
    ):
        model.classify(photo())


def test_a_decision_is_no_score(build: Build) -> None:
    path = build(outputs={"class": np.full((1,), 1, np.int64)}, preprocess=SCALED)
    with (
        edgekit.load(path) as model,
        pytest.raises(
            DataError, match="output 'class' is int64, a decision and no score for each class"
        ),
    ):
        model.classify(photo())


def test_whole_scores_are_ranked_too(build: Build) -> None:
    path = build(
        outputs={"votes": np.array([[1, 3, 2]], np.uint8)}, preprocess={"image": {"steps": []}}
    )
    with edgekit.load(path) as model:
        assert [one.index for one in model.classify(np.full((8, 8, 3), 9, np.uint8))] == [1, 2, 0]


def test_a_map_is_no_score(build: Build) -> None:
    path = build(outputs={"mask": np.ones((1, 4, 4), np.float32)}, preprocess=SCALED)
    with (
        edgekit.load(path) as model,
        pytest.raises(
            DataError,
            match=r"output 'mask' is float32 of shape \(1, 4, 4\), not one score for each",
        ),
    ):
        model.classify(photo())


def test_nan_scores_are_no_result(build: Build) -> None:
    path = build(outputs={"scores": np.array([[1, np.nan]], np.float32)}, preprocess=SCALED)
    with edgekit.load(path) as model, pytest.raises(VerificationError, match="'scores' is NaN for"):
        model.classify(photo())


# ---- around it --------------------------------------------------------------


def test_observers_see_the_prepared_picture(model: edgekit.Model) -> None:
    seen: list[Any] = []
    model.observe(seen.append)
    model.classify(np.full((30, 20, 3), 255, np.uint8))
    assert np.all(seen[0].inputs["image"] == 1)


def test_after_a_swap_pictures_are_prepared_as_the_new_file_says(build: Build) -> None:
    old = build("old.onnx", preprocess=SCALED, labels=NAMES)
    new = build("new.onnx", preprocess={"image": {"steps": []}}, labels=NAMES[::-1])
    with edgekit.load(old) as model:
        before = model.classify(photo())[0]
        model.swap(new)
        after = model.classify(photo())[0]
        assert (before.label, after.label) == ("cat", "bee")
        assert after.score == pytest.approx(255 * before.score, rel=1e-5)


def test_pillow_is_not_imported_before_it_is_needed(build: Build) -> None:
    program = (
        "import sys, numpy, edgekit\n"
        f"model = edgekit.load({str(build(preprocess=SCALED))!r})\n"
        "model.classify(numpy.zeros((8, 8, 3), numpy.uint8))\n"
        "assert not any(name.startswith('PIL') for name in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
