"""The int8 file of a model after quantization-aware training computes what was trained."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import edgekit
from edgekit.artifact import Conversion
from edgekit.progress import Progress
from edgekit.request import ConvertRequest
from edgekit_converters.convert import convert
from edgekit_converters.workers import Workers

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
]


def _digits(count: int) -> tuple[Any, Any]:
    """Bars at one of four places, in noise: learned in seconds, and not without errors."""
    random = np.random.default_rng(7)
    images = random.normal(0.5, 0.45, (count, 12, 12, 1)).astype(np.float32)
    labels = random.integers(0, 4, count)
    for image, label in zip(images, labels, strict=True):
        image[:, 3 * label : 3 * label + 2] += 0.6
    return images, labels


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A small net of every join, trained for int8: its file, and what it said in training."""
    keras = pytest.importorskip("keras", reason="keras is not installed")
    pytest.importorskip("tensorflow", reason="tensorflow is not installed")
    from edgekit_converters.pruning.qat.model import qat_begin, qat_finish
    from edgekit_converters.pruning.qat.ranges import save_ranges

    keras.utils.set_random_seed(5)
    layers = keras.layers
    image = keras.Input((12, 12, 1), name="image")
    x = layers.Conv2D(8, 3, strides=2, padding="same", use_bias=False)(image)
    x = layers.BatchNormalization()(x)
    x = shortcut = layers.ReLU(6.0)(x)
    x = layers.DepthwiseConv2D(3, padding="same", activation="relu")(x)
    x = layers.BatchNormalization()(x)
    x = layers.Conv2D(8, 1)(x)
    x = layers.ReLU()(layers.Add()([x, shortcut]))
    x = layers.Concatenate()([x, layers.SeparableConv2D(6, 3, padding="same")(x)])
    x = layers.AveragePooling2D(2)(x)
    outputs = layers.Dense(4, name="scores")(layers.Flatten()(x))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model = keras.Model(image, outputs)
    images, labels = _digits(1024)
    model.compile(keras.optimizers.Adam(0.01), loss)
    model.fit(images, labels, epochs=4, verbose=0)
    qat = qat_begin(model)
    qat.model(images[:256], training=True)
    held = qat.projection()
    held.begin(qat.model, 32)
    ends = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: held.after_batch(batch)
    )
    qat.model.compile(keras.optimizers.Adam(0.002), loss)
    qat.model.fit(images, labels, epochs=1, verbose=0, callbacks=[ends])
    folder = tmp_path_factory.mktemp("qat")
    finished, ranges = qat_finish(qat)
    finished.save(folder / "net.keras")
    save_ranges(folder / "net.keras", ranges)
    unseen = _digits(1400)[0][1024:]
    np.savez(folder / "data.npz", image=images[:64])
    return {
        "path": folder / "net.keras",
        "data": folder / "data.npz",
        "unseen": unseen,
        "simulated": np.asarray(qat.model(unseen)),
        "float": np.asarray(finished(unseen)),
        "ranges": ranges,
    }


@pytest.fixture(scope="module")
def files(trained: dict[str, Any], workers: Workers, tmp_path_factory: Any) -> Conversion:
    """Files made of it."""
    request = ConvertRequest(
        source=trained["path"],
        out=tmp_path_factory.mktemp("files"),
        formats=("tflite", "onnx"),
        precisions=("int8",),
        calibrate=str(trained["data"]),
    )
    return convert(request, Progress(total=1, enabled=False), workers=workers)


def _said(path: Path, images: Any) -> Any:
    with edgekit.load(path) as model:
        return model(images)


def test_the_tflite_file_computes_what_the_model_in_training_did(
    trained: dict[str, Any], files: Conversion
) -> None:
    said = _said(files.artifacts[0].path, trained["unseen"])
    simulated, original = trained["simulated"], trained["float"]
    assert np.mean(said.argmax(1) == simulated.argmax(1)) > 0.99
    # int8 itself moves the scores by several times more than what training did not know
    assert np.abs(said - simulated).mean() < 0.35 * np.abs(said - original).mean()
    low, high = trained["ranges"]["scores"]
    assert np.abs(said - simulated).mean() < 0.5 * (high - low) / 255  # of a step


def test_every_learned_range_is_used_in_both_formats(
    trained: dict[str, Any], files: Conversion, manifest_of: Any
) -> None:
    note = f"ranges of {len(trained['ranges'])} tensors learned in training"
    for artifact in files.artifacts:
        assert note in artifact.notes
        assert note in manifest_of(artifact.path)["recipe"]["notes"]
