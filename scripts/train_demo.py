#!/usr/bin/env python3
"""Retrain the classifier that `edgekit demo` shows, and cut out the images that come with it.

    apt-get install dataset-fashion-mnist
    python scripts/train_demo.py /usr/share/datasets/fashion-mnist

takes about five minutes on two cores and writes ``fashion.keras``, ``fashion.npz``, ``labels.txt``
and a README that describes them. The 60,000 training images are divided, by a fixed seed, into
54,500 for training, 5,000 for validation and 500 for calibration. The test images choose nothing:
they are looked at once, when the weights are final.
"""

from __future__ import annotations

import argparse
import gzip
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

LABELS = (
    "t-shirt/top",
    "trouser",
    "pullover",
    "dress",
    "coat",
    "sandal",
    "shirt",
    "sneaker",
    "bag",
    "ankle boot",
)
SEED = 20170825
VALIDATION_IMAGES = 5_000
CALIBRATION_IMAGES = 500
BUNDLED_TEST_IMAGES = 2_000
BATCH = 128
EPOCHS = 7
OUTPUT = Path(__file__).parents[1] / "toolkit" / "edgekit" / "demo_files"
DEBIAN_FOLDER = "/usr/share/datasets/fashion-mnist"

README = Path(__file__).with_name("train_demo_readme.md")

Images = NDArray[np.uint8]
Labels = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """Images ``(n, 28, 28, 1)``, 0..255, and their class numbers ``(n,)``, 0..9."""

    images: Images
    labels: Labels

    def take(self, chosen: Any) -> Split:
        """The images at these positions."""
        return Split(images=self.images[chosen], labels=self.labels[chosen])

    @property
    def scaled(self) -> NDArray[np.float32]:
        """The images as the model takes them: float32, 0..1."""
        return self.images.astype(np.float32) / np.float32(255)


def read_idx(folder: Path, prefix: str) -> Split:
    """Read one pair of gzipped IDX files: 16 bytes of header for images, 8 for labels."""
    with gzip.open(folder / f"{prefix}-images-idx3-ubyte.gz") as file:
        images = np.frombuffer(file.read(), np.uint8, offset=16).reshape(-1, 28, 28, 1)
    with gzip.open(folder / f"{prefix}-labels-idx1-ubyte.gz") as file:
        labels = np.frombuffer(file.read(), np.uint8, offset=8).astype(np.int64)
    return Split(images=images, labels=labels)


def build() -> Any:
    """A small modern CNN: three convolutions, three separable blocks, one of them residual."""
    import keras
    from keras import layers

    def normalised(x: Any) -> Any:
        return layers.ReLU()(layers.BatchNormalization(momentum=0.9)(x))

    def convolution(x: Any, filters: int, *, strides: int = 1) -> Any:
        x = layers.Conv2D(filters, 3, strides=strides, padding="same", use_bias=False)(x)
        return normalised(x)

    def separable(x: Any, filters: int, *, strides: int = 1) -> Any:
        x = layers.DepthwiseConv2D(3, strides=strides, padding="same", use_bias=False)(x)
        return normalised(layers.Conv2D(filters, 1, use_bias=False)(normalised(x)))

    image = keras.Input((28, 28, 1), name="image")
    x = convolution(image, 16)
    x = convolution(x, 48, strides=2)
    x = convolution(x, 72)
    x = separable(x, 96, strides=2)
    x = separable(x, 128)
    x = layers.Add()([x, separable(x, 128)])
    x = layers.GlobalAveragePooling2D()(x)
    x = layers.Dropout(0.2)(x)
    scores = layers.Dense(len(LABELS), activation="softmax", name="scores")(x)
    return keras.Model(image, scores, name="fashion")


def shifted_and_flipped(images: Images, random: np.random.Generator) -> Images:
    """Half of the images mirrored, each moved by up to one pixel: another set in every epoch."""
    mirror = random.random(len(images)) < 0.5
    changed = np.where(mirror[:, None, None, None], images[:, :, ::-1], images)
    padded = np.pad(changed, ((0, 0), (1, 1), (1, 1), (0, 0)))
    down, right = random.integers(0, 3, (2, len(images)))
    rows = (down[:, None] + np.arange(28))[:, :, None]
    columns = (right[:, None] + np.arange(28))[:, None, :]
    moved: Images = padded[np.arange(len(images))[:, None, None], rows, columns]
    return moved


