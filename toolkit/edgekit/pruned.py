"""A model made smaller: what was asked for and reached, what was cut, and what it is worth."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edgekit.prune_verdict import Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Reached:
    """The target of the request, and what became of it; both in the unit of the target."""

    name: str
    """``sparsity``, ``macs``, ``size`` or ``latency``."""
    asked: float
    """Share of zeros or of channels cut, multiply-adds, bytes, ratio to the original's p50."""
    reached: float
    original: float | None = None
    """Multiply-adds or bytes of the original; None for shares and ratios."""

    @property
    def is_met(self) -> bool:
        """Sparsity is to be reached; multiply-adds, bytes and latency are not to be exceeded."""
        slack = 0.01 * self.asked
        if self.name == "sparsity":
            return self.reached >= self.asked - slack
        return self.reached <= self.asked + (slack if self.name == "latency" else 0)

    def to_dict(self) -> dict[str, Any]:
        """Plain data, as ``edgekit prune --json`` prints it."""
        return {name: getattr(self, name) for name in self.__slots__} | {"met": self.is_met}


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """Channels that go together, in all layers that make them: how many there were, and are."""

    name: str
    layers: tuple[str, ...]
    kind: str
    """``filters``, ``units``, ``heads`` …"""
    before: int
    after: int

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {name: getattr(self, name) for name in self.__slots__} | {
            "layers": list(self.layers)
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """A layer that was left alone, and why."""

    layer: str
    reason: str

    def to_dict(self) -> dict[str, str]:
        """Plain data."""
        return {"layer": self.layer, "reason": self.reason}


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerZeros:
    """A kernel whose weights were pruned, or put into clusters."""

    layer: str
    weights: int
    zeros: int
    clusters: int | None = None
    """How many different numbers it holds; None where it was not clustered."""

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(frozen=True, slots=True, kw_only=True)
class EpochRecord:
    """One epoch of fine-tuning."""

    epoch: int
    """From 1 on; 0 is the model before it, which was validated only."""
    values: Mapping[str, float]
    """``loss``, ``val_loss`` and the metrics, under Keras' names."""
    stage: str = ""
    """``prune``, ``cluster`` or ``quantize``: epochs are counted anew in each."""
    progress: str = ""
    """What was held meanwhile: ``sparsity 63.2%``."""
    seconds: float | None = None

    @classmethod
    def of(cls, plain: Mapping[str, Any]) -> EpochRecord:
        """From an epoch as the trainer tells it: ``number``, ``loss``, ``metrics``, …."""
        values = {"loss": plain.get("loss"), **plain.get("metrics", {})}
        values["val_loss"] = plain.get("validation_loss")
        values |= {f"val_{name}": value for name, value in plain.get("validation", {}).items()}
        return cls(
            epoch=plain["number"],
            values={name: value for name, value in values.items() if value is not None},
            stage=plain.get("stage", ""),
            progress=", ".join(part for part in plain.get("progress", ()) if part),
            seconds=plain.get("seconds"),
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "stage": self.stage,
            "epoch": self.epoch,
            "values": {name: _finite(value) for name, value in self.values.items()},
            "progress": self.progress,
            "seconds": self.seconds,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Pruned:
    """What `edgekit.prune` made."""

    path: Path
    source: Mapping[str, str]
    """``path``, ``sha256`` and ``framework`` of the original."""
    framework: str
    """Of the result: ``keras`` or ``tf_keras``."""
    method: str
    """``structured``, ``unstructured``, ``2:4``, ``1x4``; empty where nothing was pruned."""
    sha256: str = ""
    qat: bool = False
    clusters: int | None = None
    """So many different numbers each clustered kernel may hold."""
    target: Reached | None = None
    parameters: tuple[int, int]
    """Before and after."""
    multiply_adds: tuple[int, int] | None = None
    """Before and after, of one sample; None where they cannot be counted."""
    sparsity: float | None = None
    """Share of zeros among the weights of the kernels that were pruned; None if structured."""
    cuts: tuple[Cut, ...] = ()
    zeros: tuple[LayerZeros, ...] = ()
    left: tuple[Kept, ...] = ()
    history: tuple[EpochRecord, ...] = ()
    """Of fine-tuning; the first one is epoch 0, the model before it."""
    best: int | None = None
    """The epoch whose weights the result has; None without fine-tuning."""
    stopped: str = ""
    """Why fine-tuning ended early; empty when it did not."""
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    verdict: Verdict | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    """What was asked for, with the defaults."""

    def __str__(self) -> str:
        """One line: what was made of what, and whether the target was met.

        >>> str(Pruned(path=Path("b.keras"), source={"path": "a.keras"}, framework="keras",
        ...     method="2:4", parameters=(8, 8), sparsity=0.5))
        'b.keras: a.keras with 2:4 pruning, 8 -> 8 parameters, 50.0 % zeros'
        """
        told = [f"{self.method} pruning"] if self.method else []
        told += [f"{self.clusters} clusters"] if self.clusters is not None else []
        told += ["quantization-aware training"] if self.qat else []
        before, after = self.parameters
        facts = [" and ".join(told) or "training", f"{before:,} -> {after:,} parameters"]
        if self.multiply_adds is not None:
            before, after = self.multiply_adds
            facts.append(f"{before:,} -> {after:,} multiply-adds")
        if self.sparsity is not None:
            facts.append(f"{self.sparsity * 100:.1f} % zeros")
        if self.target is not None:
            met = "reached" if self.target.is_met else "NOT reached"
            facts.append(f"target {self.target.name} {met}")
        return f"{self.path}: {self.source.get('path', 'a model')} with {', '.join(facts)}"

    def to_dict(self) -> dict[str, Any]:
        """Plain data, as ``edgekit prune --json`` prints it, schema 1."""
        return {
            "schema_version": 1,
            "path": str(self.path),
            "sha256": self.sha256,
            "framework": self.framework,
            "source": dict(self.source),
            "settings": dict(self.settings),
            "method": self.method,
            "qat": self.qat,
            "clusters": self.clusters,
            "target": self.target and self.target.to_dict(),
            "parameters": _before_after(self.parameters),
            "multiply_adds": self.multiply_adds and _before_after(self.multiply_adds),
            "sparsity": self.sparsity,
            "cuts": [cut.to_dict() for cut in self.cuts],
            "zeros": [one.to_dict() for one in self.zeros],
            "left": [one.to_dict() for one in self.left],
            "history": [one.to_dict() for one in self.history],
            "best_epoch": self.best,
            "stopped": self.stopped or None,
            "notes": list(self.notes),
            "warnings": list(self.warnings),
            "verdict": self.verdict and self.verdict.to_dict(),
        }


def _before_after(pair: tuple[int, int]) -> dict[str, int]:
    return {"before": pair[0], "after": pair[1]}


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
