import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from edgekit import seal
from edgekit.child import Limits
from edgekit.cli.evaluate import command
from edgekit.errors import DataError, SourceError, UsageError
from edgekit.evaluate_request import EvaluateRequest
from edgekit.scoring import evaluate

Build = Callable[..., Path]
WEIGHTS = np.array([[1.0, -1.0, 0.5], [0.5, 1.0, -1.0]], np.float32)
ROWS = np.random.default_rng(0).normal(size=(300, 2)).astype(np.float32)
LABELS = (ROWS @ WEIGHTS).argmax(axis=1)
LABELS[::10] = 0


@pytest.fixture
def data(tmp_path: Path) -> str:
    np.savez(tmp_path / "data.npz", x=ROWS, y=LABELS)
    return str(tmp_path / "data.npz")


def run(*arguments: object) -> Any:
    return CliRunner().invoke(command, [str(argument) for argument in arguments])


def test_tflite_and_onnx_are_scored_on_the_same_data(
    tiny_tflite: Build, tiny_onnx: Build, data: str
) -> None:
    result = evaluate([tiny_tflite(), tiny_onnx(io="int8")], data=data, top_k=2)
    first, second = result.files
    assert first.accuracy is not None
    assert first.accuracy.value == np.mean((ROWS @ WEIGHTS).argmax(axis=1) == LABELS)
    assert first.top_k is not None
    assert first.top_k.count >= first.accuracy.count
    assert first.against_first is None
    assert second.against_first is not None
    assert second.against_first.changed is not None
    assert 0 < second.against_first.changed.value < 0.1
    assert (result.task, result.task_was_guessed, result.samples) == ("classification", True, 300)


def test_a_worse_file_is_called_worse(tiny_tflite: Build, data: str) -> None:
    bad = tiny_tflite("bad.tflite", weights=-WEIGHTS)
    result = run(tiny_tflite(), bad, "--data", data)
    assert result.exit_code == 0
    assert "worse (p < 0.001)" in result.stdout


def test_the_same_file_twice_shows_no_difference(tiny_tflite: Build, data: str) -> None:
    result = run(tiny_tflite(), tiny_tflite("again.tflite"), "--data", data)
    assert "0.00% [0.0, 1.3]" in result.stdout
    assert "no difference shown (p 1.000)" in result.stdout


def test_json_is_one_document_with_everything(tiny_tflite: Build, data: str) -> None:
    result = run(tiny_tflite(), tiny_tflite("b.tflite", io="int8"), "--data", data, "--json")
    document = json.loads(result.stdout)
    assert document["schema_version"] == 1
    assert document["data"] == {
        "text": data, "samples": 300, "available": 300, "random": False, "labels": True,
    }  # fmt: skip
    first, second = document["files"]
    assert set(first) == set(second)
    assert first["accuracy"]["low"] < first["accuracy"]["value"] < first["accuracy"]["high"]
    assert first["against_first"] is None
    assert {"changed", "difference", "p_value", "significant"} <= set(second["against_first"])


def test_stdout_has_the_result_alone(tiny_tflite: Build, data: str) -> None:
    result = run(tiny_tflite(), "--data", data)
    assert result.stdout.startswith(f"{data}: 300 samples, classification")
    assert "[1/1] predict with tiny.tflite" in result.stderr


def test_regression_is_scored_by_its_errors(tiny_tflite: Build, tmp_path: Path) -> None:
    np.savez(tmp_path / "r.npz", x=ROWS, y=ROWS @ WEIGHTS + 0.5)
    worse = tiny_tflite("b.tflite", weights=WEIGHTS * 0.5)
    result = evaluate([tiny_tflite(), worse], data=tmp_path / "r.npz")
    first, second = result.files
    assert result.task == "regression"
    assert first.mae is not None
    assert first.mae.value == pytest.approx(0.5, rel=1e-5)
    assert second.against_first is not None
    assert second.against_first.is_significant
    assert second.against_first.relative_difference == pytest.approx(0.5, rel=1e-3)
    assert "worse" in run(tiny_tflite(), worse, "--data", tmp_path / "r.npz").stdout


def test_stored_preprocessing_is_used_and_named(tiny_onnx: Build, tmp_path: Path) -> None:
    import onnx
    from onnx import helper

    from edgekit.preprocess import Preprocess

    path = tiny_onnx()
    model = onnx.load(path)
    steps = {"image": Preprocess.parse("scale=1/100").to_dict()}
    manifest = {"inputs": [], "outputs": [], "preprocess": steps, "labels": ["a", "b", "c"]}
    helper.set_model_props(model, {"edgekit.manifest": json.dumps(manifest)})
    path.write_bytes(model.SerializeToString())
    np.savez(tmp_path / "data.npz", x=ROWS * 100, y=LABELS)
    result = evaluate([path], data=tmp_path / "data.npz")
    assert result.preprocess == {"image": "scale=1/100"}
    assert result.preprocess_from == str(path)


def test_one_score_is_yes_above_a_half(tiny_tflite: Build, tmp_path: Path) -> None:
    inputs = np.clip(np.abs(ROWS), 0.0, 1.0)
    np.savez(tmp_path / "b.npz", x=inputs, y=(inputs[:, 0] > 0.5).astype(int))
    weights = np.array([[1.0], [0.0]], np.float32)
    result = evaluate([tiny_tflite(weights=weights)], data=tmp_path / "b.npz")
    assert result.files[0].accuracy is not None
    assert result.files[0].accuracy.value == 1.0
    assert result.notes == ()


