"""How models are put together: outputs, nesting, subclassing, custom layers, dtypes."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
from scripts.corpus import data
from scripts.corpus.fitting import call, classifier, fit_head, regressor, settle
from scripts.corpus.registry import BOTH, Built, first, model


def _custom(keras: Any) -> Any:
    suffix = "_keras2" if keras.__name__ == "tf_keras" else ""
    return importlib.import_module(f"scripts.corpus.custom_layers{suffix}")


def _backbone(keras: Any, x: Any) -> Any:
    k = keras.layers
    x = k.Conv2D(16, 3, strides=2, padding="same", use_bias=False)(x)
    x = k.ReLU()(k.BatchNormalization()(x))
    x = k.Conv2D(24, 3, strides=2, padding="same", activation="relu")(x)
    return k.GlobalAveragePooling2D()(x)


@model("regression_mlp", framework=BOTH)
def regression_mlp(keras: Any) -> Built:
    """Regression MLP on a table, Sequential, one real output."""
    k = keras.layers
    samples, target = data.table(12)
    network = keras.Sequential(
        [
            keras.Input((12,), name="row"),
            k.Dense(64, activation="relu"),
            k.Dense(64, activation="relu"),
            k.Dense(1, name="value"),
        ]
    )
    return regressor(keras, network, {"row": samples}, target)


@model("scalar_output")
def scalar_output(keras: Any) -> Built:
    """An output without a channel axis, shape (batch,)."""
    k = keras.layers
    samples, target = data.table(12)
    row = keras.Input((12,), name="row")
    x = k.Dense(1, name="value")(k.Dense(32, activation="tanh")(row))
    inner = keras.Model(row, x)
    regressor(keras, inner, {"row": samples}, target)
    network = keras.Model(row, k.Reshape((), name="scalar")(x))
    return Built(model=network, samples=first({"row": samples}))


@model("multi_output", framework=BOTH)
def multi_output(keras: Any) -> Built:
    """Three outputs as a list: classes, a real number, a feature map of another shape."""
    k = keras.layers
    samples, labels = data.images(32)
    image = keras.Input((32, 32, 3), name="image")
    features = _backbone(keras, image)
    classes = k.Dense(10, activation="softmax", name="classes")
    outputs = [
        classes(features),
        k.Dense(1, name="angle")(features),
        k.Reshape((2, 12), name="map")(k.Dense(24, activation="tanh")(features)),
    ]
    network = keras.Model(image, outputs)
    return classifier(keras, network, {"image": samples}, labels, head=classes)


@model("dict_outputs")
def dict_outputs(keras: Any) -> Built:
    """Outputs as a dict whose keys are not in alphabetical order; dict inputs."""
    k = keras.layers
    samples, labels = data.images(32)
    image = keras.Input((32, 32, 3), name="image")
    features = _backbone(keras, image)
    head = k.Dense(10, name="scores_head")
    outputs = {"scores": head(features), "box": k.Dense(4, name="box_head")(features)}
    network = keras.Model({"image": image}, outputs)
    settle(network, {"image": samples})
    _fit_inside(keras, image, head, {"image": samples}, labels)
    return Built(model=network, samples=first({"image": samples}))


def _fit_inside(keras: Any, inputs: Any, head: Any, samples: Any, labels: Any) -> None:
    fit_head(keras, keras.Model(inputs, head.output), samples, labels, head=head)


@model("nested", framework=BOTH)
def nested(keras: Any) -> Built:
    """A model in a model in a model, and a shared one called twice."""
    k = keras.layers
    samples, labels = data.images(32)
    leaf_input = keras.Input((32, 32, 3), name="leaf_image")
    leaf = keras.Model(leaf_input, _backbone(keras, leaf_input), name="leaf")
    middle = keras.Sequential([leaf, k.Dense(20, activation="relu")], name="middle")
    image = keras.Input((32, 32, 3), name="image")
    twice = k.Concatenate()([middle(image), middle(1.0 - image)])
    network = keras.Model(image, k.Dense(10, activation="softmax", name="scores")(twice))
    return classifier(keras, network, {"image": samples}, labels)


@model("subclassed", framework="keras3", custom_objects="custom_layers.py")
def subclassed(keras: Any) -> Built:
    """Subclassed model with a Python loop and BatchNormalization."""
    samples, _ = data.images(32)
    network = _custom(keras).Classifier()
    call(network, {"x": samples[:2]}, False)
    settle(network, {"x": samples})
    return Built(model=network, samples=first({"x": samples}))


@model("subclassed", framework="keras2", custom_objects="custom_layers.py", suffixes=("", ".keras"))
def subclassed_keras2(keras: Any) -> Built:
    """Subclassed model with a Python loop and BatchNormalization, saved as a SavedModel."""
    return subclassed(keras)


@model("subclassed_dict", custom_objects="custom_layers.py")
def subclassed_dict(keras: Any) -> Built:
    """Subclassed model that takes a dict and gives a dict."""
    user, _ = data.table(10)
    item, _ = data.table(10, seed=1)
    network = _custom(keras).TwoTower()
    samples = first({"user": user, "item": item})
    network(samples)
    return Built(model=network, samples=samples)


@model("sequential_without_input", framework=BOTH)
def sequential_without_input(keras: Any) -> Built:
    """Sequential without an Input, built by its first call; logits."""
    k = keras.layers
    samples, labels = data.images(28, channels=1)
    network = keras.Sequential(
        [
            k.Conv2D(8, 3, activation="relu"),
            k.MaxPooling2D(),
            k.Conv2D(16, 3, activation="relu"),
            k.Flatten(),
            k.Dropout(0.3),
            k.Dense(10),
        ]
    )
    network.build((None, 28, 28, 1))
    return classifier(keras, network, {"x": samples}, labels)


@model("custom_layer", framework=BOTH, custom_objects="custom_layers.py")
def custom_layer(keras: Any) -> Built:
    """A custom layer whose code is given by --custom-objects."""
    samples, target = data.table(12)
    row = keras.Input((12,), name="row")
    x = _custom(keras).ScaledDense(32)(row)
    network = keras.Model(row, keras.layers.Dense(1, name="value")(x))
    return regressor(keras, network, {"row": samples}, target)


@model("registered_layer", framework=BOTH, custom_objects="custom_layers.py")
def registered_layer(keras: Any) -> Built:
    """A custom layer registered with register_keras_serializable under a package name."""
    samples, target = data.table(12)
    row = keras.Input((12,), name="row")
    x = _custom(keras).Residual(24)(keras.layers.Dense(24, activation="relu")(row))
    network = keras.Model(row, keras.layers.Dense(1, name="value")(x))
    return regressor(keras, network, {"row": samples}, target)


@model("mixed_float16", tolerance=2e-2)
def mixed_float16(keras: Any) -> Built:
    """Mixed precision: float16 computation, float32 variables and output."""
    k = keras.layers
    samples, labels = data.images(32)
    previous = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_float16")
    try:
        image = keras.Input((32, 32, 3), dtype="float32", name="image")
        scores = k.Dense(10, activation="softmax", dtype="float32", name="scores")
        network = keras.Model(image, scores(_backbone(keras, image)))
    finally:
        keras.config.set_dtype_policy(previous)
    return classifier(keras, network, {"image": samples}, labels)


@model("float16_model", tolerance=2e-2)
def float16_model(keras: Any) -> Built:
    """Everything in float16, input and output too."""
    k = keras.layers
    samples, target = data.table(12)
    row = keras.Input((12,), dtype="float16", name="row")
    x = k.Dense(32, activation="relu", dtype="float16")(row)
    network = keras.Model(row, k.Dense(1, dtype="float16", name="value")(x))
    return regressor(keras, network, {"row": samples.astype(np.float16)}, target)


@model("constant_output", constant=True)
def constant_output(keras: Any) -> Built:
    """Degenerate: dead ReLUs, so that the output does not depend on the input."""
    k = keras.layers
    samples, _ = data.table(12)
    row = keras.Input((12,), name="row")
    dead = k.Dense(16, activation="relu", bias_initializer=keras.initializers.Constant(-1e3))
    bias = keras.initializers.Constant(0.25)
    network = keras.Model(row, k.Dense(3, name="value", bias_initializer=bias)(dead(row)))
    return Built(model=network, samples=first({"row": samples}))


@model("wide_and_deep", framework=BOTH)
def wide_and_deep(keras: Any) -> Built:
    """Wide and deep: Average, Maximum, Minimum and skip connections between Dense layers."""
    k = keras.layers
    samples, target = data.table(12)
    row = keras.Input((12,), name="row")
    left = k.Dense(24, activation="relu")(row)
    right = k.Dense(24, activation="tanh")(row)
    joined = [k.Average()([left, right]), k.Maximum()([left, right]), k.Minimum()([left, right])]
    x = k.Concatenate()([*joined, row])
    network = keras.Model(row, k.Dense(1, name="value")(x))
    return regressor(keras, network, {"row": samples}, target)
