"""What happened in a fine-tuning, epoch by epoch, and how it is told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Epoch:
    """One pass over the training samples, and the validation after it."""

    number: int
    """From 1; 0 is the model as it came, which was validated only."""
    of: int
    loss: float | None = None
    """Mean over the epoch; with a teacher, its part included (not for Keras 2)."""
    metrics: Mapping[str, float] = field(default_factory=dict)
    validation_loss: float
    """Against the labels alone."""
    validation: Mapping[str, float] = field(default_factory=dict)
    progress: tuple[str, ...] = ()
    """What the projections say: ``sparsity 63.2%``."""
    seconds: float
    is_settled: bool = True
    """Whether all projections have reached their end, as the full sparsity, as far as they tell."""

    def __str__(self) -> str:
        """One plain line for the user."""
        if self.number == 0:
            told = [f"before: validation {_shown(self.validation_loss, self.validation)}"]
        else:
            told = [f"epoch {self.number}/{self.of}: loss {self.loss:.4g}"]
            told += [_told(name, value) for name, value in _first(self.metrics)]
            told.append(f"validation {_shown(self.validation_loss, self.validation)}")
        return ", ".join([*told, *(p for p in self.progress if p), f"{self.seconds:.0f} s"])

    def to_dict(self) -> dict[str, Any]:
        """Plain data, for ``--json`` and checkpoints."""
        return asdict(self) | {"progress": list(self.progress)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Epoch:
        """Read what `to_dict` wrote."""
        return cls(**{**data, "progress": tuple(data["progress"])})


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """A fine-tuning that has ended."""

    before: Epoch
    """The model as it came, validated."""
    epochs: tuple[Epoch, ...]
    best: int
    """The number of the epoch whose weights the model has now; 0: it is as it came."""
    stopped: str = ""
    """Why it ended before the last epoch; empty if it did not."""
    is_lost: bool = False
    """Whether that is since the loss was no longer a finite number."""
    notes: tuple[str, ...] = ()
    """What was assumed: the loss, the optimizer; a sentence each."""

    def to_dict(self) -> dict[str, Any]:
        """Plain data, for ``--json``."""
        return {
            "before": self.before.to_dict(),
            "epochs": [epoch.to_dict() for epoch in self.epochs],
            "best": self.best,
            "stopped": self.stopped,
            "is_lost": self.is_lost,
            "notes": list(self.notes),
        }


def _first(metrics: Mapping[str, float]) -> list[tuple[str, float]]:
    """The metric to show: an accuracy, if there is one."""
    ordered = sorted(metrics.items(), key=lambda item: "acc" not in item[0])
    return ordered[:1]


def _told(name: str, value: float) -> str:
    if "acc" in name:
        return f"accuracy {value:.1%}"
    return f"{name} {value:.4g}"


def _shown(loss: float, metrics: Mapping[str, float]) -> str:
    for name, value in _first(metrics):
        return f"{value:.1%}" if "acc" in name else f"{name} {value:.4g}"
    return f"loss {loss:.4g}"
