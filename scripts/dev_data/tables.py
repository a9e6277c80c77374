"""Tables: breast cancer (classification) and diabetes (regression), both from scikit-learn."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from dev_data.task import Data, Task, shuffled_split, standardised


def cancer(_: Path) -> Data:
    """30 measurements of a tumour, standardised: 398 for training and 171 for the test."""
    from sklearn.datasets import load_breast_cancer

    measurements, labels = load_breast_cancer(return_X_y=True)
    return standardised(shuffled_split(measurements, labels.astype(np.int64), 398), axis=0)


def diabetes(_: Path) -> Data:
    """10 measurements, standardised, and how far the disease went (25..346): 309 and 133."""
    from sklearn.datasets import load_diabetes

    measurements, progress = load_diabetes(return_X_y=True)
    targets = progress.astype(np.float32)[:, None]
    return standardised(shuffled_split(measurements, targets, 309), axis=0)


def classifier(data: Data) -> Any:
    """Two hidden layers."""
    import keras
    from keras import layers

    return keras.Sequential(
        [
            keras.Input(data.x_train.shape[1:]),
            layers.Dense(32, activation="relu"),
            layers.Dense(16, activation="relu"),
            layers.Dense(2, activation="softmax"),
        ]
    )


def regressor(data: Data) -> Any:
    """Two hidden layers and one number, which starts at the mean of the targets."""
    import keras
    from keras import layers

    start = keras.initializers.Constant(float(data.y_train.mean()))
    return keras.Sequential(
        [
            keras.Input(data.x_train.shape[1:]),
            layers.Dense(32, activation="relu"),
            layers.Dense(16, activation="relu"),
            layers.Dense(1, bias_initializer=start),
        ]
    )


TASKS = (
    Task(
        name="cancer",
        about="breast cancer, MLP",
        kind="classification",
        read=cancer,
        build=classifier,
        epochs=20,
        batch=16,
    ),
    Task(
        name="diabetes",
        about="diabetes, regression MLP; progress 25..346",
        kind="regression",
        read=diabetes,
        build=regressor,
        epochs=40,
        batch=16,
        learning_rate=5e-3,
    ),
)
