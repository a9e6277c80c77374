"""Model files for measuring the runtime: made by `edgekit convert`, in a process of their own.

python -m edgekit_benchmarks.runtime_models FOLDER
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

import edgekit
from edgekit._lazy import need

MODELS: dict[str, dict[str, tuple[int, ...]]] = {
    "tiny": {"image": (28, 28, 1)},
    "two": {"image": (28, 28, 1), "sensor": (8,)},
    "mobilenet_v2": {"image": (224, 224, 3)},
}
"""By the model's name, the shapes of its inputs, without the batch."""
FORMATS = ("tflite", "onnx")


def path_of(folder: Path, model: str, precision: str, kind: str, io: str = "float32") -> Path:
    """Where `ensure` puts a file."""
    return folder / io / f"{model}.{precision}.{kind}"


def ensure(folder: Path) -> None:
    """Make the files that are not in `folder` yet.

    Raises:
        subprocess.CalledProcessError: that failed; stderr says why.
    """
    missing = [
        path_of(folder, *which)
        for model in MODELS
        for kind in FORMATS
        for which in ((model, "float32", kind), (model, "int8", kind, "int8"))
    ]
    if not all(path.exists() for path in missing):
        command = [sys.executable, "-m", "edgekit_benchmarks.runtime_models", str(folder)]
        environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=environment)


def sample(model: str) -> list[np.ndarray[tuple[int, ...], np.dtype[np.float32]]]:
    """One float32 array for each input, shape ``(1, …)``, always the same."""
    random = np.random.default_rng(7)
    return [random.random((1, *shape), np.float32) for shape in MODELS[model].values()]


def _build(folder: Path) -> None:
    keras = need("keras", extra="convert")
    layers = keras.layers
    keras.utils.set_random_seed(1)
    image = keras.Input((28, 28, 1), name="image")
    found = layers.Conv2D(32, 3, strides=2, activation="relu")(image)
    found = layers.Conv2D(64, 3, strides=2, activation="relu")(found)
    found = layers.GlobalAveragePooling2D()(found)
    scores = layers.Dense(10, activation="softmax", name="scores")(found)
    keras.Model(image, scores).save(folder / "tiny.keras")

    sensor = keras.Input((8,), name="sensor")
    found = layers.Conv2D(8, 3, strides=2, activation="relu")(image)
    found = layers.Concatenate()([layers.GlobalAveragePooling2D()(found), sensor])
    scores = layers.Dense(10, activation="softmax", name="scores")(found)
    level = layers.Dense(1, name="level")(found)
    keras.Model([image, sensor], [scores, level]).save(folder / "two.keras")

    image = keras.Input((224, 224, 3), name="image")
    body = keras.applications.MobileNetV2(weights=None, input_tensor=image)
    body.save(folder / "mobilenet_v2.keras")


def _convert(folder: Path, model: str) -> None:
    random = np.random.default_rng(0)
    data = folder / f"{model}.npz"
    shapes = MODELS[model].items()
    samples: dict[str, Any] = {name: random.random((16, *shape)) for name, shape in shapes}
    np.savez(data, **samples)
    for io, precisions in (("float32", ("float32", "int8")), ("int8", ("int8",))):
        edgekit.convert(
            folder / f"{model}.keras",
            folder / io,
            to=FORMATS,
            quantize=precisions,
            io=io,
            calibrate=data,
            repair=False,
            tolerances=("relative_error=1e3:1e3", "flips=1:1"),  # random weights round badly
            force=True,
        )


if __name__ == "__main__":
    where = Path(sys.argv[1])
    where.mkdir(parents=True, exist_ok=True)
    _build(where)
    for each in MODELS:
        _convert(where, each)
