"""What there is to learn, and the small model that learns it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

SEED = 7


@dataclass(frozen=True, slots=True, kw_only=True)
class Data:
    """Inputs and targets; targets are class numbers ``(n,)``, or float32 for a regression."""

    x_train: NDArray[Any]
    y_train: NDArray[Any]
    x_test: NDArray[Any]
    y_test: NDArray[Any]

    def save(self, path: Path) -> None:
        """Write the four arrays under their own names, as ``--data FILE:test`` reads them."""
        np.savez_compressed(
            path, x_train=self.x_train, y_train=self.y_train, x_test=self.x_test, y_test=self.y_test
        )

    @classmethod
    def load(cls, path: Path) -> Data:
        """Read what `save` wrote."""
        with np.load(path) as arrays:
            return cls(**{name: arrays[name] for name in cls.__slots__})


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """A data set with one model. Nothing here was chosen by looking at the test samples."""

    name: str
    about: str
    """One line for the report: data, model, and what makes it worth a look."""
    kind: Literal["classification", "regression"]
    read: Callable[[Path], Data]
    """Reads the data; the argument is the folder that packages are kept in."""
    build: Callable[[Data], Any] | None = None
    """Builds the untrained Keras model."""
    trained: Path | None = None
    """A model that is trained already; then there is nothing to build."""
    epochs: int = 10
    batch: int = 32
    learning_rate: float = 2e-3
    preprocess: str | None = None
    """What ``--preprocess`` says: how the stored arrays become what the model takes."""


def shuffled_split(x: NDArray[Any], y: NDArray[Any], n_train: int) -> Data:
    """Divide into training and test samples at random, by a fixed seed."""
    order = np.random.default_rng(0).permutation(len(x))
    train, test = order[:n_train], order[n_train:]
    return Data(x_train=x[train], y_train=y[train], x_test=x[test], y_test=y[test])


def standardised(data: Data, *, axis: int | tuple[int, ...]) -> Data:
    """Inputs with mean 0 and deviation 1 over `axis`, as measured on the training samples."""
    mean = data.x_train.mean(axis=axis, keepdims=True)
    deviation = data.x_train.std(axis=axis, keepdims=True) + 1e-6
    return Data(
        x_train=((data.x_train - mean) / deviation).astype(np.float32),
        y_train=data.y_train,
        x_test=((data.x_test - mean) / deviation).astype(np.float32),
        y_test=data.y_test,
    )


def train(task: Task, data: Data) -> Any:
    """Build the model of `task` and train it for its fixed number of epochs."""
    import keras

    assert task.build is not None
    keras.utils.clear_session()  # names of layers start from one again
    keras.utils.set_random_seed(SEED)
    model = task.build(data)
    steps = task.epochs * -(-len(data.x_train) // task.batch)
    model.compile(
        optimizer=keras.optimizers.Adam(
            keras.optimizers.schedules.CosineDecay(task.learning_rate, steps)
        ),
        loss="mse" if task.kind == "regression" else "sparse_categorical_crossentropy",
        jit_compile=False,
    )
    x_train = data.x_train
    if task.preprocess == "scale=1/255":
        x_train = x_train.astype(np.float32) / np.float32(255)
    model.fit(x_train, data.y_train, epochs=task.epochs, batch_size=task.batch, verbose=0)
    bare = type(model).from_config(model.get_config())  # saved without the optimizer's state
    bare.set_weights(model.get_weights())
    return bare
