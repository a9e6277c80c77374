"""What the options of convert do, seen on float files that need no TensorFlow."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekit import tflite_file
from edgekit.artifact import Artifact
from edgekit.child import Limits
from edgekit.progress import Progress
from edgekit.request import ConvertRequest
from edgekit_converters.convert import convert
from edgekit_converters.workers import Workers


@pytest.fixture(scope="module")
def quantizers() -> Iterator[Workers]:
    with Workers(Limits(time_s=120), verbose=False, on_event=lambda _: None) as shared:
        yield shared


@pytest.fixture
def quantize(
    quantizers: Workers, float_tflite: Path, rows: Path, tmp_path: Path
) -> Callable[..., Artifact]:
    """Quantize the float TFLite file with any options of the request."""

    def made(source: Path = float_tflite, **options: Any) -> Artifact:
        settings: dict[str, Any] = {
            "precisions": ("dynamic",),
            "calibrate": str(rows),
            "out": tmp_path / "out",
        }
        request = ConvertRequest(source=source, **(settings | options))
        conversion = convert(request, Progress(total=1, enabled=False), workers=quantizers)
        assert conversion.failures == ()
        return conversion.artifacts[0]

    return made


def test_a_file_is_written_under_the_name_that_was_asked_for(
    quantize: Callable[..., Artifact], tmp_path: Path
) -> None:
    quantize(out=tmp_path / "deep" / "down" / "small.tflite")
    assert [path.name for path in (tmp_path / "deep" / "down").iterdir()] == ["small.tflite"]


def test_no_verify_marks_the_file(
    quantize: Callable[..., Artifact], manifest_of: Callable[[Path], dict[str, Any]]
) -> None:
    made = quantize(verify=False)
    assert made.verification.status == "unverified"
    assert made.verification.max_abs_error is None
    document = manifest_of(made.path)
    assert document["verification"]["status"] == "unverified"
    assert document["verification"]["reason"] == "--no-verify was given"


def test_without_data_the_verification_says_that_samples_were_random(
    quantize: Callable[..., Artifact], manifest_of: Callable[[Path], dict[str, Any]]
) -> None:
    made = quantize(calibrate=None)
    assert made.verification.random
    assert manifest_of(made.path)["verification"]["random"] is True


def test_random_calibration_is_marked(
    quantize: Callable[..., Artifact], manifest_of: Callable[[Path], dict[str, Any]]
) -> None:
    made = quantize(calibrate="random", precisions=("int8",))
    assert manifest_of(made.path)["recipe"]["calibration"]["random"] is True


def test_no_more_calibration_samples_than_asked_for_are_used(
    quantize: Callable[..., Artifact], manifest_of: Callable[[Path], dict[str, Any]]
) -> None:
    made = quantize(calibration_samples=5, precisions=("int8",))
    assert (made.verification.samples, made.verification.unseen) == (32, 27)
    assert manifest_of(made.path)["recipe"]["calibration"]["samples"] == 5


def test_preparation_is_stored_in_the_file(
    quantize: Callable[..., Artifact], manifest_of: Callable[[Path], dict[str, Any]]
) -> None:
    made = quantize(preprocess=("scale=1/2",))
    assert "row" in manifest_of(made.path)["preprocess"]


def test_force_replaces_the_file(quantize: Callable[..., Artifact], tmp_path: Path) -> None:
    target = tmp_path / "out" / "dense.dynamic.tflite"
    target.parent.mkdir()
    target.write_bytes(b"old")
    quantize(force=True)
    assert tflite_file.read(target).operators
    assert [path.name for path in target.parent.iterdir()] == [target.name]


def test_a_bound_that_nothing_meets_fails_the_file(
    quantizers: Workers, float_tflite: Path, rows: Path, tmp_path: Path
) -> None:
    request = ConvertRequest(
        source=float_tflite,
        out=tmp_path / "out",
        precisions=("float32", "dynamic"),
        calibrate=str(rows),
        tolerances=("relative_error=1e-5",),
        repair=False,
    )
    made = convert(request, Progress(total=1, enabled=False), workers=quantizers)
    assert [one.precision for one in made.artifacts] == ["float32"]
    assert "does not match the original: relative error" in made.failures[0].error
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["dense.float32.tflite"]


@pytest.mark.slow
def test_a_file_between_the_bounds_is_kept_and_loudly_marked(
    edgekit: Any, float_tflite: Path, rows: Path
) -> None:
    done = edgekit(
        *("convert", float_tflite, "-q", "dynamic", "--calibrate", rows, "--no-repair"),
        *("--tolerance", "relative_error=1e-5:0.5", "--json"),
    )
    assert done.returncode == 0
    (made,) = json.loads(done.stdout)["artifacts"]
    assert made["verification"]["status"] == "drifted"
    assert "WARNING dense.dynamic.tflite: drifted from the original" in done.stderr


def test_calibration_data_may_hold_labels_too(
    quantize: Callable[..., Artifact], tmp_path: Path
) -> None:
    random = np.random.default_rng(3)
    np.savez(
        tmp_path / "with_labels.npz",
        x=random.normal(size=(16, 64)).astype(np.float32),
        y=random.integers(0, 4, 16),
    )
    made = quantize(calibrate=str(tmp_path / "with_labels.npz"), precisions=("int8",))
    assert made.verification.samples == 16
