"""Models that give images back: up-sampling, autoencoders, U-Net, super-resolution."""

from __future__ import annotations

from typing import Any

import numpy as np
from scripts.corpus import data
from scripts.corpus.fitting import train
from scripts.corpus.registry import BOTH, Built, model


@model("autoencoder", framework=BOTH)
def autoencoder(keras: Any) -> Built:
    """Convolutional autoencoder with a dense bottleneck."""
    k = keras.layers
    samples, _ = data.images(16, channels=1)
    image = keras.Input((16, 16, 1), name="image")
    x = k.Conv2D(8, 3, strides=2, padding="same", activation="relu")(image)
    x = k.Conv2D(16, 3, strides=2, padding="same", activation="relu")(x)
    code = k.Dense(24, name="code")(k.Flatten()(x))
    x = k.Reshape((4, 4, 16))(k.Dense(256, activation="relu")(code))
    x = k.Conv2DTranspose(8, 3, strides=2, padding="same", activation="relu")(x)
    x = k.Conv2DTranspose(1, 3, strides=2, padding="same", activation="sigmoid")(x)
    return train(keras, keras.Model(image, x), {"image": samples}, samples, epochs=6)


@model("unet", framework=BOTH)
def unet(keras: Any) -> Built:
    """U-Net of two levels with BatchNormalization, segmenting the bright parts."""
    k = keras.layers
    samples, _ = data.images(32)
    masks = (samples.mean(-1, keepdims=True) > 0.5).astype(np.float32)
    image = keras.Input((32, 32, 3), name="image")

    def block(x: Any, filters: int) -> Any:
        x = k.Conv2D(filters, 3, padding="same", use_bias=False)(x)
        return k.ReLU()(k.BatchNormalization()(x))

    first = block(image, 8)
    second = block(k.MaxPooling2D()(first), 16)
    x = block(k.MaxPooling2D()(second), 32)
    x = block(k.Concatenate()([k.UpSampling2D()(x), second]), 16)
    x = block(k.Concatenate()([k.Conv2DTranspose(8, 2, strides=2)(x), first]), 8)
    mask = k.Conv2D(1, 1, activation="sigmoid", name="mask")(x)
    network = keras.Model(image, mask)
    return train(keras, network, {"image": samples}, masks, loss="binary_crossentropy")


def _enlarging(keras: Any, enlarge: Any) -> Built:
    k = keras.layers
    samples, _ = data.images(32)
    small = np.ascontiguousarray(samples[:, ::2, ::2])
    image = keras.Input((16, 16, 3), name="image")
    x = k.Conv2D(12, 3, padding="same", activation="relu")(image)
    x = k.Conv2D(3, 3, padding="same", name="enlarged")(enlarge(x))
    return train(keras, keras.Model(image, x), {"image": small}, samples)


@model("upsampling_bilinear", framework=BOTH)
def upsampling_bilinear(keras: Any) -> Built:
    """UpSampling2D, bilinear."""
    return _enlarging(keras, keras.layers.UpSampling2D(2, interpolation="bilinear"))


@model("upsampling_nearest", framework=BOTH)
def upsampling_nearest(keras: Any) -> Built:
    """UpSampling2D, nearest."""
    return _enlarging(keras, keras.layers.UpSampling2D(2, interpolation="nearest"))


@model("resizing_inside")
def resizing_inside(keras: Any) -> Built:
    """Resizing in the middle of a network, bilinear to an odd size and nearest back."""
    k = keras.layers

    def enlarge(x: Any) -> Any:
        x = k.Resizing(23, 29, interpolation="bilinear")(x)
        return k.Resizing(32, 32, interpolation="nearest")(x)

    return _enlarging(keras, enlarge)


@model("pixel_shuffle")
def pixel_shuffle(keras: Any) -> Built:
    """Super-resolution by depth-to-space, written with Reshape and Permute."""
    k = keras.layers

    def enlarge(x: Any) -> Any:
        x = k.Conv2D(24, 3, padding="same")(x)
        x = k.Permute((1, 3, 2, 4, 5))(k.Reshape((16, 16, 2, 2, 6))(x))
        return k.Reshape((32, 32, 6))(x)

    return _enlarging(keras, enlarge)


@model("autoencoder_dense", framework=BOTH)
def autoencoder_dense(keras: Any) -> Built:
    """Dense autoencoder for anomaly detection on a table, Sequential."""
    k = keras.layers
    samples, _ = data.table(20)
    network = keras.Sequential(
        [
            keras.Input((20,), name="row"),
            k.Dense(12, activation="relu"),
            k.Dense(4, activation="relu"),
            k.Dense(12, activation="relu"),
            k.Dense(20, name="row_again"),
        ]
    )
    return train(keras, network, {"row": samples}, samples, epochs=8, learning_rate=1e-2)
