"""Files that load, files that are refused, and what a loaded model says of itself."""

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import edgekit
from edgekit.errors import EdgekitError, SourceError, UsageError, VerificationError

Open = Callable[..., edgekit.Model]
Find = Callable[[str], Any]
ROW = np.array([[1.0, 2.0]], np.float32)
SCORES = np.array([[2.0, 1.0, -1.5]], np.float32)
OTHERS = {"litert": "onnxruntime", "tflite-runtime": "onnxruntime", "onnxruntime": "litert"}


def _one_line(error: EdgekitError) -> bool:
    """Whether a message has the form ``subject: what is wrong; what to do``."""
    said = str(error)
    return ": " in said and "; " in said and "\n" not in said and not said.endswith(".")


@pytest.mark.board
@pytest.mark.cases(keep=lambda case: not case.refused_because)
def test_a_model_file_loads_and_says_what_it_takes_and_gives(case: Any) -> None:
    with edgekit.load(case.path, backend=case.backend) as model:
        assert model.path == str(case.path)
        assert model.inputs
        assert model.outputs
        assert any(None in spec.shape for spec in model.inputs) == case.shape_is_free
        assert (model.instances, model.closed) == (1, False)
    assert model.closed


@pytest.mark.board
@pytest.mark.cases(keep=lambda case: case.refused_because)
def test_a_model_file_the_runtime_cannot_run_is_refused_with_the_reason(case: Any) -> None:
    with pytest.raises(VerificationError, match=case.refused_because) as refused:
        edgekit.load(case.path, backend=case.backend)
    assert case.path.name in str(refused.value)
    assert _one_line(refused.value), refused.value


@pytest.mark.board
def test_the_backend_names_package_and_version(open_model: Open, backend: str) -> None:
    name, version = open_model("dense").backend.split()
    assert backend in name
    assert version[0].isdigit()


def test_without_a_backend_the_runtime_is_found(find: Find) -> None:
    with edgekit.load(find("dense").path) as model:
        np.testing.assert_allclose(model(ROW), SCORES, rtol=1e-6)


def test_a_path_may_be_text_and_the_file_may_be_bytes(find: Find, backend: str) -> None:
    path: Path = find("dense").path
    for source in (path, str(path), path.read_bytes()):
        with edgekit.load(source, backend=backend) as model:  # type: ignore[arg-type]
            np.testing.assert_allclose(model(ROW), SCORES, rtol=1e-6)


def test_the_content_decides_and_not_the_name(find: Find, backend: str, tmp_path: Path) -> None:
    other = tmp_path / "model.bin"
    shutil.copy(find("dense").path, other)
    with edgekit.load(other, backend=backend) as model:  # type: ignore[arg-type]
        np.testing.assert_allclose(model(ROW), SCORES, rtol=1e-6)


def test_a_path_with_spaces_and_other_alphabets_works(
    find: Find, backend: str, tmp_path: Path
) -> None:
    other = tmp_path / "mödel ‰ 模型"
    shutil.copy(find("dense").path, other)
    with edgekit.load(other, backend=backend) as model:  # type: ignore[arg-type]
        np.testing.assert_allclose(model(ROW), SCORES, rtol=1e-6)


@pytest.mark.board
def test_several_threads_give_what_one_gives(open_model: Open) -> None:
    images = np.random.default_rng(1).random((3, 28, 28, 1), np.float32)
    wanted = open_model("fashion.int8.io-int8")(images)
    given = open_model("fashion.int8.io-int8", threads=2)(images)
    np.testing.assert_array_equal(given, wanted)


def test_a_converted_file_has_manifest_labels_and_preprocessing(open_model: Open) -> None:
    model = open_model("fashion.int8")
    assert model.manifest["recipe"]["precision"] == "int8"
    assert len(model.labels) == 10
    assert "image" in model.preprocess


def test_any_file_works_without_a_manifest(open_model: Open) -> None:
    model = open_model("dense")
    assert (model.manifest, model.labels, dict(model.preprocess)) == ({}, (), {})


@pytest.mark.backends("tflite")
def test_without_a_signature_tensors_have_their_own_names(open_model: Open) -> None:
    model = open_model("dense.bare")
    assert model.signatures == ()
    given = model.run({"raw_image:0": ROW})
    np.testing.assert_allclose(given["raw_scores:0"], SCORES, rtol=1e-6)


