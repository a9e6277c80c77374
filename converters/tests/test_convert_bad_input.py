"""Bad input to ``edgekit convert``: one clear line, the documented exit code, nothing left."""

import os
import pickle
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekit.artifact import Conversion
from edgekit.errors import DataError, SourceError

Make = Callable[..., Conversion]
Refused = Callable[..., str]


@pytest.fixture
def refused(edgekit: Any) -> Refused:
    """Run ``edgekit convert``, see that it refuses as it should, and return what it says."""

    def run(*arguments: object, code: int = 1, **options: Any) -> str:
        before = snapshot(edgekit.folder)
        done = edgekit("convert", *arguments, **options)
        assert done.returncode == code, done.stderr
        assert done.stdout == ""
        assert "Traceback" not in done.stderr
        lines = [
            line
            for line in done.stderr.splitlines()
            if line and not line.startswith(("[", "Usage:", "Try "))
        ]
        assert len(lines) == 1, done.stderr
        assert lines[0].startswith("Error: ")
        assert snapshot(edgekit.folder) == before
        return str(lines[0])

    return run


def snapshot(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else b""
        for path in folder.rglob("*")
    }


# ---- the model --------------------------------------------------------------------------------


def test_a_missing_file(refused: Refused) -> None:
    assert re.search(r"gone.keras: no such file", refused("gone.keras"))


def test_an_empty_file(refused: Refused, edgekit: Any) -> None:
    (edgekit.folder / "empty.keras").touch()
    assert "empty.keras: the file is empty" in refused("empty.keras")


def test_an_empty_folder(refused: Refused, edgekit: Any) -> None:
    (edgekit.folder / "model").mkdir()
    assert "a folder without saved_model.pb" in refused("model")


def test_a_text_file_called_keras(refused: Refused, edgekit: Any) -> None:
    (edgekit.folder / "notes.keras").write_text("remember the milk\n")
    assert "a text file, beginning 'remember the milk', not a model" in refused("notes.keras")


def test_a_pickle_called_keras(refused: Refused, edgekit: Any) -> None:
    (edgekit.folder / "model.keras").write_bytes(pickle.dumps({"weights": [1, 2]}))
    assert "a Python pickle, which is never opened" in refused("model.keras")


def test_random_bytes(refused: Refused, edgekit: Any) -> None:
    (edgekit.folder / "model.h5").write_bytes(np.random.default_rng(0).bytes(5000))
    assert "model.h5: no model that edgekit knows" in refused("model.h5")


@pytest.mark.parametrize("share", [0.02, 0.5, 0.99])
@pytest.mark.parametrize("name", ["dense.tflite", "dense.onnx"])
def test_a_truncated_float_file(
    refused: Refused,
    edgekit: Any,
    float_tflite: Path,
    float_onnx: Path,
    name: str,
    share: float,
) -> None:
    content = (float_tflite if name.endswith("tflite") else float_onnx).read_bytes()
    (edgekit.folder / name).write_bytes(content[: int(share * len(content))])
    said = refused(name, "--to", name.partition(".")[2], "-q", "dynamic")
    assert re.search(rf"{name}: .*(truncated|damaged)", said)


def test_a_quantized_file_as_source(
    refused: Refused, edgekit: Any, float_tflite: Path, tmp_path: Path
) -> None:
    assert edgekit("convert", float_tflite, "-q", "dynamic", "-o", tmp_path).returncode == 0
    said = refused(tmp_path / "dense.dynamic.tflite", "-q", "int4")
    assert "is quantized already (int8); give the float32 file it was made from" in said


def test_a_float_file_cannot_have_another_batch(refused: Refused, float_tflite: Path) -> None:
    said = refused(float_tflite, "-q", "dynamic", "--batch", "4", code=2)
    assert "its shapes are fixed in the file" in said


