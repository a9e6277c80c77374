"""Trains a listener for a low and a high tone, in seconds; a program of its own for TensorFlow.

python toolkit/tests/make_tones.py FOLDER
"""

import sys
from pathlib import Path
from typing import Any

import numpy as np

LABELS = ("background", "low", "high")
RATE_HZ, WINDOW = 8000, 4000
_HERTZ = {"low": 440.0, "high": 1400.0}


def sound(label: str, samples: int, seed: int) -> Any:
    """Quiet noise, with a tone for all but the background; float32 from -1 to 1."""
    random = np.random.default_rng(seed)
    made = random.normal(0, 0.01, samples)
    if label in _HERTZ:
        turns = np.arange(samples) / RATE_HZ * _HERTZ[label] * random.uniform(0.97, 1.03)
        made += random.uniform(0.1, 0.5) * np.sin(2 * np.pi * (turns + random.random()))
    return made.astype(np.float32)


def _make(folder: Path) -> None:
    import keras

    keras.utils.set_random_seed(1)
    truth = np.arange(600) % 3
    heard = np.stack([sound(LABELS[label], WINDOW, seed) for seed, label in enumerate(truth)])
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((WINDOW,), name="sound"),
            layers.Reshape((WINDOW, 1)),
            layers.Conv1D(8, 64, strides=16, activation="relu"),
            layers.Conv1D(8, 8, strides=4, activation="relu"),
            layers.GlobalAveragePooling1D(),
            layers.Dense(3, activation="softmax", name="scores"),
        ]
    )
    loss = "sparse_categorical_crossentropy"
    model.compile(keras.optimizers.Adam(0.01), loss, metrics=["accuracy"])
    model.fit(heard, truth, batch_size=32, epochs=12, verbose=0)
    _, accuracy = model.evaluate(heard, truth, verbose=0)
    assert accuracy > 0.99, accuracy
    model.save(folder / "tones.keras")
    np.savez(folder / "tones.npz", x=heard[:120])


if __name__ == "__main__":
    _make(Path(sys.argv[1]))
