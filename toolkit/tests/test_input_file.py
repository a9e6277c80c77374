"""What `edgekit run` makes of its INPUTs."""

import os
import wave
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from edgekit.errors import DataError, UsageError
from edgekit.input_file import Interface, Samples, read_inputs
from edgekit.input_names import grouped
from edgekit.preprocess import Preprocess
from edgekit.tensors import Quantization, TensorSpec

SCALED = Preprocess.parse("scale=1/255")


def spec(*shape: int | None, name: str = "x", dtype: str = "float32", **more: Any) -> TensorSpec:
    return TensorSpec(name=name, shape=shape, dtype=dtype, **more)


def read(text: object, *specs: TensorSpec, **steps: Preprocess) -> Samples:
    return read_inputs({None: str(text)}, Interface(name="m", inputs=specs, preprocess=steps))


def only(samples: Samples) -> Any:
    """What the model is given for all samples at once."""
    (made,) = samples.take(0, samples.count).values()
    return made


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def sound(path: Path, frames: int, rate_hz: int = 1000) -> Path:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate_hz)
        file.writeframes(np.full(frames, 16384, "<i2").tobytes())
    return path


# ---- which INPUT is for which input -----------------------------------------


def test_each_input_of_a_model_with_one_is_a_run_of_its_own(folder: Path) -> None:
    assert grouped(["a.png", "x=b.png"], ["x"]) == [{None: "a.png"}, {None: "b.png"}]


def test_named_inputs_go_together(folder: Path) -> None:
    assert grouped(["b=2.npy", "a=1"], ["a", "b"]) == [{"b": "2.npy", "a": "1"}]


def test_archives_are_runs_of_their_own(folder: Path) -> None:
    assert grouped(["1.npz", "2.npz"], ["a", "b"]) == [{None: "1.npz"}, {None: "2.npz"}]


def test_a_file_with_an_equals_sign_in_its_name_is_a_file(folder: Path) -> None:
    (folder / "x=1.png").write_bytes(b"1")
    assert grouped(["x=1.png"], ["x"]) == [{None: "x=1.png"}]


@pytest.mark.parametrize(
    ("texts", "told"),
    [
        (["a=1", "a=2", "b=1"], "a=2: a is given twice; run models with several inputs once"),
        (["a=1"], "inputs: nothing for b; add b=FILE"),
        (["a=1", "2"], "2: has no input's name before it, others have; write a=2"),
        (["c=1", "a=1"], "c=1: the model has no input 'c'; there are: a, b"),
    ],
)
def test_names_that_do_not_fit_are_told(folder: Path, texts: list[str], told: str) -> None:
    with pytest.raises(UsageError, match=f"^{told}$"):
        grouped(texts, ["a", "b"])


def test_a_model_without_inputs_has_nothing_to_run_on() -> None:
    with pytest.raises(UsageError, match="the model takes no inputs"):
        grouped(["1"], [])


# ---- arrays -----------------------------------------------------------------


@pytest.mark.parametrize("shape", [(8, 8, 3), (1, 8, 8, 3)])
def test_a_picture_as_an_array_is_prepared_with_or_without_a_batch(
    folder: Path, shape: tuple[int, ...]
) -> None:
    np.save("x.npy", np.full(shape, 255, np.uint8))
    samples = read("x.npy", spec(1, 8, 8, 3), x=SCALED)
    assert samples.count == 1
    assert only(samples).shape == (1, 8, 8, 3)
    assert np.all(only(samples) == 1)


@pytest.mark.parametrize(
    ("shape", "takes", "count"),
    [
        ((8, 8), (1, 8, 8, 1), 1),
        ((5, 8, 8), (1, 8, 8, 1), 5),
        ((5, 8, 8, 1), (1, 8, 8, 1), 5),
        ((16,), (1, 16), 1),
        ((7, 16), (1, 16), 7),
        ((16,), (1, 16, 1), 1),
        ((16, 1), (1, 16, 1), 1),
        ((7, 16), (1, 16, 1), 7),
        ((16,), (None, None), 1),
        ((9, 7, 3), (None, None, None, 3), 1),
        ((16,), (16,), 1),
        ((), (), 1),
    ],
)
def test_one_or_many_samples_are_told_apart_by_the_shape(
    folder: Path, shape: tuple[int, ...], takes: tuple[int | None, ...], count: int
) -> None:
    np.savez("x.npz", x=np.zeros(shape, np.float32))
    samples = read("x.npz", spec(*takes))
    assert samples.count == count
    made = samples.take(0, 1)["x"]
    assert len(made.shape) == len(takes)
    assert all(want in (None, has) for want, has in zip(takes, made.shape, strict=True))


