from pathlib import Path
from typing import Any

import pytest

from edgekit.errors import OutputError, UsageError
from edgekit.request import ConvertRequest, check_writable


def request(source: Any = "mnist.keras", **options: Any) -> ConvertRequest:
    return ConvertRequest(source=source, **options)


def names(asked: ConvertRequest) -> list[str]:
    return [path.as_posix() for path in asked.outputs().values()]


def test_by_default_one_float_tflite_is_made(tmp_path: Path) -> None:
    asked = request(out=tmp_path)
    assert asked.outputs() == {("tflite", "float32"): tmp_path / "mnist.float32.tflite"}


def test_every_format_is_made_with_every_precision(tmp_path: Path) -> None:
    asked = request(
        out=tmp_path,
        formats=("onnx", "tflite"),
        precisions=("int8", "dynamic"),
        calibrate="train.npz",
    )
    assert [path.name for path in asked.outputs().values()] == [
        "mnist.int8.onnx",
        "mnist.dynamic.onnx",
        "mnist.int8.tflite",
        "mnist.dynamic.tflite",
    ]


@pytest.mark.parametrize("precision", ["int8", "int16x8"])
def test_integer_activations_without_data_are_refused_with_both_ways_out(precision: Any) -> None:
    with pytest.raises(
        UsageError, match=f"--quantize {precision}.*--calibrate DATA.*--quantize dynamic"
    ):
        request(precisions=("float32", precision))


def test_random_calibration_is_made_when_asked_for_by_name() -> None:
    assert request(precisions=("int8",), calibrate="random").calibrate == "random"


def test_a_combination_that_does_not_exist_names_those_that_do() -> None:
    with pytest.raises(UsageError, match="savedmodel.*int8.*savedmodel has: float32"):
        request(formats=("tflite", "savedmodel"), precisions=("int8",), calibrate="x.npz")


@pytest.mark.parametrize("precisions", [("float32",), ("int8", "float32"), ("int16x8",)])
def test_integer_io_of_anything_but_int8_is_refused(precisions: Any) -> None:
    with pytest.raises(UsageError, match=r"--io uint8: only int8 models"):
        request(io="uint8", precisions=precisions, calibrate="x.npz")


def test_one_calibration_sample_is_refused() -> None:
    with pytest.raises(UsageError, match=r"--calibration-samples 1: too few"):
        request(calibration_samples=1)


def test_a_preparation_that_nobody_knows_is_refused_before_anything_starts() -> None:
    with pytest.raises(UsageError, match="sharpen"):
        request(preprocess=("sharpen=3",))


def test_a_bound_that_nobody_knows_is_refused_before_anything_starts() -> None:
    with pytest.raises(UsageError, match="there are: flips, relative_error"):
        request(tolerances=("beauty=1",))


@pytest.mark.parametrize(
    ("source", "stem"),
    [
        ("a/mnist.keras", "mnist"),
        ("mnist.v2.h5", "mnist.v2"),
        ("mnist.float32.tflite", "mnist"),
        (Path("mnist.onnx"), "mnist"),
    ],
)
def test_names_begin_as_the_source_does(source: Any, stem: str) -> None:
    assert request(source).stem == stem


def test_a_folder_keeps_its_whole_name(tmp_path: Path) -> None:
    for name, stem in (("v1.2", "v1.2"), ("mnist.savedmodel", "mnist")):
        (tmp_path / name).mkdir()
        assert request(tmp_path / name).stem == stem


def test_a_model_object_gives_its_name() -> None:
    class Model:
        name = "sequential"

    assert request(Model()).stem == "sequential"


def test_one_artifact_may_be_given_its_file(tmp_path: Path) -> None:
    asked = request(out=tmp_path / "small.tflite")
    assert list(asked.outputs().values()) == [tmp_path / "small.tflite"]


def test_several_artifacts_do_not_fit_into_one_file(tmp_path: Path) -> None:
    asked = request(out=tmp_path / "small.tflite", precisions=("float32", "float16"))
    with pytest.raises(UsageError, match=r"names one file, but 2 are made; give a folder"):
        asked.outputs()


def test_a_file_of_another_format_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"ends in .onnx, but --to tflite"):
        request(out=tmp_path / "small.onnx").outputs()


def test_a_folder_may_be_called_like_a_file(tmp_path: Path) -> None:
    (tmp_path / "models.tflite").mkdir()
    (path,) = request(out=tmp_path / "models.tflite").outputs().values()
    assert path == tmp_path / "models.tflite" / "mnist.float32.tflite"


def test_a_file_in_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("mine")
    with pytest.raises(OutputError, match="out: a file, not a folder; choose another -o"):
        request(out=tmp_path / "out").outputs()


def test_a_file_in_the_middle_of_the_path_is_refused(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("mine")
    with pytest.raises(OutputError, match="out: a file, not a folder"):
        request(out=tmp_path / "out" / "deeper").outputs()


def test_an_existing_target_needs_force(tmp_path: Path) -> None:
    (tmp_path / "mnist.float32.tflite").write_text("mine")
    with pytest.raises(OutputError, match="exists already; add --force"):
        request(out=tmp_path).outputs()
    assert request(out=tmp_path, force=True).outputs()


def test_a_source_is_never_its_own_target(tmp_path: Path) -> None:
    source = tmp_path / "mnist.float32.tflite"
    source.write_text("mine")
    with pytest.raises(OutputError, match="would replace its own source"):
        request(source, out=tmp_path, force=True).outputs()


def test_asking_for_names_makes_nothing(tmp_path: Path) -> None:
    request(out=tmp_path / "new" / "folder").outputs()
    assert list(tmp_path.iterdir()) == []


def test_tolerances_of_the_command_line_hold_for_every_precision() -> None:
    asked = request(tolerances=("relative_error=0.01:0.02",))
    for precision in ("float16", "int8"):
        assert asked.tolerance(precision).failed.relative_error == 0.02


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="no file system without space")
def test_a_place_that_takes_no_files_is_not_called_full() -> None:
    with pytest.raises(OutputError, match="/proc/x: (no file can be made|no permission)"):
        check_writable(Path("/proc/x"))
