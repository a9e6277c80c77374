"""Time series: BasicMotions (smart watch) and JapaneseVowels (speech), both from aeon."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dev_data.packages import wheel_member
from dev_data.task import Data, Task, standardised

VOWEL_STEPS = 29


def motions(cache: Path) -> Data:
    """Acceleration and rotation of a watch, ``(n, 100, 6)``, standardised; four activities."""
    return _standardised_pair(cache, "BasicMotions", steps=100)


def vowels(cache: Path) -> Data:
    """Speech, 12 cepstrum coefficients a step, ``(n, 29, 12)``, zero-padded; nine speakers."""
    return _standardised_pair(cache, "JapaneseVowels", steps=VOWEL_STEPS)


def _standardised_pair(cache: Path, name: str, *, steps: int) -> Data:
    splits = {}
    for split in ("TRAIN", "TEST"):
        member = f"aeon/datasets/data/{name}/{name}_{split}.ts"
        splits[split] = _read_ts(wheel_member(cache, "aeon==1.6.0", member).decode(), steps)
    (x_train, train_names), (x_test, test_names) = splits["TRAIN"], splits["TEST"]
    classes = sorted(set(train_names))
    data = Data(
        x_train=x_train,
        y_train=np.array([classes.index(label) for label in train_names]),
        x_test=x_test,
        y_test=np.array([classes.index(label) for label in test_names]),
    )
    return standardised(data, axis=(0, 1))


def _read_ts(text: str, steps: int) -> tuple[NDArray[np.float32], list[str]]:
    """Series ``(n, steps, channels)``, shorter ones padded with zeros, and their class names."""
    lines = [line for line in text.splitlines() if line and line[0] not in "#@%"]
    labels = [line.rsplit(":", 1)[1] for line in lines]
    channels = len(lines[0].split(":")) - 1
    series = np.zeros((len(lines), steps, channels), np.float32)
    for i, line in enumerate(lines):
        for channel, values in enumerate(line.split(":")[:-1]):
            numbers = np.array(values.split(","), np.float32)
            series[i, : len(numbers), channel] = numbers
    return series, labels


def convolutions(data: Data) -> Any:
    """Two 1-D convolutions with BatchNorm, and the mean over time."""
    import keras
    from keras import layers

    return keras.Sequential(
        [
            keras.Input(data.x_train.shape[1:]),
            *(
                layer
                for _ in range(2)
                for layer in (
                    layers.Conv1D(32, 5, strides=2, padding="same", use_bias=False),
                    layers.BatchNormalization(momentum=0.8),
                    layers.ReLU(),
                )
            ),
            layers.GlobalAveragePooling1D(),
            layers.Dense(int(data.y_train.max()) + 1, activation="softmax"),
        ]
    )


def gated(data: Data) -> Any:
    """One GRU over the whole series."""
    import keras
    from keras import layers

    return keras.Sequential(
        [
            keras.Input(data.x_train.shape[1:]),
            layers.GRU(24),
            layers.Dense(int(data.y_train.max()) + 1, activation="softmax"),
        ]
    )


def long_short_term(data: Data) -> Any:
    """An LSTM whose every step counts, as in keyword spotting."""
    import keras
    from keras import layers

    return keras.Sequential(
        [
            keras.Input(data.x_train.shape[1:]),
            layers.LSTM(32, return_sequences=True),
            layers.GlobalAveragePooling1D(),
            layers.Dense(int(data.y_train.max()) + 1, activation="softmax"),
        ]
    )


TASKS = (
    Task(
        name="motions",
        about="BasicMotions, 1-D CNN",
        kind="classification",
        read=motions,
        build=convolutions,
        epochs=40,
        batch=8,
    ),
    Task(
        name="motions-gru",
        about="BasicMotions, GRU",
        kind="classification",
        read=motions,
        build=gated,
        epochs=40,
        batch=8,
        learning_rate=1e-2,
    ),
    Task(
        name="vowels-lstm",
        about="JapaneseVowels (speech, 9 speakers), LSTM",
        kind="classification",
        read=vowels,
        build=long_short_term,
        epochs=40,
        batch=16,
        learning_rate=5e-3,
    ),
)
