"""The whole command, from model files to files in place."""

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgekit import onnx_file
from edgekit.artifact import Conversion
from edgekit.sessions import open_session

Make = Callable[..., Conversion]

_COUNTING = """
import os, sys

class Count:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name in {"tensorflow", "ai_edge_litert", "onnxruntime"}:
            with open(os.environ["IMPORTED"], "a") as file:
                print(os.getpid(), name, sys.argv[-1], file=file)

sys.meta_path.insert(0, Count)
"""


class Runs:
    """The same command twice, in processes and folders of its own."""

    def __init__(self, documents: list[Any], folders: list[Path], err: str, imported: str) -> None:
        self.documents = documents
        self.folders = folders
        self.err = err
        self.imported = imported.splitlines()

    def files(self) -> list[str]:
        return sorted(path.name for path in self.folders[0].iterdir())


@pytest.fixture(scope="module")
def twice(
    zoo: Path,
    new_command_line: Callable[[Path], Any],
    tmp_path_factory: pytest.TempPathFactory,
) -> Runs:
    """cnn.keras to TFLite and ONNX in four precisions each, with labels, twice."""
    counting = tmp_path_factory.mktemp("counting")
    (counting / "sitecustomize.py").write_text(_COUNTING)
    labels = counting / "labels.txt"
    labels.write_text("ankle\nbag\ncoat\ndress\nelse\n")
    documents, folders = [], []
    for name in ("first", "second"):
        line = new_command_line(tmp_path_factory.mktemp(name) / "work")
        done = line(
            *("convert", zoo / "cnn.keras", "-o", line.folder / "out", "--to", "tflite,onnx"),
            *("-q", "float32,float16,dynamic,int8", "--calibrate", zoo / "cnn.npz"),
            *("--labels", labels, "--json"),
            environment={
                "PYTHONPATH": os.pathsep.join([str(counting), os.environ.get("PYTHONPATH", "")]),
                "IMPORTED": str(counting / name),
            },
        )
        assert done.returncode == 0, done.stderr
        assert line.left() == []
        documents.append(json.loads(done.stdout))
        folders.append(line.folder / "out")
    return Runs(documents, folders, done.stderr, (counting / "second").read_text())


@pytest.mark.slow
def test_every_combination_is_made_under_its_name(twice: Runs) -> None:
    assert twice.files() == sorted(
        f"cnn.{precision}.{format_}"
        for precision in ("float32", "float16", "dynamic", "int8")
        for format_ in ("tflite", "onnx")
    )


@pytest.mark.slow
def test_every_file_was_verified_and_passed(twice: Runs) -> None:
    found = [one["verification"]["status"] for one in twice.documents[0]["artifacts"]]
    assert found == ["passed"] * 8
    assert twice.documents[0]["failures"] == []


@pytest.mark.slow
def test_the_document_says_what_is_on_disk(twice: Runs) -> None:
    for one in twice.documents[0]["artifacts"]:
        content = Path(one["path"]).read_bytes()
        assert one["size_bytes"] == len(content)
        assert one["sha256"] == hashlib.sha256(content).hexdigest()
        assert one["gzip_bytes"] < one["size_bytes"]


@pytest.mark.slow
def test_the_document_names_the_source(twice: Runs, zoo: Path) -> None:
    assert twice.documents[0]["schema_version"] == 1
    assert twice.documents[0]["source"] == {
        "path": str(zoo / "cnn.keras"),
        "sha256": hashlib.sha256((zoo / "cnn.keras").read_bytes()).hexdigest(),
        "framework": "keras",
    }


@pytest.mark.slow
def test_files_are_byte_identical_when_made_again(twice: Runs) -> None:
    differing = [
        name
        for name in twice.files()
        if (twice.folders[0] / name).read_bytes() != (twice.folders[1] / name).read_bytes()
    ]
    assert differing == []


@pytest.mark.slow
def test_tensorflow_is_imported_once_for_all_combinations(twice: Runs) -> None:
    (process,) = [line for line in twice.imported if " tensorflow " in f"{line} "]
    assert process.endswith("keras_worker")


@pytest.mark.slow
def test_files_are_checked_by_a_process_without_tensorflow(twice: Runs) -> None:
    checking = {line.split()[1] for line in twice.imported if line.endswith("check_worker")}
    assert checking == {"ai_edge_litert", "onnxruntime"}


