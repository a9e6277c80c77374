"""Activations and normalisations that quantizers trip over."""

from __future__ import annotations

from typing import Any

import numpy as np
from scripts.corpus import data
from scripts.corpus.fitting import classifier
from scripts.corpus.registry import BOTH, Built, model


def _image_model(keras: Any, body: Any) -> Built:
    k = keras.layers
    samples, labels = data.images(24)
    image = keras.Input((24, 24, 3), name="image")
    x = k.GlobalAveragePooling2D()(body(image))
    network = keras.Model(image, k.Dense(10, activation="softmax", name="scores")(x))
    return classifier(keras, network, {"image": samples}, labels)


def _side_by_side(keras: Any, x: Any, names: tuple[str, ...]) -> Any:
    """A branch for each activation: one after the other they would squash all that varies."""
    k = keras.layers
    x = k.Conv2D(16, 3, strides=2, padding="same", activation="relu")(x)
    branches = [k.Conv2D(8, 3, padding="same", activation=name)(x) for name in names]
    return k.BatchNormalization()(k.Concatenate()(branches))


@model("activations_leaky", framework=BOTH)
def activations_leaky(keras: Any) -> Built:
    """PReLU, LeakyReLU, ELU, SELU and ReLU6 on images."""
    k = keras.layers

    def body(x: Any) -> Any:
        slopes = keras.initializers.Constant(0.2)
        for activation in (
            k.PReLU(shared_axes=[1, 2], alpha_initializer=slopes),
            k.LeakyReLU(),
            k.ELU(),
            k.Activation("selu"),
            k.ReLU(6.0),
        ):
            x = activation(k.Conv2D(16, 3, padding="same")(x))
        return x

    return _image_model(keras, body)


@model("activations_smooth")
def activations_smooth(keras: Any) -> Built:
    """swish, mish, hard_swish, hard_sigmoid, softplus and softsign on images."""
    names = ("swish", "mish", "hard_swish", "hard_sigmoid", "softplus", "softsign")
    return _image_model(keras, lambda x: _side_by_side(keras, x, names))


@model("activations_smooth", framework="keras2")
def activations_smooth_keras2(keras: Any) -> Built:
    """swish, mish, hard_sigmoid, softplus, softsign, GELU and exponential on images."""
    names = ("swish", "mish", "hard_sigmoid", "softplus", "softsign", "gelu", "exponential")
    return _image_model(keras, lambda x: _side_by_side(keras, x, names))


@model("batch_norm_behind_relu", framework=BOTH)
def batch_norm_behind_relu(keras: Any) -> Built:
    """BatchNormalization behind a ReLU, with near-dead channels; it cannot be folded."""
    k = keras.layers
    samples, labels = data.images(24)
    image = keras.Input((24, 24, 3), name="image")
    x = k.Conv2D(24, 3, padding="same", activation="relu", name="first")(image)
    x = k.BatchNormalization()(x)
    x = k.Conv2D(24, 3, strides=2, activation="relu")(x)
    x = k.GlobalAveragePooling2D()(k.BatchNormalization()(x))
    network = keras.Model(image, k.Dense(10, activation="softmax", name="scores")(x))
    kernel, bias = network.get_layer("first").get_weights()
    kernel[..., :3] *= 1e-3  # a few channels hardly move: tiny variance, huge scale
    network.get_layer("first").set_weights([kernel, bias])
    return classifier(keras, network, {"image": samples}, labels)


@model("layer_normalization", framework=BOTH)
def layer_normalization(keras: Any) -> Built:
    """LayerNormalization on images, over channels."""
    k = keras.layers

    def body(x: Any) -> Any:
        x = k.LayerNormalization()(k.Conv2D(16, 3, strides=2, padding="same")(x))
        return k.Conv2D(24, 3, activation="relu")(x)

    return _image_model(keras, body)


@model("group_normalization", framework=BOTH)
def group_normalization(keras: Any) -> Built:
    """GroupNormalization with four groups."""
    k = keras.layers

    def body(x: Any) -> Any:
        x = k.Conv2D(16, 3, strides=2, padding="same")(x)
        x = k.ReLU()(k.GroupNormalization(groups=4)(x))
        return k.Conv2D(24, 3, activation="relu")(x)

    return _image_model(keras, body)


@model("unit_normalization", framework=BOTH)
def unit_normalization(keras: Any) -> Built:
    """UnitNormalization: an embedding of length one is the output."""
    k = keras.layers
    samples, labels = data.images(24)
    image = keras.Input((24, 24, 3), name="image")
    x = k.Conv2D(16, 3, strides=2, activation="relu")(image)
    x = k.GlobalAveragePooling2D()(k.BatchNormalization()(x))
    x = k.Dense(12, name="projection")(x)
    inner = keras.Model(image, x)
    classifier(keras, inner, {"image": samples}, labels)
    network = keras.Model(image, k.UnitNormalization(name="embedding")(x))
    return Built(model=network, samples={"image": samples[:48]})


@model("rms_normalization")
def rms_normalization(keras: Any) -> Built:
    """RMSNormalization and gated units (GLU), as in recent language models."""
    k = keras.layers
    samples, labels = data.series(24, 6)
    signal = keras.Input((24, 6), name="signal")
    x = k.Dense(32)(signal)
    y = k.RMSNormalization()(x)
    y = k.Multiply()([k.Dense(48, activation="silu")(y), k.Dense(48)(y)])
    x = k.Add()([x, k.Dense(32)(y)])
    x = k.GlobalAveragePooling1D()(k.RMSNormalization()(x))
    network = keras.Model(signal, k.Dense(4, activation="softmax", name="scores")(x))
    return classifier(keras, network, {"signal": samples}, labels)


@model("softmax_over_axis")
def softmax_over_axis(keras: Any) -> Built:
    """Softmax over a middle axis as the output: attention weights of a series."""
    k = keras.layers
    samples, _ = data.series(16, 4)
    signal = keras.Input((16, 4), name="signal")
    x = k.Conv1D(6, 3, padding="same", activation="tanh")(signal)
    network = keras.Model(signal, k.Softmax(axis=1, name="weights")(k.Dense(3)(x)))
    return Built(model=network, samples={"signal": np.ascontiguousarray(samples[:48])})


@model("global_max_pooling")
def global_max_pooling(keras: Any) -> Built:
    """Global max pooling of a convolved image, sigmoid multi-label output."""
    k = keras.layers
    samples, labels = data.images(24)
    image = keras.Input((24, 24, 3), name="image")
    x = k.Conv2D(24, 3, activation="relu")(k.Conv2D(16, 3, activation="relu")(image))
    x = k.GlobalMaxPooling2D()(x)
    network = keras.Model(image, k.Dense(10, activation="sigmoid", name="labels")(x))
    return classifier(keras, network, {"image": samples}, labels)