# ---- the request ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["-q", "int3"], "unknown 'int3'; there are: float32, float16"),
        (["--to", "coreml"], "unknown 'coreml'; there are: tflite, onnx, savedmodel"),
        (["--to", "savedmodel", "-q", "int8"], "there is no such combination; savedmodel has: fl"),
        (["--io", "int8"], "--io int8: only int8 models take and give integers"),
        (["--io", "int9"], "'int9' is not one of"),
        (["-q", "int8"], "give some with --calibrate DATA, or use --quantize dynamic"),
        (["-q", "int16x8"], "give some with --calibrate DATA, or use --quantize dynamic"),
        (["--batch", "0"], "neither a number from 1 on nor 'dynamic'"),
        (["--input-shape", "image"], "not NAME=SIZE,SIZE"),
        (["--input-shape", "image=1,-3"], "not NAME=SIZE,SIZE"),
        (["--preprocess", "sharpen"], "sharpen"),
        (["--tolerance", "beauty=1"], "no bound 'beauty'"),
        (["--calibration-samples", "1"], "too few to find ranges"),
        (["--calibration-samples", "0"], "0 is not in the range"),
        (["--time-limit", "0"], "0"),
        (["--labels", "nowhere.txt"], "--labels nowhere.txt: "),
        (["-o", "a.tflite", "-q", "float32,float16"], "names one file, but 2 are made"),
        (["-o", "a.onnx"], "ends in .onnx, but --to tflite"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_request_that_makes_no_sense(
    refused: Refused, float_tflite: Path, arguments: list[str], said: str
) -> None:
    assert said in refused(float_tflite, *arguments, code=2)


def test_no_model_at_all(refused: Refused) -> None:
    assert "Missing argument 'MODEL'" in refused(code=2)


# ---- where it goes ----------------------------------------------------------------------------


def test_an_existing_file_is_kept_byte_for_byte(
    refused: Refused, edgekit: Any, float_tflite: Path
) -> None:
    (edgekit.folder / "dense.dynamic.tflite").write_bytes(b"precious")
    said = refused(float_tflite, "-q", "dynamic")
    assert "dense.dynamic.tflite: exists already; add --force" in said


def test_one_existing_file_of_several_stops_all(
    refused: Refused, edgekit: Any, float_tflite: Path
) -> None:
    (edgekit.folder / "dense.int4.tflite").write_bytes(b"precious")
    assert "exists already" in refused(float_tflite, "-q", "dynamic,int4")


def test_a_file_where_the_folder_should_be(
    refused: Refused, edgekit: Any, float_tflite: Path
) -> None:
    (edgekit.folder / "out").write_text("mine")
    assert "out: a file, not a folder" in refused(float_tflite, "-q", "dynamic", "-o", "out")


def test_the_source_as_its_own_target(refused: Refused, edgekit: Any, float_tflite: Path) -> None:
    shutil.copy(float_tflite, edgekit.folder / "m.float32.tflite")
    assert "would replace its own source" in refused("m.float32.tflite", "--force")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system with room for 24 KiB."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=24k", "none", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, check=False).returncode != 0:
        pytest.skip("mounting a small file system takes root and the right to mount")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_no_space_for_the_file(refused: Refused, float_tflite: Path, small_disk: Path) -> None:
    said = refused(float_tflite, "-q", "dynamic", "-o", small_disk)
    assert "no space left on the disk; free some, or choose another -o" in said
    assert list(small_disk.iterdir()) == []


def test_no_space_for_temporary_files(
    refused: Refused, float_tflite: Path, rows: Path, small_disk: Path
) -> None:
    said = refused(
        *(float_tflite, "-q", "dynamic", "--calibrate", rows),
        environment={"TMPDIR": str(small_disk)},
    )
    assert "No space left on device" in said
    assert "set TMPDIR elsewhere" in said
    assert list(small_disk.iterdir()) == []


