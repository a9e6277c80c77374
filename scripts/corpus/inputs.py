"""What models take: pixels to prepare, categories, token ids, several things at once."""

from __future__ import annotations

from typing import Any

import numpy as np
from scripts.corpus import data
from scripts.corpus.fitting import classifier, regressor
from scripts.corpus.registry import BOTH, Built, model


def _small_cnn(keras: Any, x: Any) -> Any:
    k = keras.layers
    for filters in (12, 24):
        x = k.Conv2D(filters, 3, strides=2, padding="same", use_bias=False)(x)
        x = k.ReLU()(k.BatchNormalization()(x))
    return k.GlobalAveragePooling2D()(x)


def _scores(keras: Any, x: Any, classes: int = 10) -> Any:
    return keras.layers.Dense(classes, activation="softmax", name="scores")(x)


@model("rescaling", framework=BOTH)
def rescaling(keras: Any) -> Built:
    """Rescaling inside, pixels 0..255."""
    samples, labels = data.images(32, high=255)
    image = keras.Input((32, 32, 3), name="image")
    x = keras.layers.Rescaling(1 / 127.5, offset=-1)(image)
    network = keras.Model(image, _scores(keras, _small_cnn(keras, x)))
    return classifier(keras, network, {"image": samples}, labels)


@model("uint8_image")
def uint8_image(keras: Any) -> Built:
    """Image input declared uint8, Rescaling inside."""
    samples, labels = data.images(32, high=255)
    image = keras.Input((32, 32, 3), dtype="uint8", name="image")
    x = keras.layers.Rescaling(1 / 255)(image)
    network = keras.Model(image, _scores(keras, _small_cnn(keras, x)))
    return classifier(keras, network, {"image": samples.astype(np.uint8)}, labels)


@model("normalization_adapted", framework=BOTH)
def normalization_adapted(keras: Any) -> Built:
    """Normalization adapted to a table with columns of very different size."""
    k = keras.layers
    samples, target = data.table(8)
    samples = samples * np.float32(10.0) ** np.arange(-2, 6, dtype=np.float32) + 5
    normalization = k.Normalization()
    normalization.adapt(samples)
    row = keras.Input((8,), name="row")
    x = k.Dense(32, activation="relu")(normalization(row))
    network = keras.Model(row, k.Dense(1, name="value")(k.Dense(32, activation="relu")(x)))
    return regressor(keras, network, {"row": samples}, target)


@model("resize_and_crop", framework=BOTH)
def resize_and_crop(keras: Any) -> Built:
    """Resizing and CenterCrop in front of a small CNN."""
    k = keras.layers
    samples, labels = data.images(48)
    image = keras.Input((48, 48, 3), name="image")
    x = k.CenterCrop(28, 28)(k.Resizing(32, 32)(image))
    network = keras.Model(image, _scores(keras, _small_cnn(keras, x)))
    return classifier(keras, network, {"image": samples}, labels)


@model("augmentation_inside", framework=BOTH)
def augmentation_inside(keras: Any) -> Built:
    """RandomFlip, RandomRotation, RandomContrast, GaussianNoise inside; idle at inference."""
    k = keras.layers
    samples, labels = data.images(32)
    image = keras.Input((32, 32, 3), name="image")
    augment = keras.Sequential(
        [k.RandomFlip("horizontal"), k.RandomRotation(0.1), k.RandomContrast(0.2)], name="augment"
    )
    x = k.GaussianNoise(0.05)(augment(image))
    network = keras.Model(image, _scores(keras, _small_cnn(keras, x)))
    return classifier(keras, network, {"image": samples}, labels)


@model("category_encoding")
def category_encoding(keras: Any) -> Built:
    """Discretization and CategoryEncoding of a real column."""
    k = keras.layers
    samples, target = data.table(3)
    row = keras.Input((3,), name="row")
    buckets = k.Discretization(bin_boundaries=[-1.5, -0.5, 0.0, 0.5, 1.5])(row)
    x = k.CategoryEncoding(6, output_mode="multi_hot")(buckets)
    x = k.Dense(16, activation="relu")(k.Concatenate()([x, row]))
    network = keras.Model(row, k.Dense(1, name="value")(x))
    return regressor(keras, network, {"row": samples}, target)


@model("integer_lookup", framework=BOTH)
def integer_lookup(keras: Any) -> Built:
    """IntegerLookup (a hash table) in front of an Embedding."""
    k = keras.layers
    ids, labels = data.tokens(6, 30)
    code = keras.Input((6,), dtype="int64", name="code")
    found = k.IntegerLookup(vocabulary=list(range(1, 30)))(code)
    x = k.Flatten()(k.Embedding(31, 8)(found))
    network = keras.Model(code, _scores(keras, k.Dense(16, activation="relu")(x), 4))
    return classifier(keras, network, {"code": ids.astype(np.int64)}, labels)


