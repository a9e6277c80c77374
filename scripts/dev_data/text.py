"""Text: 3,000 sentences of reviews, liked or not, from the fixtures of npm's `sentiment`.

The terms of the sentences are unknown: they are used here and not passed on.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dev_data.packages import npm_member
from dev_data.task import Data, Task, shuffled_split

WORDS = 32
VOCABULARY = 2_000
UNKNOWN = 1
"""Token of a word that is not in the vocabulary; 0 fills up short sentences."""


def sentences(cache: Path) -> Data:
    """Word numbers, int32 ``(n, 32)``: 2,400 for training and 600 for the test."""
    rows = [
        row
        for source in ("amazon", "imdb", "yelp")
        for row in json.loads(npm_member(cache, "sentiment@5.0.2", f"test/fixtures/{source}.json"))
        if row.get("text")  # each list ends with an empty row
    ]
    texts = np.array([row["text"].lower() for row in rows], dtype=object)
    data = shuffled_split(texts, np.array([row["class"] for row in rows]), 2_400)
    counts = Counter(word for text in data.x_train for word in _words(text))
    common = sorted(counts, key=lambda word: (-counts[word], word))[: VOCABULARY - 2]
    numbers = {word: number for number, word in enumerate(common, start=2)}
    return Data(
        x_train=_tokens(data.x_train, numbers),
        y_train=data.y_train,
        x_test=_tokens(data.x_test, numbers),
        y_test=data.y_test,
    )


def _words(text: str) -> list[str]:
    return re.findall(r"[a-z']+|[!?]", text)


def _tokens(texts: NDArray[Any], numbers: dict[str, int]) -> NDArray[np.int32]:
    tokens = np.zeros((len(texts), WORDS), np.int32)
    for row, text in zip(tokens, texts, strict=True):
        known = [numbers.get(word, UNKNOWN) for word in _words(text)[:WORDS]]
        row[: len(known)] = known
    return tokens


def bag_of_embeddings(_: Data) -> Any:
    """The mean of the words' embeddings, and a small MLP."""
    import keras
    from keras import layers

    return keras.Sequential(
        [
            keras.Input((WORDS,), dtype="int32", name="tokens"),
            layers.Embedding(VOCABULARY, 24),
            layers.GlobalAveragePooling1D(),
            layers.Dense(24, activation="relu"),
            layers.Dropout(0.3),
            layers.Dense(2, activation="softmax"),
        ]
    )


def transformer(_: Data) -> Any:
    """One attention block with exact GELU; a convolution tells it about neighbours."""
    import keras
    from keras import layers

    tokens = keras.Input((WORDS,), dtype="int32", name="tokens")
    x = layers.Embedding(VOCABULARY, 32)(tokens)
    x = layers.Conv1D(32, 3, padding="same", activation="relu")(x)
    attended = layers.MultiHeadAttention(num_heads=2, key_dim=16, dropout=0.2)(x, x)
    x = layers.LayerNormalization()(layers.Add()([x, attended]))
    wide = layers.Dense(64, activation="gelu")(x)
    x = layers.LayerNormalization()(layers.Add()([x, layers.Dense(32)(wide)]))
    x = layers.Dropout(0.3)(layers.GlobalAveragePooling1D()(x))
    return keras.Model(tokens, layers.Dense(2, activation="softmax")(x))


TASKS = (
    Task(
        name="sentiment",
        about="sentiment, int32 tokens, mean of embeddings",
        kind="classification",
        read=sentences,
        build=bag_of_embeddings,
        epochs=15,
    ),
    Task(
        name="sentiment-transformer",
        about="sentiment, int32 tokens, transformer block with exact GELU",
        kind="classification",
        read=sentences,
        build=transformer,
        epochs=6,
    ),
)