def test_a_read_only_disk(refused: Refused, float_tflite: Path, small_disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    assert "no permission to write" in refused(float_tflite, "-o", small_disk)


@pytest.fixture
def powerless() -> tuple[str, ...]:
    """A command prefix under which file modes count, also for root."""
    if os.geteuid() != 0:
        return ()
    prefix = ("setpriv", "--bounding-set=-dac_override,-dac_read_search", "--inh-caps=-all")
    if not shutil.which("setpriv") or subprocess.run([*prefix, "true"], check=False).returncode:
        pytest.skip("root ignores file modes, and setpriv is not here to change that")
    return prefix


def test_a_folder_without_permission(
    refused: Refused, edgekit: Any, float_tflite: Path, powerless: tuple[str, ...]
) -> None:
    out = edgekit.folder / "out"
    out.mkdir(mode=0o555)
    said = refused(float_tflite, "-q", "dynamic", "-o", "out", before=powerless)
    assert "out: no permission to write there; choose another -o" in said


def test_a_model_without_permission(
    refused: Refused, edgekit: Any, float_tflite: Path, powerless: tuple[str, ...]
) -> None:
    shutil.copy(float_tflite, edgekit.folder / "secret.tflite")
    os.chmod(edgekit.folder / "secret.tflite", 0o000)  # noqa: PTH101 - one fact, one line
    said = refused("secret.tflite", "-q", "dynamic", "-o", "out", before=powerless)
    assert "secret.tflite: permission denied; make it readable" in said


# ---- the data ---------------------------------------------------------------------------------


def test_missing_data(refused: Refused, float_tflite: Path) -> None:
    said = refused(float_tflite, "-q", "int8", "--calibrate", "gone.npz")
    assert "gone.npz: no such file or folder" in said


class _Dangerous:
    """Unpickling this would leave a file behind."""

    def __reduce__(self) -> Any:
        return os.system, ("touch unpickled",)


def _pickled(path: Path) -> None:
    path.write_bytes(pickle.dumps(_Dangerous()))


def _objects(path: Path) -> None:
    np.savez(path, row=np.array([_Dangerous(), _Dangerous()], dtype=object))


@pytest.mark.parametrize(
    ("save", "said"),
    [
        (lambda path: path.write_bytes(b""), "is empty"),
        (lambda path: path.write_text("1,2,3"), "is no NumPy archive"),
        (_pickled, "pickle|is no NumPy archive"),
        (_objects, "Python objects|pickle"),
        (lambda path: np.savez(path, row=np.zeros((8, 5), "f4")), r"\(5,\), the model takes \(64,"),
        (lambda path: np.savez(path, row=np.array([["a"] * 64] * 4)), "are text"),
        (lambda path: np.savez(path, row=np.ones((8, 64), complex)), "are complex numbers"),
        (lambda path: np.savez(path, other=np.ones((8, 64), "f4")), "has no array for row"),
        (lambda path: np.savez(path, row=np.ones((1, 64), "f4")), "is a single sample"),
        (lambda path: np.savez(path, row=np.ones((8, 64), "f4")), "all samples are identical"),
        (lambda path: np.savez(path, row=np.empty((0, 64), "f4")), "no samples|empty|0 samples"),
        (lambda path: np.savez(path, row=_with(np.nan)), "has 1 NaN values, in 1 of 8 samples"),
        (lambda path: np.savez(path, row=_with(np.inf)), "has 1 infinite values"),
        (lambda path: np.savez(path, row=_with(1e300)), "has 1 infinite values"),
    ],
    ids=[
        "empty", "text", "pickle", "objects", "shape", "strings", "complex", "name", "single",
        "identical", "none", "nan", "inf", "overflow",
    ],
)  # fmt: skip
def test_data_that_cannot_be_used(
    refused: Refused,
    edgekit: Any,
    float_tflite: Path,
    save: Callable[[Path], None],
    said: str,
) -> None:
    save(edgekit.folder / "data.npz")
    told = refused(float_tflite, "-q", "float32,int8", "--calibrate", "data.npz")
    assert told.startswith("Error: data.npz: ")
    assert re.search(said, told)


def _with(value: float) -> Any:
    rows = np.random.default_rng(0).normal(size=(8, 64))
    rows[2, 3] = value
    return rows


def test_a_pickle_as_data_is_never_opened(
    refused: Refused, edgekit: Any, float_tflite: Path
) -> None:
    _pickled(edgekit.folder / "data.npy")
    refused(float_tflite, "-q", "int8", "--calibrate", "data.npy")
    _objects(edgekit.folder / "data.npz")
    refused(float_tflite, "-q", "int8", "--calibrate", "data.npz")
    assert not (edgekit.folder / "unpickled").exists()


@pytest.mark.slow
def test_pixels_in_another_range_than_the_model_saw(make: Make, zoo: Path, tmp_path: Path) -> None:
    with np.load(zoo / "cnn.npz") as data:
        np.savez(tmp_path / "raw.npz", image=255 * data["image"])
    with pytest.raises(DataError, match=r"values reach 25.*add --preprocess scale=1/255"):
        make("cnn.keras", data=str(tmp_path / "raw.npz"), quantize=("int8",))


@pytest.mark.slow
def test_pixels_that_are_scaled_twice(make: Make, zoo: Path) -> None:
    with pytest.raises(DataError, match=r"values stay within 0..1.*--preprocess scale=255"):
        make("rescaling.keras", data=str(zoo / "cnn.npz"), quantize=("int8",))


@pytest.mark.slow
def test_fractions_for_an_integer_input(make: Make, zoo: Path, tmp_path: Path) -> None:
    with np.load(zoo / "several.npz") as data:
        np.savez(tmp_path / "bad.npz", zoom=data["zoom"], age=data["age"], kind=data["kind"] + 0.5)
    with pytest.raises(DataError, match="input 'kind' have fractions"):
        make("several.keras", data=str(tmp_path / "bad.npz"))


@pytest.mark.slow
def test_a_model_that_gives_nan_is_refused_before_anything_is_made(make: Make) -> None:
    with pytest.raises(SourceError, match=r"nan.keras: gives NaN or infinity in output"):
        make("nan.keras", to=("tflite", "onnx"), quantize=("float32", "int8"))


# ---- refused by Keras, through the command line -----------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "options", "code", "said"),
    [
        ("unsafe.keras", (), 1, "Lambda layer"),
        ("custom.keras", (), 1, "'Scaled' is not a class that keras knows"),
        ("custom.keras", ("--custom-objects", "gone.py"), 2, "gone.py: no such Python file"),
        ("text.keras", (), 1, "input 'text' takes text"),
    ],
    ids=["lambda", "custom", "code", "text"],
)
def test_a_model_that_cannot_be_used(
    refused: Refused, zoo: Path, name: str, options: tuple[str, ...], code: int, said: str
) -> None:
    assert said in refused(zoo / name, *options, code=code)