def test_scores_beyond_0_and_1_are_logits_and_this_is_said(
    tiny_tflite: Build, tmp_path: Path
) -> None:
    np.savez(tmp_path / "b.npz", x=ROWS, y=(ROWS[:, 0] > 0).astype(int))
    weights = np.array([[5.0], [0.0]], np.float32)
    result = evaluate([tiny_tflite(weights=weights)], data=tmp_path / "b.npz")
    assert result.files[0].accuracy is not None
    assert result.files[0].accuracy.value == 1.0
    assert "logit" in result.notes[0]


def test_a_broken_second_file_leaves_the_others_and_exit_code_1(
    tiny_tflite: Build, data: str
) -> None:
    broken = tiny_tflite("broken.tflite", custom="FlexErfinv")
    result = run(tiny_tflite(), broken, tiny_tflite("c.tflite"), "--data", data)
    assert result.exit_code == 1
    assert "FlexErfinv" in result.stderr
    assert "c.tflite" in result.stdout


def test_a_broken_first_file_is_the_error(tiny_tflite: Build, data: str) -> None:
    path = tiny_tflite()
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(SourceError):
        evaluate([path], data=data)


def test_two_models_of_different_tasks_are_not_compared(tiny_tflite: Build, data: str) -> None:
    other = tiny_tflite("other.tflite", weights=WEIGHTS[:, :1])
    result = evaluate([tiny_tflite(), other], data=data)
    assert result.files[1].error


def test_one_file_without_labels_is_a_usage_error(tiny_tflite: Build, tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", x=ROWS)
    with pytest.raises(UsageError, match="no labels"):
        evaluate([tiny_tflite()], data=tmp_path / "x.npz")


def test_two_files_without_labels_are_compared(tiny_tflite: Build, tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", x=ROWS)
    result = evaluate([tiny_tflite(), tiny_tflite("b.tflite", io="int8")], data=tmp_path / "x.npz")
    assert result.files[1].against_first is not None
    assert result.files[1].against_first.changed is not None
    assert "only changes" in result.notes[0]


def test_top_k_of_a_regression_is_a_usage_error(tiny_tflite: Build, tmp_path: Path) -> None:
    np.savez(tmp_path / "r.npz", x=ROWS, y=ROWS @ WEIGHTS)
    with pytest.raises(UsageError, match="--top-k 3"):
        evaluate([tiny_tflite()], data=tmp_path / "r.npz", top_k=3)


def test_top_k_beyond_the_classes_is_a_usage_error(tiny_tflite: Build, data: str) -> None:
    with pytest.raises(UsageError, match="--top-k 50: .* only 3 classes"):
        evaluate([tiny_tflite()], data=data, top_k=50)


@pytest.mark.parametrize("option", [{"top_k": 0}, {"limit": 0}, {"files": ()}])
def test_a_request_that_makes_no_sense_is_refused_at_once(option: dict[str, Any]) -> None:
    values: dict[str, Any] = {"files": (Path("a.tflite"),), "data": "d.npz", "limits": Limits()}
    with pytest.raises(UsageError):
        EvaluateRequest(**(values | option))


def test_a_missing_file_is_refused_before_anything_runs(data: str) -> None:
    with pytest.raises(SourceError, match="no such file"):
        evaluate(["nowhere.tflite"], data=data)


def test_nothing_is_left_in_the_temporary_folder(
    tiny_tflite: Build, data: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setenv("TMPDIR", str(scratch))
    monkeypatch.setattr("tempfile.tempdir", None)
    evaluate([tiny_tflite()], data=data)
    assert list(scratch.iterdir()) == []


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="peak memory is read from /proc")
def test_the_parent_stays_small_whatever_the_data(tiny_tflite: Build, tmp_path: Path) -> None:
    big = np.zeros((3_000_000, 2), np.float32)  # 24 MB, and 24 MB of labels
    np.savez(tmp_path / "big.npz", x=big, y=np.zeros(3_000_000, np.int64))
    code = (
        "import edgekit.scoring as e, pathlib; "
        f"e.evaluate([{str(tiny_tflite())!r}], data={str(tmp_path / 'big.npz')!r}, limit=2000); "
        "status = pathlib.Path('/proc/self/status').read_text(); "
        "print(status.partition('VmHWM:')[2].split()[0])"  # ru_maxrss would be our own as well
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=os.environ, capture_output=True, check=True, text=True
    )
    assert int(done.stdout) < 150_000


def test_data_with_nan_is_refused(tiny_tflite: Build, tmp_path: Path) -> None:
    np.savez(tmp_path / "n.npz", x=np.full_like(ROWS, np.nan), y=LABELS)
    with pytest.raises(DataError, match="NaN"):
        evaluate([tiny_tflite()], data=tmp_path / "n.npz")


def test_a_file_that_is_not_what_it_was_when_sealed_is_not_scored(
    tiny_tflite: Build, data: str
) -> None:
    good, bad = tiny_tflite(), tiny_tflite("bad.tflite")
    bad.write_bytes(bad.read_bytes() + b'{"seal":"' + seal.PLACEHOLDER.encode() + b'"}0')
    seal.seal(bad)
    assert run(bad, "--data", data).exit_code == 0
    bad.write_bytes(bad.read_bytes()[:-1] + b"1")
    result = run(good, bad, "--data", data, "--json")
    assert result.exit_code == 1
    assert "Error: bad.tflite: damaged: it is not what it was when it was sealed" in result.stderr
    first, second = json.loads(result.stdout)["files"]
    assert (first["error"], second["accuracy"]) == (None, None)
