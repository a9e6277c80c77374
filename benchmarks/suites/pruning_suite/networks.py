"""A ResNet and a MobileNetV2 for Fashion-MNIST: built, trained once on all 60,000 images, kept."""

from __future__ import annotations

import gzip
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

FOLDER = Path("/usr/share/datasets/fashion-mnist")
"""Where the Debian package dataset-fashion-mnist puts the four files."""
SEED = 3
BATCH = 128
PEAK_RATE = 4e-3
MOBILENET = (
    (1, 16, 1, 1),
    (6, 24, 2, 1),
    (6, 32, 3, 2),
    (6, 64, 3, 2),
    (6, 96, 2, 1),
    (6, 160, 1, 1),
)
"""Expansion, channels, blocks, stride of the first block."""
Array = NDArray[Any]


def data(cache: Path) -> Path:
    """Makes an .npz: ``x_train`` (60000, 28, 28, 1) uint8, ``y_train``, ``x_test``, ``y_test``."""
    path = cache / "fashion-mnist.npz"
    if not path.exists():
        if not FOLDER.is_dir():
            sys.exit(f"{FOLDER}: not there; run: apt-get install dataset-fashion-mnist")
        arrays: dict[str, Any] = {}
        for split, prefix in (("train", "train"), ("test", "t10k")):
            images = _idx(f"{prefix}-images-idx3-ubyte.gz", header=16)
            arrays[f"x_{split}"] = images.reshape(-1, 28, 28, 1)
            arrays[f"y_{split}"] = _idx(f"{prefix}-labels-idx1-ubyte.gz", header=8).astype(np.int64)
        cache.mkdir(parents=True, exist_ok=True)
        unfinished = cache / "unfinished.npz"
        np.savez_compressed(unfinished, **arrays)
        unfinished.rename(path)
    return path


def trained(name: str, cache: Path) -> Path:
    """Returns the .keras file of a network of `NETWORKS`, compiled; trains it if it is missing."""
    path = cache / f"{name}.keras"
    if not path.exists():
        started = time.monotonic()
        build, epochs = NETWORKS[name]
        with np.load(data(cache)) as arrays:
            model = _train(build, epochs, arrays["x_train"], arrays["y_train"])
        unfinished = cache / "unfinished.keras"
        model.save(unfinished)
        unfinished.rename(path)
        print(f"{name}: trained in {time.monotonic() - started:.0f} s", file=sys.stderr)
    return path


def resnet() -> Any:
    """ResNet-8 as in MLPerf Tiny, with twice its width from a stem of stride 2: 0.3 M weights."""
    import keras
    from keras import layers

    image = keras.Input((28, 28, 1), name="image")
    x = _normalised(layers.Conv2D(32, 3, strides=2, padding="same", use_bias=False)(image), "relu")
    for filters, strides in ((32, 1), (64, 2), (128, 2)):
        first = layers.Conv2D(filters, 3, strides=strides, padding="same", use_bias=False)
        y = _normalised(first(x), "relu")
        second = layers.Conv2D(filters, 3, padding="same", use_bias=False)
        y = _normalised(second(y), None)
        if strides > 1:
            shortcut = layers.Conv2D(filters, 1, strides=strides, use_bias=False)
            x = _normalised(shortcut(x), None)
        x = layers.ReLU()(layers.Add()([x, y]))
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(
        image, layers.Dense(10, activation="softmax", name="scores")(x), name="resnet"
    )


def mobilenet() -> Any:
    """MobileNetV2 with strides for 28x28, 12 inverted residuals: 0.65 M weights."""
    import keras
    from keras import layers

    image = keras.Input((28, 28, 1), name="image")
    stem = layers.Conv2D(32, 3, strides=2, padding="same", use_bias=False)
    x = _normalised(stem(image), "relu6")
    for expansion, channels, blocks, first_stride in MOBILENET:
        for block in range(blocks):
            strides = 1 if block else first_stride
            y = x
            if expansion > 1:
                wide = layers.Conv2D(expansion * x.shape[-1], 1, use_bias=False)
                y = _normalised(wide(y), "relu6")
            depthwise = layers.DepthwiseConv2D(3, strides=strides, padding="same", use_bias=False)
            y = _normalised(depthwise(y), "relu6")
            y = _normalised(layers.Conv2D(channels, 1, use_bias=False)(y), None)
            x = layers.Add()([x, y]) if x.shape == y.shape else y
    x = _normalised(layers.Conv2D(640, 1, use_bias=False)(x), "relu6")
    x = layers.Dropout(0.1)(layers.GlobalAveragePooling2D()(x))
    scores = layers.Dense(10, activation="softmax", name="scores")(x)
    return keras.Model(image, scores, name="mobilenet")


NETWORKS: dict[str, tuple[Callable[[], Any], int]] = {
    "resnet": (resnet, 12),
    "mobilenet": (mobilenet, 8),
}
"""The function that builds each, and for how many epochs it is trained."""


def _normalised(x: Any, activation: str | None) -> Any:
    from keras import layers

    x = layers.BatchNormalization(momentum=0.9)(x)
    if activation is None:
        return x
    return layers.ReLU(6.0 if activation == "relu6" else None)(x)


def _train(build: Callable[[], Any], epochs: int, images: Array, labels: Array) -> Any:
    """AdamW on one cycle of the learning rate; images mirrored and moved by up to two pixels."""
    import keras

    keras.utils.set_random_seed(SEED)
    steps = epochs * -(-len(labels) // BATCH)
    schedule = keras.optimizers.schedules.CosineDecay(
        1e-4, steps - steps // 8, warmup_target=PEAK_RATE, warmup_steps=steps // 8
    )
    model = build()
    model.compile(
        optimizer=keras.optimizers.AdamW(schedule, weight_decay=1e-3),
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy"],
        jit_compile=False,
    )
    random = np.random.default_rng(SEED)
    for epoch in range(epochs):
        varied = _varied(images, random).astype(np.float32) / np.float32(255)
        history = model.fit(varied, labels, batch_size=BATCH, verbose=0).history
        print(f"epoch {epoch + 1} of {epochs}: {history['accuracy'][-1]:.2%}", file=sys.stderr)
    return model


def _varied(images: Array, random: np.random.Generator) -> Array:
    """Half of the images mirrored, each moved by up to two pixels."""
    mirror = random.random(len(images)) < 0.5
    changed = np.where(mirror[:, None, None, None], images[:, :, ::-1], images)
    padded = np.pad(changed, ((0, 0), (2, 2), (2, 2), (0, 0)))
    down, right = random.integers(0, 5, (2, len(images)))
    rows = (down[:, None] + np.arange(28))[:, :, None]
    columns = (right[:, None] + np.arange(28))[:, None, :]
    moved: Array = padded[np.arange(len(images))[:, None, None], rows, columns]
    return moved


def _idx(name: str, *, header: int) -> NDArray[np.uint8]:
    with gzip.open(FOLDER / name) as file:
        return np.frombuffer(file.read(), np.uint8, offset=header)