def test_samples_are_taken_piece_by_piece(folder: Path) -> None:
    np.save("x.npy", np.arange(10, dtype=np.float32).reshape(5, 2))
    assert read("x.npy", spec(1, 2)).take(1, 3)["x"].tolist() == [[2, 3], [4, 5]]


def test_large_arrays_are_not_read_before_they_are_taken(folder: Path) -> None:
    array = np.lib.format.open_memmap("x.npy", mode="w+", dtype=np.uint8, shape=(1 << 16, 1 << 13))
    del array
    assert read("x.npy", spec(1, 1 << 13)).take(7, 8)["x"].shape == (1, 1 << 13)


def test_a_split_of_an_archive_is_picked(folder: Path) -> None:
    np.savez("x.npz", x_train=np.ones((3, 2)), x_test=np.zeros((4, 2)))
    assert read("x.npz:test", spec(1, 2)).count == 4
    with pytest.raises(DataError, match="x.npz: has splits .*; choose one: :test, :train"):
        read("x.npz", spec(1, 2))


def test_arrays_go_to_the_inputs_of_their_names(folder: Path) -> None:
    np.savez("x.npz", a=np.ones((3, 2)), b=np.zeros((3, 4)), rate=np.int64(16000))
    specs = spec(1, 2, name="a"), spec(1, 4, name="b"), spec(name="rate", dtype="int64")
    samples = read("x.npz", *specs)
    assert samples.count == 3
    made = samples.take(2, 3)
    assert (made["a"].shape, made["b"].shape, made["rate"].shape) == ((1, 2), (1, 4), ())


def test_a_single_sample_goes_with_each_of_the_others(folder: Path) -> None:
    np.save("a.npy", np.ones((3, 2)))
    model = Interface(name="m", inputs=(spec(1, 2, name="a"), spec(1, 1, name="b")), preprocess={})
    samples = read_inputs({"a": "a.npy", "b": "7"}, model)
    assert samples.count == 3
    assert samples.take(2, 3)["b"].tolist() == [[7]]


def test_different_numbers_of_samples_are_refused(folder: Path) -> None:
    np.savez("x.npz", a=np.ones((3, 2)), b=np.zeros((4, 2)))
    with pytest.raises(DataError, match=r"inputs: different numbers of samples \(a: 3, b: 4\)"):
        read("x.npz", spec(1, 2, name="a"), spec(1, 2, name="b"))


def test_stored_integers_go_in_untouched(folder: Path) -> None:
    np.save("x.npy", np.array([[1, 2]], np.int8))
    stored = spec(1, 2, dtype="int8", quantization=Quantization(scale=(0.5,), zero_point=(3,)))
    assert only(read("x.npy", stored)).dtype == np.int8
    assert only(read("x.npy", stored, x=Preprocess.parse("scale=2"))).tolist() == [[2.0, 4.0]]


def test_bright_pixels_that_nobody_scaled_are_doubted(folder: Path) -> None:
    np.save("x.npy", np.full((1, 8, 8, 3), 200, np.uint8))
    assert (
        "values reach 200, and the model does not say" in read("x.npy", spec(1, 8, 8, 3)).notes[0]
    )
    assert read("x.npy", spec(1, 8, 8, 3), x=Preprocess()).notes == ()
    assert read("x.npy", spec(1, 8, 8, 3, dtype="uint8")).notes == ()


def test_steps_for_one_of_several_inputs_are_for_no_other(folder: Path) -> None:
    np.savez("x.npz", a=np.ones((1, 2)), b=np.ones((1, 2)))
    samples = read(
        "x.npz", spec(1, 2, name="a"), spec(1, 2, name="b"), a=Preprocess.parse("scale=2")
    )
    made = samples.take(0, 1)
    assert (made["a"].tolist(), made["b"].tolist()) == ([[2, 2]], [[1, 1]])


# ---- images, sounds, tables, numbers ----------------------------------------


