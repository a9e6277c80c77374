"""What pruning changed: size, speed and quality of the files made from both models."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from edgekit import verdict_sentences
from edgekit.evaluation import Against, Estimate, Share
from edgekit.intervals import CONFIDENCE
from edgekit.task import Task

Precision = Literal["float32", "int8"]


@dataclass(frozen=True, slots=True, kw_only=True)
class FileFacts:
    """One TFLite file. What was not measured is None."""

    size_bytes: int
    gzip_bytes: int
    accuracy: Share | None = None
    mae: Estimate | None = None
    p50_ns: float | None = None
    notes: tuple[str, ...] = ()
    """What its conversion says: operators left in float …"""

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "size_bytes": self.size_bytes,
            "gzip_bytes": self.gzip_bytes,
            "accuracy": self.accuracy and self.accuracy.to_dict(),
            "mae": self.mae and self.mae.to_dict(),
            "p50_ns": self.p50_ns,
            "notes": list(self.notes),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class LatencyRatio:
    """The pruned file's time over the original's, in turns in the same processes."""

    value: float
    low: float
    high: float
    meaning: str
    """``faster``, ``slower``, ``no difference shown``: only where the interval says so."""

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """The files of one precision, made from both models by the same conversion."""

    precision: Precision
    original: FileFacts | None = None
    pruned: FileFacts | None = None
    error: str = ""
    """Why one of them is missing."""
    against: Against | None = None
    """The pruned file's answers against the original's, sample by sample."""
    unscored: str = ""
    """Why there is no accuracy."""
    latency: LatencyRatio | None = None
    unmeasured: str = ""
    """Why there is no ratio of latencies."""

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "precision": self.precision,
            "original": self.original and self.original.to_dict(),
            "pruned": self.pruned and self.pruned.to_dict(),
            "error": self.error or None,
            "against_original": self.against and self.against.to_dict(),
            "unscored": self.unscored or None,
            "latency_ratio": self.latency and self.latency.to_dict(),
            "unmeasured": self.unmeasured or None,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Both models side by side."""

    parameters: tuple[int, int] | None
    """Before and after; None where they cannot be counted."""
    multiply_adds: tuple[int, int] | None
    """Of one sample, of the float32 files; None where they cannot be counted."""
    pairs: tuple[Pair, ...]
    samples: int = 0
    """So many test samples, which nothing was trained or calibrated on."""
    data: str | None = None
    task: Task | None = None
    processes: int = 0
    """That measured latency, each with all files in turn."""
    notes: tuple[str, ...] = ()

    @property
    def sentences(self) -> tuple[str, ...]:
        """What may be said of it, one fact each, beginning with the precision."""
        return tuple(
            f"{pair.precision}: {told}"
            for pair in self.pairs
            for told in verdict_sentences.of_pair(pair)
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain data, as ``edgekit prune --json`` prints it."""
        return {
            "confidence": CONFIDENCE,
            "parameters": _before_after(self.parameters),
            "multiply_adds": _before_after(self.multiply_adds),
            "data": self.data,
            "samples": self.samples,
            "task": self.task,
            "processes": self.processes,
            "files": [pair.to_dict() for pair in self.pairs],
            "sentences": list(self.sentences),
            "notes": list(self.notes),
        }


def _before_after(pair: tuple[int, int] | None) -> Mapping[str, int] | None:
    return None if pair is None else {"before": pair[0], "after": pair[1]}
