"""One-, two- and three-dimensional convolutions of every kind."""

from __future__ import annotations

from typing import Any

from scripts.corpus import data
from scripts.corpus.fitting import classifier
from scripts.corpus.registry import BOTH, Built, model


def _pooled(keras: Any, inputs: Any, features: Any, classes: int = 4) -> Any:
    k = keras.layers
    dimensions = len(features.shape) - 2
    pooled = getattr(k, f"GlobalAveragePooling{dimensions}D")()(features)
    return keras.Model(inputs, k.Dense(classes, activation="softmax", name="scores")(pooled))


def _image_model(keras: Any, body: Any, *, side: int = 32) -> Built:
    samples, labels = data.images(side)
    image = keras.Input((side, side, 3), name="image")
    return classifier(keras, _pooled(keras, image, body(image), 10), {"image": samples}, labels)


@model("conv1d", framework=BOTH)
def conv1d(keras: Any) -> Built:
    """Two Conv1D blocks with BatchNormalization and max pooling on a sensor series."""
    k = keras.layers
    samples, labels = data.series(64, 3)
    signal = keras.Input((64, 3), name="signal")
    x = signal
    for filters in (16, 32):
        x = k.Conv1D(filters, 5, padding="same", use_bias=False)(x)
        x = k.MaxPooling1D()(k.ReLU()(k.BatchNormalization()(x)))
    return classifier(keras, _pooled(keras, signal, x), {"signal": samples}, labels)


@model("temporal_convolution", framework=BOTH)
def temporal_convolution(keras: Any) -> Built:
    """Temporal convolutional network: causal, dilated, residual."""
    k = keras.layers
    samples, labels = data.series(48, 4)
    signal = keras.Input((48, 4), name="signal")
    x = k.Conv1D(16, 1)(signal)
    for dilation in (1, 2, 4, 8):
        y = k.Conv1D(16, 3, padding="causal", dilation_rate=dilation, activation="relu")(x)
        x = k.Add()([x, k.SpatialDropout1D(0.1)(y)])
    return classifier(keras, _pooled(keras, signal, x), {"signal": samples}, labels)


@model("unused_classes", framework=BOTH)
def unused_classes(keras: Any) -> Built:
    """A head with six classes that never occurred: columns of weights that are all but zero."""
    k = keras.layers
    samples, labels = data.series(64, 3)
    signal = keras.Input((64, 3), name="signal")
    x = k.Conv1D(16, 5, padding="same", activation="relu")(signal)
    x = k.Conv1D(16, 5, strides=2, padding="same", activation="relu")(x)
    network = _pooled(keras, signal, x, 10)
    return classifier(keras, network, {"signal": samples}, labels)


@model("conv1d_transpose")
def conv1d_transpose(keras: Any) -> Built:
    """Conv1D down and Conv1DTranspose up again."""
    k = keras.layers
    samples, labels = data.series(32, 2)
    signal = keras.Input((32, 2), name="signal")
    x = k.Conv1D(12, 4, strides=2, padding="same", activation="relu")(signal)
    x = k.Conv1DTranspose(8, 4, strides=2, padding="same", activation="relu")(x)
    return classifier(keras, _pooled(keras, signal, x), {"signal": samples}, labels)


@model("separable_conv", framework=BOTH)
def separable_conv(keras: Any) -> Built:
    """SeparableConv2D and SeparableConv1D behind a reshape."""
    k = keras.layers

    def body(x: Any) -> Any:
        x = k.SeparableConv2D(16, 3, padding="same", activation="relu")(x)
        x = k.MaxPooling2D(4)(k.BatchNormalization()(x))
        x = k.Reshape((64, 16))(x)
        return k.SeparableConv1D(24, 5, padding="same", activation="relu")(x)

    return _image_model(keras, body)


@model("depthwise_multiplier")
def depthwise_multiplier(keras: Any) -> Built:
    """DepthwiseConv2D with a depth multiplier, strides and dilation."""
    k = keras.layers

    def body(x: Any) -> Any:
        x = k.DepthwiseConv2D(3, depth_multiplier=4, strides=2, padding="same")(x)
        x = k.ReLU(6.0)(k.BatchNormalization()(x))
        x = k.DepthwiseConv2D(3, dilation_rate=2, padding="same", activation="relu")(x)
        return k.Conv2D(24, 1, activation="relu")(x)

    return _image_model(keras, body)


