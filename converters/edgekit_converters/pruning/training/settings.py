"""How to fine-tune: what the user said, and what follows from the model for the rest."""

from __future__ import annotations

import math
from dataclasses import dataclass

from edgekit.errors import UsageError


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingSettings:
    """Everything about a fine-tuning but the model and the data; None is what the model says."""

    epochs: int = 5
    learning_rate: float | None = None
    """At the start; it falls to 0 along a cosine over all steps."""
    optimizer: str | None = None
    """A Keras name: ``adam``, ``sgd``, …"""
    loss: str | None = None
    """A Keras name: ``sparse_categorical_crossentropy``, ``mse``, …"""
    metrics: tuple[str, ...] | None = None
    """Keras names. None: those the model was compiled with, or accuracy for a classifier."""
    batch_size: int = 32
    patience: int = 3
    """Stop after so many epochs in a row without a lower loss on the validation data."""
    temperature: float = 4.0
    """Of the soft targets, with a teacher."""
    alpha: float = 0.5
    """Share of the teacher in the loss; the labels have the rest."""
    seed: int = 0
    """Of the order of the samples, of dropout and of augmentation."""

    def __post_init__(self) -> None:
        """Refuse numbers that make no sense."""
        for option, value in (
            ("--epochs", self.epochs),
            ("--batch-size", self.batch_size),
            ("patience", self.patience),
        ):
            if value < 1:
                message = f"{option} {value}: is not positive; give at least 1"
                raise UsageError(message)
        rate = self.learning_rate
        if rate is not None and not (math.isfinite(rate) and rate > 0):
            message = f"--learning-rate {rate:g}: is not positive; give one like 0.001"
            raise UsageError(message)
        if not (math.isfinite(self.temperature) and self.temperature > 0):
            message = f"--temperature {self.temperature:g}: is not positive; give one like 4"
            raise UsageError(message)
        if not 0 <= self.alpha <= 1:
            message = f"alpha {self.alpha:g}: is not within 0..1; give one like 0.5"
            raise UsageError(message)