@pytest.mark.slow
def test_the_manifest_is_in_the_file_and_says_how_it_was_made(
    twice: Runs, manifest_of: Callable[[Path], dict[str, Any]], zoo: Path
) -> None:
    for name in twice.files():
        found = manifest_of(twice.folders[0] / name)
        _, precision, format_ = name.split(".")
        assert found["recipe"]["format"] == format_
        assert found["recipe"]["precision"] == precision
        assert found["source"]["name"] == "cnn.keras"
        assert found["labels"] == ["ankle", "bag", "coat", "dress", "else"]
        assert found["verification"]["status"] == "passed"
        assert found["verification"]["samples"] == 24


@pytest.mark.slow
def test_nothing_in_a_file_tells_of_this_machine(twice: Runs, zoo: Path) -> None:
    secrets = [str(zoo), str(twice.folders[0].parent), str(Path(__file__).parent), "/edgekit-"]
    for name in twice.files():
        content = (twice.folders[0] / name).read_bytes()
        assert [word for word in secrets if word.encode() in content] == []


@pytest.mark.slow
def test_progress_is_told_line_by_line_and_frameworks_are_silent(twice: Runs) -> None:
    lines = twice.err.splitlines()
    steps = [line for line in lines if line.startswith("[")]
    assert steps[0].endswith("load cnn")
    assert any(line.endswith("quantize cnn.int8.onnx") for line in steps)
    assert set(lines) - set(steps) == set()


@pytest.mark.slow
def test_the_table_shows_every_file(edgekit: Any, zoo: Path) -> None:
    done = edgekit(
        *("convert", zoo / "mlp.keras", "-q", "float32,int8,int4", "--calibrate", zoo / "mlp.npz"),
        *("--to", "onnx,tflite", "--no-repair"),
    )
    assert done.returncode == 0, done.stderr
    for path in edgekit.folder.iterdir():
        (row,) = [line for line in done.stdout.splitlines() if path.name in line]
        assert "passed" in row


@pytest.mark.slow
def test_one_failed_combination_leaves_the_others(edgekit: Any, zoo: Path) -> None:
    done = edgekit(
        *("convert", zoo / "flex.keras", "--custom-objects", zoo / "layers.py"),
        *("--to", "tflite,onnx", "--json"),
    )
    assert done.returncode == 1
    document = json.loads(done.stdout)
    assert [one["format"] for one in document["artifacts"]] == ["onnx"]
    (failure,) = document["failures"]
    assert (failure["format"], failure["precision"]) == ("tflite", "float32")
    assert "no builtin operator" in failure["error"]
    (told,) = [line for line in done.stderr.splitlines() if line.startswith("Error")]
    assert failure["error"] in told
    assert [path.name for path in edgekit.folder.iterdir()] == ["flex.float32.onnx"]


# ---- model objects ----------------------------------------------------------------------------

_OBJECTS = """
import warnings

import edgekit
import keras, tf_keras
from edgekit.errors import EdgekitError

for library, name in ((keras, "three"), (tf_keras, "two")):
    model = library.Sequential(
        [library.Input((10, 4), name="series"), library.layers.LSTM(6), library.layers.Dense(3)],
        name=name,
    )
    made = edgekit.convert(
        model, "out", to=["tflite", "onnx"], quantize=["float32"], calibrate="lstm.npz"
    )
    print(name, [one.verification.status for one in made], [one.path.name for one in made])
    again = model.predict(__import__("numpy").zeros((1, 10, 4)), verbose=0)
    print(name, again.shape)
try:
    edgekit.convert(keras.Sequential([keras.layers.Dense(2)]), "out")
except EdgekitError as error:
    print("refused", error)
"""


@pytest.mark.slow
def test_model_objects_are_converted_in_the_process_that_holds_them(
    edgekit: Any, zoo: Path
) -> None:
    (edgekit.folder / "objects.py").write_text(_OBJECTS)
    (edgekit.folder / "lstm.npz").write_bytes((zoo / "lstm.npz").read_bytes())
    done = edgekit.python("-B", "objects.py")  # TensorFlow compiles what it writes there
    assert done.returncode == 0, done.stderr
    first, second, third, fourth, refused = done.stdout.splitlines()
    files = "['{0}.float32.tflite', '{0}.float32.onnx']"
    assert first == f"three ['passed', 'passed'] {files.format('three')}"
    assert third == f"two ['passed', 'passed'] {files.format('two')}"
    assert second == "three (1, 3)"
    assert fourth == "two (1, 3)"
    assert "the model was never built" in refused


