"""Convolutional networks of keras.applications, small, with a head fitted to ten classes."""

from __future__ import annotations

from typing import Any

from scripts.corpus import data
from scripts.corpus.fitting import calm, classifier
from scripts.corpus.registry import BOTH, Built, model


def _application(
    keras: Any, name: str, side: int, low: float, high: float, **options: Any
) -> Built:
    samples, labels = data.images(side, low=low, high=high)
    image = keras.Input((side, side, 3), name="image")
    base = getattr(keras.applications, name)(
        input_shape=(side, side, 3), include_top=False, weights=None, pooling="avg", **options
    )
    calm(base)
    scores = keras.layers.Dense(10, activation="softmax", name="scores")(base(image))
    return classifier(keras, keras.Model(image, scores, name=name), {"image": samples}, labels)


def _flat_application(
    keras: Any, name: str, side: int, low: float, high: float, **options: Any
) -> Built:
    samples, labels = data.images(side, low=low, high=high)
    image = keras.Input((side, side, 3), name="image")
    base = getattr(keras.applications, name)(
        input_tensor=image, include_top=False, weights=None, pooling="avg", **options
    )
    calm(base)
    scores = keras.layers.Dense(10, activation="softmax", name="scores")(base.output)
    return classifier(keras, keras.Model(image, scores, name=name), {"image": samples}, labels)


@model("mobilenet", framework=BOTH)
def mobilenet(keras: Any) -> Built:
    """MobileNet, alpha 0.25, 96 px."""
    return _flat_application(keras, "MobileNet", 96, -1, 1, alpha=0.25, dropout=1e-3)


@model("mobilenet_v2", framework="keras3", suffixes=(".keras", ".h5", ""))
def mobilenet_v2(keras: Any) -> Built:
    """MobileNetV2, alpha 0.35, 96 px."""
    return _flat_application(keras, "MobileNetV2", 96, -1, 1, alpha=0.35)


@model("mobilenet_v2", framework="keras2", suffixes=(".h5", ".keras", ""))
def mobilenet_v2_keras2(keras: Any) -> Built:
    """MobileNetV2, alpha 0.35, 96 px, nested under a fresh head."""
    return _application(keras, "MobileNetV2", 96, -1, 1, alpha=0.35)


@model("mobilenet_v3_small", framework=BOTH)
def mobilenet_v3_small(keras: Any) -> Built:
    """MobileNetV3Small, alpha 0.75, 96 px, preprocessing inside."""
    return _flat_application(
        keras, "MobileNetV3Small", 96, 0, 255, alpha=0.75, include_preprocessing=True
    )


@model("efficientnet_b0", framework=BOTH)
def efficientnet_b0(keras: Any) -> Built:
    """EfficientNetB0, 64 px, Rescaling and Normalization inside."""
    return _flat_application(keras, "EfficientNetB0", 64, 0, 255)


@model("efficientnet_v2_b0")
def efficientnet_v2_b0(keras: Any) -> Built:
    """EfficientNetV2B0, 64 px, nested under a fresh head."""
    return _application(keras, "EfficientNetV2B0", 64, 0, 255)


@model("densenet121", slow=True)
def densenet121(keras: Any) -> Built:
    """DenseNet121, 64 px."""
    return _flat_application(keras, "DenseNet121", 64, -1, 1)


@model("nasnet_mobile", slow=True)
def nasnet_mobile(keras: Any) -> Built:
    """NASNetMobile, 64 px."""
    return _flat_application(keras, "NASNetMobile", 64, -1, 1)


@model("xception", slow=True)
def xception(keras: Any) -> Built:
    """Xception, 71 px."""
    return _flat_application(keras, "Xception", 71, -1, 1)


@model("resnet50", slow=True)
def resnet50(keras: Any) -> Built:
    """ResNet50, 64 px."""
    return _flat_application(keras, "ResNet50", 64, -1, 1)


@model("resnet_small", framework=BOTH)
def resnet_small(keras: Any) -> Built:
    """Residual network of three stages, 32 px."""
    k = keras.layers
    samples, labels = data.images(32, low=-1)
    image = keras.Input((32, 32, 3), name="image")
    x = k.Conv2D(16, 3, padding="same", use_bias=False)(image)
    for filters, strides in ((16, 1), (32, 2), (64, 2)):
        y = k.ReLU()(k.BatchNormalization()(x))
        shortcut = k.Conv2D(filters, 1, strides=strides, use_bias=False)(y)
        y = k.Conv2D(filters, 3, strides=strides, padding="same", use_bias=False)(y)
        y = k.ReLU()(k.BatchNormalization()(y))
        y = k.Conv2D(filters, 3, padding="same", use_bias=False)(y)
        x = k.Add()([shortcut, y])
    x = k.GlobalAveragePooling2D()(k.ReLU()(k.BatchNormalization()(x)))
    scores = k.Dense(10, activation="softmax", name="scores")(x)
    return classifier(keras, keras.Model(image, scores), {"image": samples}, labels)