def train(training: Split, validation: Split) -> Any:
    """Train with AdamW on a one-cycle schedule; the last weights are the result."""
    import keras

    steps = EPOCHS * -(-len(training.labels) // BATCH)
    schedule = keras.optimizers.schedules.CosineDecay(
        1e-4, steps - steps // 8, warmup_target=4e-3, warmup_steps=steps // 8
    )
    model = build()
    model.compile(
        optimizer=keras.optimizers.AdamW(schedule, weight_decay=1e-3),
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy"],
        jit_compile=False,
    )
    random = np.random.default_rng(SEED)
    for epoch in range(EPOCHS):
        varied = Split(images=shifted_and_flipped(training.images, random), labels=training.labels)
        model.fit(varied.scaled, varied.labels, batch_size=BATCH, verbose=0)
        right = accuracy(model, validation)
        print(f"epoch {epoch + 1} of {EPOCHS}: validation {right:.2%}", file=sys.stderr)
    return model


def accuracy(model: Any, split: Split) -> float:
    """The share of `split` whose highest score is that of the right class."""
    scores = model.predict(split.scaled, batch_size=500, verbose=0)
    return float(np.mean(np.argmax(scores, axis=1) == split.labels))


def save(model: Any, path: Path) -> None:
    """Save without the optimizer, whose state would be two thirds of the file."""
    import keras

    bare = keras.Model.from_config(model.get_config())
    bare.set_weights(model.get_weights())
    bare.save(path)


def main() -> None:
    description = (__doc__ or "").partition("\n")[0]
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument(
        "folder",
        type=Path,
        nargs="?",
        default=Path(DEBIAN_FOLDER),
        help=f"holds the four *.gz IDX files (default: {DEBIAN_FOLDER})",
    )
    parser.add_argument("-o", "--output", type=Path, default=OUTPUT, help="where the files go")
    arguments = parser.parse_args()
    if not (arguments.folder / "train-images-idx3-ubyte.gz").exists():
        parser.error(
            f"{arguments.folder}: no IDX files; run: apt-get install dataset-fashion-mnist"
        )

    import keras
    import tensorflow as tf

    keras.utils.set_random_seed(SEED)
    tf.config.experimental.enable_op_determinism()
    everything = read_idx(arguments.folder, "train")
    test = read_idx(arguments.folder, "t10k")
    order = np.random.default_rng(SEED).permutation(len(everything.labels))
    calibration = everything.take(order[:CALIBRATION_IMAGES])
    validation = everything.take(order[CALIBRATION_IMAGES:][:VALIDATION_IMAGES])
    training = everything.take(order[CALIBRATION_IMAGES + VALIDATION_IMAGES :])

    model = train(training, validation)
    bundled = test.take(slice(0, BUNDLED_TEST_IMAGES))
    arguments.output.mkdir(parents=True, exist_ok=True)
    save(model, arguments.output / "fashion.keras")
    np.savez_compressed(
        arguments.output / "fashion.npz",
        x_calibrate=calibration.images,
        y_calibrate=calibration.labels,
        x_test=bundled.images,
        y_test=bundled.labels,
    )
    (arguments.output / "labels.txt").write_text("\n".join(LABELS) + "\n")
    readme = README.read_text().format(
        parameters=model.count_params(),
        epochs=EPOCHS,
        n_training=len(training.labels),
        n_validation=len(validation.labels),
        n_calibrate=len(calibration.labels),
        n_test=len(test.labels),
        n_bundled=len(bundled.labels),
        validation=accuracy(model, validation),
        test=accuracy(model, test),
        bundled=accuracy(model, bundled),
    )
    (arguments.output / "README.md").write_text(readme)
    for path in sorted(arguments.output.iterdir()):
        print(f"{path.stat().st_size:>10,} bytes  {path.name}")


if __name__ == "__main__":
    main()