@model("text_embedding", framework=BOTH)
def text_embedding(keras: Any) -> Built:
    """Embedding of int32 token ids, averaged."""
    k = keras.layers
    ids, labels = data.tokens(24, 300)
    text = keras.Input((24,), dtype="int32", name="text")
    x = k.GlobalAveragePooling1D()(k.Embedding(300, 24)(text))
    network = keras.Model(text, _scores(keras, k.Dense(24, activation="relu")(x), 4))
    return classifier(keras, network, {"text": ids}, labels)


@model("text_cnn")
def text_cnn(keras: Any) -> Built:
    """Convolutions over embedded token ids (float ids cast inside, as older code does)."""
    k = keras.layers
    ids, labels = data.tokens(24, 300)
    text = keras.Input((24,), name="text")
    x = k.Conv1D(24, 3, activation="relu")(k.Embedding(300, 24)(text))
    network = keras.Model(text, _scores(keras, k.GlobalMaxPooling1D()(x), 4))
    return classifier(keras, network, {"text": ids.astype(np.float32)}, labels)


@model("image_and_category", framework=BOTH)
def image_and_category(keras: Any) -> Built:
    """A float image and an int32 category, two inputs of different dtype."""
    k = keras.layers
    samples, labels = data.images(32)
    kinds = np.random.default_rng(5).integers(0, 7, (len(samples), 1)).astype(np.int32)
    image = keras.Input((32, 32, 3), name="image")
    kind = keras.Input((1,), dtype="int32", name="kind")
    embedded = k.Flatten()(k.Embedding(7, 6)(kind))
    x = k.Concatenate()([_small_cnn(keras, image), embedded])
    network = keras.Model([image, kind], _scores(keras, k.Dense(24, activation="relu")(x)))
    return classifier(keras, network, {"image": samples, "kind": kinds}, labels)


@model("image_and_table", framework=BOTH)
def image_and_table(keras: Any) -> Built:
    """Three inputs of different rank, declared in an order that is not the alphabet's."""
    k = keras.layers
    samples, labels = data.images(32)
    rows, _ = data.table(5)
    signals, _ = data.series(20, 3)
    row = keras.Input((5,), name="row")
    image = keras.Input((32, 32, 3), name="image")
    signal = keras.Input((20, 3), name="a_signal")
    x = k.Concatenate()(
        [
            k.Dense(8, activation="relu")(row),
            _small_cnn(keras, image),
            k.GlobalMaxPooling1D()(k.Conv1D(8, 3, activation="relu")(signal)),
        ]
    )
    network = keras.Model([row, image, signal], _scores(keras, k.Dense(24, activation="relu")(x)))
    return classifier(keras, network, {"row": rows, "image": samples, "a_signal": signals}, labels)


@model("siamese", framework=BOTH)
def siamese(keras: Any) -> Built:
    """Two images through one shared network, absolute difference, same or not."""
    k = keras.layers
    left, labels = data.images(32)
    right, other = data.images(32, seed=0)
    right, other = np.roll(right, 1, axis=0), np.roll(other, 1)
    shape = (32, 32, 3)
    image = keras.Input(shape, name="image")
    shared = keras.Model(image, k.Dense(16)(_small_cnn(keras, image)), name="shared")
    one, two = keras.Input(shape, name="left"), keras.Input(shape, name="right")
    difference = k.Subtract()([shared(one), shared(two)])
    x = k.Multiply()([difference, difference])
    network = keras.Model([one, two], k.Dense(1, activation="sigmoid", name="same")(x))
    same = (labels == other).astype(np.int32)
    return classifier(keras, network, {"left": left, "right": right}, same)


@model("cosine_similarity", framework=BOTH)
def cosine_similarity(keras: Any) -> Built:
    """Dot(normalize=True) of two embedded rows: a recommender; the output is a cosine."""
    k = keras.layers
    user, _ = data.table(10)
    item, _ = data.table(10, seed=1)
    left, right = keras.Input((10,), name="user"), keras.Input((10,), name="item")
    tower = [k.Dense(16, activation="tanh")(side) for side in (left, right)]
    network = keras.Model([left, right], k.Dot(axes=-1, normalize=True, name="cosine")(tower))
    return Built(model=network, samples={"user": user[:48], "item": item[:48]})
