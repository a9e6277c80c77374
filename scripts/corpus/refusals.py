"""Models that must be refused: arbitrary code inside, or text that no device file can take."""

from __future__ import annotations

from typing import Any

import numpy as np
from scripts.corpus import data
from scripts.corpus.fitting import regressor
from scripts.corpus.registry import BOTH, SAMPLES, Built, model


def _with_lambda(keras: Any) -> Built:
    samples, target = data.table(6)
    row = keras.Input((6,), name="row")
    x = keras.layers.Lambda(lambda each: each * each + 1.0)(row)
    x = keras.layers.Dense(16, activation="relu")(x)
    network = keras.Model(row, keras.layers.Dense(1, name="value")(x))
    return regressor(keras, network, {"row": samples}, target)


@model("lambda_layer", framework=BOTH, must_refuse=True)
def lambda_layer(keras: Any) -> Built:
    """A Lambda layer, without --trust-model."""
    return _with_lambda(keras)


@model("lambda_layer_trusted", framework=BOTH, arguments=("--trust-model",))
def lambda_layer_trusted(keras: Any) -> Built:
    """A Lambda layer, with --trust-model."""
    return _with_lambda(keras)


@model("text_vectorization", must_refuse=True)
def text_vectorization(keras: Any) -> Built:
    """TextVectorization inside: string input."""
    k = keras.layers
    words = ["red", "green", "blue", "sun", "moon", "rain", "snow", "wind"]
    random = np.random.default_rng(0)
    lines = np.array([[" ".join(random.choice(words, 5))] for _ in range(SAMPLES)])
    text = keras.Input((1,), dtype="string", name="text")
    ids = k.TextVectorization(vocabulary=words, output_sequence_length=6)(text)
    x = k.GlobalAveragePooling1D()(k.Embedding(10, 8)(ids))
    network = keras.Model(text, k.Dense(3, activation="softmax", name="scores")(x))
    return Built(model=network, samples={"text": lines})


@model("custom_layer_without_code", framework=BOTH, must_refuse=True)
def custom_layer_without_code(keras: Any) -> Built:
    """A custom layer, without --custom-objects."""
    from scripts.corpus.structures import custom_layer

    return custom_layer(keras)