@model("transposed_conv", framework=BOTH)
def transposed_conv(keras: Any) -> Built:
    """Conv2DTranspose in 'same' and in 'valid' padding."""
    k = keras.layers

    def body(x: Any) -> Any:
        x = k.Conv2D(12, 3, strides=2, padding="same", activation="relu")(x)
        x = k.Conv2DTranspose(12, 3, strides=2, padding="same", activation="relu")(x)
        return k.Conv2DTranspose(16, 4, strides=2, padding="valid", activation="relu")(x)

    return _image_model(keras, body, side=16)


@model("dilated_conv", framework=BOTH)
def dilated_conv(keras: Any) -> Built:
    """Dilated Conv2D branches side by side, as in an atrous pyramid."""
    k = keras.layers

    def body(x: Any) -> Any:
        x = k.Conv2D(16, 3, strides=2, padding="same", activation="relu")(x)
        branches = [
            k.Conv2D(8, 3, dilation_rate=rate, padding="same", activation="relu")(x)
            for rate in (1, 2, 4)
        ]
        return k.Conv2D(24, 1, activation="relu")(k.Concatenate()(branches))

    return _image_model(keras, body)


@model("conv3d", framework=BOTH)
def conv3d(keras: Any) -> Built:
    """Conv3D and three-dimensional pooling on a short clip."""
    k = keras.layers
    samples, labels = data.volumes(8, 16)
    clip = keras.Input((8, 16, 16, 1), name="clip")
    x = k.Conv3D(8, 3, padding="same", activation="relu")(clip)
    x = k.MaxPooling3D(2)(k.BatchNormalization()(x))
    x = k.Conv3D(16, 3, padding="same", activation="relu")(x)
    return classifier(keras, _pooled(keras, clip, x), {"clip": samples}, labels)


@model("grouped_conv", framework=BOTH)
def grouped_conv(keras: Any) -> Built:
    """Grouped convolution with a channel shuffle."""
    k = keras.layers

    def body(x: Any) -> Any:
        x = k.Conv2D(24, 3, strides=2, padding="same", activation="relu")(x)
        x = k.Conv2D(24, 3, groups=4, padding="same", use_bias=False)(x)
        x = k.ReLU()(k.BatchNormalization()(x))
        x = k.Permute((1, 2, 4, 3))(k.Reshape((16, 16, 4, 6))(x))
        x = k.Reshape((16, 16, 24))(x)
        return k.Conv2D(24, 3, groups=2, padding="same", activation="relu")(x)

    return _image_model(keras, body)


@model("locally_padded")
def locally_padded(keras: Any) -> Built:
    """ZeroPadding, Cropping, average pooling, explicit strides and rectangular kernels."""
    k = keras.layers

    def body(x: Any) -> Any:
        x = k.ZeroPadding2D(((1, 2), (2, 1)))(x)
        x = k.Conv2D(16, (5, 3), strides=(2, 1), activation="relu")(x)
        x = k.AveragePooling2D((2, 3), strides=2, padding="same")(x)
        x = k.Conv2D(16, (1, 7), padding="same", activation="relu")(x)
        return k.Cropping2D(((1, 0), (0, 1)))(x)

    return _image_model(keras, body)


@model("squeeze_excite", framework=BOTH)
def squeeze_excite(keras: Any) -> Built:
    """Squeeze-and-excite block behind a convolution."""
    k = keras.layers

    def body(x: Any) -> Any:
        x = k.Conv2D(24, 3, strides=2, padding="same", use_bias=False)(x)
        x = k.Activation("swish")(k.BatchNormalization()(x))
        weight = k.GlobalAveragePooling2D(keepdims=True)(x)
        weight = k.Conv2D(6, 1, activation="relu")(weight)
        weight = k.Conv2D(24, 1, activation="sigmoid")(weight)
        return k.Conv2D(32, 3, padding="same", activation="relu")(k.Multiply()([x, weight]))

    return _image_model(keras, body)


@model("inception", framework="keras3")
def inception(keras: Any) -> Built:
    """Parallel 1x1, 3x3, 5x5 and pooling branches, concatenated; global max pooling."""
    k = keras.layers
    samples, labels = data.images(32)
    image = keras.Input((32, 32, 3), name="image")
    x = k.Conv2D(16, 3, strides=2, activation="relu")(image)
    branches = [k.Conv2D(8, side, padding="same", activation="relu")(x) for side in (1, 3, 5)]
    branches.append(k.Conv2D(8, 1)(k.MaxPooling2D(3, strides=1, padding="same")(x)))
    x = k.GlobalMaxPooling2D()(k.Concatenate()(branches))
    network = keras.Model(image, k.Dense(10, activation="softmax", name="scores")(x))
    return classifier(keras, network, {"image": samples}, labels)