@pytest.mark.backends("tflite")
@pytest.mark.parametrize(
    ("signature", "wanted"),
    [
        ("double", {"doubled": [[2.0, 4.0]]}),
        ("negate", {"negated": [[-1.0, -2.0]], "x_plus_1": [[2.0, 3.0]]}),
    ],
)
def test_each_signature_is_run_by_its_name(open_model: Open, signature: str, wanted: Any) -> None:
    model = open_model("signatures", signature=signature)
    assert model.signatures == ("double", "negate")
    assert [spec.name for spec in model.inputs] == ["x"]
    for _ in range(2):
        given = model.run({"x": ROW})
        assert set(given) == set(wanted)
        for name, values in wanted.items():
            np.testing.assert_array_equal(given[name], values)


@pytest.mark.backends("tflite")
def test_an_unknown_signature_is_refused_and_the_others_are_listed(find: Find) -> None:
    with pytest.raises(UsageError, match="double, negate"):
        edgekit.load(find("signatures").path, signature="divide")


def test_a_signature_of_a_file_without_any_is_refused(find: Find) -> None:
    name = "dense.bare" if find("dense").path.suffix == ".tflite" else "dense"
    with pytest.raises(UsageError, match="signature"):
        edgekit.load(find(name).path, signature="divide")


@pytest.mark.parametrize(
    "options", [{"threads": 0}, {"threads": -1}, {"instances": 0}, {"backend": "abacus"}]
)
def test_options_that_make_no_sense_are_refused(find: Find, options: Any) -> None:
    with pytest.raises(UsageError, match=next(iter(options))) as refused:
        edgekit.load(find("dense").path, **options)
    assert _one_line(refused.value), refused.value


def test_a_backend_for_other_files_is_refused(find: Find, backend: str) -> None:
    with pytest.raises(UsageError, match=OTHERS[backend]):
        edgekit.load(find("dense").path, backend=OTHERS[backend])  # type: ignore[arg-type]


def test_a_file_that_is_none_is_refused(tmp_path: Path) -> None:
    empty, text = tmp_path / "empty.tflite", tmp_path / "text.onnx"
    empty.write_bytes(b"")
    text.write_text("no model, " * 100)
    for source in (tmp_path / "missing.tflite", tmp_path, empty, text, b"", b"TFL3", b"\0" * 4096):
        with pytest.raises(SourceError) as refused:
            edgekit.load(source)
        assert _one_line(refused.value), refused.value


@pytest.mark.parametrize("kept", [0.1, 0.5, 0.9, 0.999])
@pytest.mark.parametrize("name", ["dense", "fashion.float32"])
def test_a_truncated_file_is_refused(
    find: Find, name: str, kept: float, backend: str, tmp_path: Path
) -> None:
    whole: Path = find(name).path
    cut = tmp_path / whole.name
    cut.write_bytes(whole.read_bytes()[: int(whole.stat().st_size * kept)])
    with pytest.raises((SourceError, VerificationError)) as refused:
        edgekit.load(cut, backend=backend)  # type: ignore[arg-type]
    assert _one_line(refused.value), refused.value


@pytest.mark.board
def test_a_flipped_bit_of_a_converted_file_is_noticed(find: Find, tmp_path: Path) -> None:
    whole: Path = find("fashion.int8").path
    content = bytearray(whole.read_bytes())
    flipped = tmp_path / whole.name
    for at in range(len(content) // 20, len(content), len(content) // 20):
        content[at] ^= 4
        flipped.write_bytes(content)
        with pytest.raises((SourceError, VerificationError)) as refused:
            edgekit.load(flipped)
        assert _one_line(refused.value), refused.value
        content[at] ^= 4


@pytest.mark.board
def test_a_converted_file_passes_its_self_test(open_model: Open) -> None:
    for name in ("fashion.float32", "fashion.int8", "fashion.int8.io-uint8", "pair", "recurrent"):
        assert open_model(name, self_test=True).self_test() > 0


@pytest.mark.board
def test_a_file_loads_after_a_probe_in_a_process_of_its_own(open_model: Open) -> None:
    np.testing.assert_allclose(open_model("dense", probe=True)(ROW), SCORES, rtol=1e-6)


def test_a_missing_runtime_is_one_line_with_the_command(find: Find, backend: str) -> None:
    script = """
import sys
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name in ("ai_edge_litert", "tflite_runtime", "onnxruntime"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Missing())
import edgekit
from edgekit.errors import MissingDependencyError
try:
    edgekit.load(sys.argv[1], backend=sys.argv[2])
except MissingDependencyError as error:
    print(error)
"""
    for asked in ("auto", backend):
        done = subprocess.run(
            [sys.executable, "-c", script, find("dense").path, asked],
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
        assert done.stdout.count("\n") == 1, done.stdout
        assert "pip install" in done.stdout