# ---- float files, without TensorFlow ----------------------------------------------------------


@pytest.fixture
def without_tensorflow(tmp_path: Path) -> dict[str, str]:
    """An environment in which importing TensorFlow or Keras fails."""
    folder = tmp_path / "blocked"
    for name in ("tensorflow", "keras", "tf_keras", "tf2onnx"):
        (folder / name).mkdir(parents=True)
        (folder / name / "__init__.py").write_text("raise ImportError('blocked by the test')\n")
    return {"PYTHONPATH": os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")])}


@pytest.mark.slow
@pytest.mark.parametrize("format_", ["tflite", "onnx"])
def test_float_files_are_quantized_without_tensorflow(
    edgekit: Any,
    format_: str,
    float_tflite: Path,
    float_onnx: Path,
    rows: Path,
    without_tensorflow: dict[str, str],
) -> None:
    done = edgekit(
        *("convert", float_tflite if format_ == "tflite" else float_onnx, "--to", format_),
        *("-q", "float32,float16,dynamic,int8,int16x8,int4", "--calibrate", rows, "--json"),
        environment=without_tensorflow,
    )
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert [one["verification"]["status"] for one in document["artifacts"]] == ["passed"] * 6
    assert document["source"]["framework"] == format_


def test_a_float_file_cannot_become_another_format(edgekit: Any, float_tflite: Path) -> None:
    done = edgekit("convert", float_tflite, "--to", "onnx")
    assert done.returncode == 2
    assert "a tflite file can only be quantized to tflite" in done.stderr


# ---- more models ------------------------------------------------------------------------------


@pytest.mark.slow
def test_pixels_of_small_integers_are_read_as_they_are(make: Make, zoo: Path) -> None:
    with np.load(zoo / "rescaling.npz") as data:
        assert data["image"].dtype == np.uint8
    made = make("rescaling.keras", to=("tflite", "onnx"), quantize=("float32", "int8"))
    assert [one.verification.status for one in made.artifacts] == ["passed"] * 4


@pytest.mark.slow
def test_a_savedmodel_folder_is_a_source_and_a_target(make: Make, zoo: Path) -> None:
    made = make("exported", data=str(zoo / "cnn.npz"), to=("savedmodel", "tflite"))
    assert [one.verification.status for one in made.artifacts] == ["passed", "passed"]
    folder = made.artifacts[0].path
    document = json.loads((folder / "assets.extra" / "edgekit.manifest.json").read_text())
    assert document["recipe"]["format"] == "savedmodel"


@pytest.mark.slow
def test_a_savedmodel_is_byte_identical_when_made_again(edgekit: Any, zoo: Path) -> None:
    contents = []
    for name in ("first", "second"):
        done = edgekit("convert", zoo / "mlp.keras", "--to", "savedmodel", "-o", name)
        assert done.returncode == 0, done.stderr
        folder = edgekit.folder / name / "mlp.float32.savedmodel"
        files = [path for path in folder.rglob("*") if path.is_file()]
        contents.append({str(path.relative_to(folder)): path.read_bytes() for path in files})
    assert contents[0] == contents[1]
    assert "saved_model.pb" in contents[0]


@pytest.mark.slow
def test_onnx_and_tflite_files_of_one_model_agree(make: Make, zoo: Path) -> None:
    made = make("several.keras", to=("tflite", "onnx"))
    with np.load(zoo / "several.npz") as data:
        given = {name: data[name][:1] for name in data.files}
    answers = []
    for artifact in made.artifacts:
        with open_session(artifact.path) as session:
            answers.append(session.run(given))
    assert set(answers[0]) == set(answers[1]) == {"scores", "value"}
    for name, value in answers[0].items():
        np.testing.assert_allclose(value, answers[1][name], atol=1e-5)


@pytest.mark.slow
def test_the_onnx_file_says_its_operator_set(make: Make) -> None:
    made = make("mlp.keras", to=("onnx",))
    versions = onnx_file.read(made.artifacts[0].path).versions
    assert any("17" in value for value in versions.values())