def test_an_image_is_prepared(folder: Path) -> None:
    Image.new("RGB", (30, 20), (255, 255, 255)).save("a.jpg")
    assert np.all(only(read("a.jpg", spec(1, 8, 8, 3), x=SCALED)) == 1)


def test_a_picture_fits_an_input_without_batch_dimension(folder: Path) -> None:
    Image.new("RGB", (30, 20)).save("a.png")
    samples = read("a.png", spec(8, 8, 3), x=SCALED)
    assert (samples.count, only(samples).shape) == (1, (8, 8, 3))


def test_images_go_to_their_inputs_by_name(folder: Path) -> None:
    Image.new("L", (8, 8), 255).save("a.png")
    specs = spec(1, 8, 8, 3, name="left"), spec(1, 8, 8, 1, name="right")
    model = Interface(name="m", inputs=specs, preprocess={"left": SCALED, "right": SCALED})
    made = read_inputs({"left": "a.png", "right": "a.png"}, model).take(0, 1)
    assert (made["left"].shape, made["right"].shape) == ((1, 8, 8, 3), (1, 8, 8, 1))


def test_an_image_under_another_name_is_known_by_its_content(folder: Path) -> None:
    Image.new("L", (8, 8)).save("photo", "png")
    assert only(read("photo", spec(1, 8, 8, 1), x=SCALED)).shape == (1, 8, 8, 1)


@pytest.mark.parametrize("kind", ["npy", "npz", "wav"])
def test_other_files_are_known_by_their_content_too(folder: Path, kind: str) -> None:
    np.save("x.npy", np.zeros(4))
    np.savez("x.npz", x=np.zeros(4))
    sound(folder / "x.wav", 4)
    (folder / f"x.{kind}").rename("data")
    assert only(read("data", spec(1, 4))).shape == (1, 4)


def test_a_sound_is_filled_up_with_silence(folder: Path) -> None:
    made = only(read(sound(folder / "a.wav", 3), spec(1, 5)))
    assert made.tolist() == [[0.5, 0.5, 0.5, 0, 0]]


@pytest.mark.parametrize("takes", [(5,), (1, 5), (1, 5, 1), (None, None), (None,)])
def test_a_sound_fits_inputs_with_and_without_batch_and_channel(
    folder: Path, takes: tuple[int | None, ...]
) -> None:
    made = only(read(sound(folder / "a.wav", 5), spec(*takes)))
    assert made.ndim == len(takes)
    assert made.size == 5


def test_a_sound_that_is_too_long_is_cut_and_that_is_said(folder: Path) -> None:
    samples = read(sound(folder / "a.wav", 2500), spec(1, 1000))
    assert only(samples).shape == (1, 1000)
    assert "a.wav: only the first 1 of 2.5 s are used" in samples.notes[0]


def test_a_sound_for_a_spectrogram_is_refused(folder: Path) -> None:
    with pytest.raises(DataError, match=r"a.wav: is a sound, the input 'x' takes \(49, 40\)"):
        read(sound(folder / "a.wav", 5), spec(1, 49, 40))


def test_each_line_of_a_table_is_a_sample(folder: Path) -> None:
    (folder / "t.csv").write_text("a,b,label\n1,2,0\n3,4,1\n")
    assert only(read("t.csv", spec(1, 2))).tolist() == [[1, 2], [3, 4]]


@pytest.mark.parametrize(
    ("text", "takes", "made"),
    [
        ("1 2 3", (1, 3), [[1, 2, 3]]),
        ("1\n2\n3\n", (1, 3), [[1, 2, 3]]),
        ("1,2,3\n4,5,6", (1, 3), [[1, 2, 3], [4, 5, 6]]),
        ("[1, 2,\n 3, 4]", (1, 2, 2, 1), [[[[1], [2]], [[3], [4]]]]),
        ("1 2\n3 4", (1, None), [[1, 2], [3, 4]]),
        ("1\n2", (1, None), [[1, 2]]),
        ("7", (1,), [7]),
        ("7", (), 7),
        ("\ufeff1e-1 -.5", (1, 2), [[0.1, -0.5]]),
    ],
)
def test_numbers_make_one_sample_or_one_a_line(
    folder: Path, text: str, takes: tuple[int | None, ...], made: Any
) -> None:
    (folder / "ids.txt").write_text(text)
    assert only(read("ids.txt", spec(*takes))).tolist() == np.array(made, np.float32).tolist()


