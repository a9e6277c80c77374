"""edgekit evaluate with the bundled Keras classifier; TensorFlow runs in a child only."""

import sys
from pathlib import Path

import numpy as np
import pytest

import edgekit
from edgekit.errors import DataError, SourceError
from edgekit.evaluation import Evaluation
from edgekit.scoring import evaluate

pytestmark = pytest.mark.slow

FRAMEWORKS = {"tensorflow", "keras", "ai_edge_litert", "onnxruntime"}
FILES = Path(edgekit.__file__).parent / "demo_files"
MODEL, DATA = FILES / "fashion.keras", f"{FILES / 'fashion.npz'}:test"


@pytest.fixture(scope="module")
def tflite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from edgekit.conversion import convert

    (made,) = convert(
        MODEL,
        tmp_path_factory.mktemp("made"),
        quantize="int8",
        calibrate=f"{FILES / 'fashion.npz'}:calibrate",
        preprocess="scale=1/255",
    )
    return made.path


@pytest.fixture(scope="module")
def result(tflite: Path) -> Evaluation:
    before = FRAMEWORKS & set(sys.modules)
    found = evaluate([MODEL, tflite], data=DATA, limit=500)
    assert FRAMEWORKS & set(sys.modules) == before, "the parent imported a framework"
    return found


def test_a_keras_model_and_its_int8_file_are_scored_alike(result: Evaluation) -> None:
    keras, int8 = result.files
    assert keras.accuracy is not None
    assert keras.accuracy.value > 0.88
    assert int8.against_first is not None
    assert int8.against_first.is_significant is False
    assert int8.against_first.changed is not None
    assert int8.against_first.changed.value < 0.03


def test_the_preprocessing_of_the_artifact_is_applied_to_the_keras_model(
    result: Evaluation, tflite: Path
) -> None:
    assert list(result.preprocess.values()) == ["scale=1/255"]
    assert result.preprocess_from == str(tflite)


def test_raw_pixels_for_a_model_that_does_not_rescale_are_refused() -> None:
    with pytest.raises(DataError, match="--preprocess scale=1/255"):
        evaluate([MODEL], data=DATA, limit=20)


def test_a_file_that_stores_no_preprocessing_does_not_excuse_raw_pixels(tmp_path: Path) -> None:
    from edgekit.conversion import convert

    (made,) = convert(MODEL, tmp_path / "made")
    with pytest.raises(DataError, match="--preprocess scale=1/255"):
        evaluate([MODEL, made.path], data=DATA, limit=20)


def test_a_data_function_may_import_tensorflow(
    tflite: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tensorflow_data.py").write_text(
        "import numpy as np\n"
        "import tensorflow as tf\n"
        "def samples():\n"
        f"    with np.load({str(FILES / 'fashion.npz')!r}) as archive:\n"
        "        x, y = archive['x_test'][:64], archive['y_test'][:64]\n"
        "    return tf.data.Dataset.from_tensor_slices((x, y)).batch(16)\n"
    )
    monkeypatch.chdir(tmp_path)
    found = evaluate([MODEL, tflite, tflite], data="tensorflow_data:samples")
    assert [file.error for file in found.files] == ["", "", ""]


def test_a_truncated_keras_file_is_a_clear_error(tmp_path: Path) -> None:
    path = tmp_path / "half.keras"
    path.write_bytes(MODEL.read_bytes()[:20_000])
    with pytest.raises(SourceError, match="truncated"):
        evaluate([path], data=DATA)


def test_regression_of_a_keras_model_against_its_file(tflite: Path, tmp_path: Path) -> None:
    with np.load(FILES / "fashion.npz") as archive:
        x, y = archive["x_test"][:200], archive["y_test"][:200]
    np.savez(tmp_path / "r.npz", x=x, y=np.eye(10, dtype=np.float32)[y])
    result = evaluate([MODEL, tflite], data=tmp_path / "r.npz", task="regression")
    assert result.files[0].mae is not None
    assert result.files[0].mae.value < 0.05
    assert result.files[1].against_first is not None
    assert result.files[1].against_first.relative_difference is not None
    assert result.files[1].against_first.relative_difference < 0.1