def test_ids_stay_integers(folder: Path) -> None:
    assert only(read("3,1,2", spec(1, 3, dtype="int64"))).dtype == np.int64
    with pytest.raises(DataError, match="0.5,1: samples for input 'x' have fractions"):
        read("0.5,1", spec(1, 2, dtype="int32"))


def test_many_numbers_may_stand_on_the_command_line(folder: Path) -> None:
    assert only(read(",".join("1" * 784), spec(1, 28, 28, 1), x=SCALED)).shape == (1, 28, 28, 1)


# ---- what cannot be used ----------------------------------------------------


def test_what_is_not_there_is_told(folder: Path) -> None:
    for text in ("gone.png", "gone.npz:test", "x" * 5000, "a\0b"):
        with pytest.raises(DataError, match=f"^{text}: no such file; check the path$"):
            read(text, spec(1, 2))
    with pytest.raises(DataError, match="^'': no such file; check the path$"):
        read("", spec(1, 2))


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("a.png", b"", "a.png: is empty; make it again"),
        ("a.png", b"nothing", "a.png: not a readable image"),
        ("a.bin", b"\1\2", "a.bin: not a readable image"),
        ("a.npy", b"nothing", "a.npy: is no NumPy array"),
        ("a.npz", b"PK\3\4", "a.npz: is truncated or damaged"),
        ("a.txt", b"one two", "a.txt: is no list of numbers; give numbers"),
        ("a.txt", b"\xff\xfe", "a.txt: is no list of numbers; give numbers"),
        ("a.txt", b"1 2 3 4", "a.txt: has 4 numbers, the input 'x' takes 192; give as many"),
        ("a.csv", b"a,b\n1\n", "a.csv: line 2 has 1 cells"),
    ],
)
def test_files_that_are_no_input_are_refused(
    folder: Path, name: str, content: bytes, told: str
) -> None:
    (folder / name).write_bytes(content)
    with pytest.raises(DataError, match=f"^{told}"):
        read(name, spec(1, 8, 8, 3), x=SCALED)


def test_a_damaged_sound_is_refused(folder: Path) -> None:
    (folder / "a.wav").write_bytes(b"RIFF")
    with pytest.raises(DataError, match="^a.wav: not a PCM .wav file"):
        read("a.wav", spec(1, 5))


def test_a_pickle_is_never_read(folder: Path) -> None:
    np.save("x.npy", np.array([{}]), allow_pickle=True)
    with pytest.raises(DataError, match="x.npy: .*pickles, which can run code"):
        read("x.npy", spec(1, 2))


def test_a_folder_is_refused(folder: Path) -> None:
    (folder / "photos").mkdir()
    with pytest.raises(DataError, match=r"^photos/: is a folder; give the files in it, photos/\*$"):
        read("photos/", spec(1, 2))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_permission_is_told(folder: Path) -> None:
    (folder / "a.png").touch(0o000)
    with pytest.raises(DataError, match=r"a.png: no permission to read it"):
        read("a.png", spec(1, 2))


def test_one_file_for_several_inputs_is_told_how_to_name_them(folder: Path) -> None:
    Image.new("L", (8, 8)).save("a.png")
    np.save("x.npy", np.zeros(4))
    specs = spec(1, 8, 8, 3, name="left"), spec(1, 8, 8, 3, name="right")
    with pytest.raises(DataError, match="write left=FILE right=FILE, or give a .npz"):
        read("a.png", *specs)
    with pytest.raises(DataError, match="x.npy: is one array, the model has the inputs left,"):
        read("x.npy", *specs)


def test_a_picture_for_a_model_that_takes_none_is_refused(folder: Path) -> None:
    Image.new("L", (8, 8)).save("a.png")
    with pytest.raises(DataError, match=r"a.png: images: the input takes \(2,\) a sample"):
        read("a.png", spec(1, 2))


def test_an_empty_array_is_refused(folder: Path) -> None:
    np.savez("x.npz", x=np.zeros((0, 2)))
    with pytest.raises(DataError, match=r"x.npz: the array for 'x' is empty, \(0, 2\)"):
        read("x.npz", spec(1, 2))
