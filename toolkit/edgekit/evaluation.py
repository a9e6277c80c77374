"""Scores of model files on the same data: how good each is, and how it differs from the first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.intervals import CONFIDENCE, Interval, bootstrap, wilson
from edgekit.mcnemar import PairedAccuracy
from edgekit.task import Task

Array = NDArray[Any]

SIGNIFICANT_BELOW = 0.05
SCHEMA_VERSION = 1
_ROUNDING = 1e-5


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """A number of samples out of all, with its Wilson interval."""

    count: int
    samples: int

    @property
    def value(self) -> float:
        """The share, 0 to 1."""
        return self.count / self.samples

    @property
    def interval(self) -> Interval:
        """Where the share lies for all such data, with 95 % confidence."""
        return wilson(self.count, self.samples)

    def to_dict(self) -> dict[str, Any]:
        """Plain data: count, samples, value, low, high."""
        counts = {"count": self.count, "samples": self.samples}
        return counts | _estimate(self.value, self.interval)


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A measured number and its 95 % interval."""

    value: float
    interval: Interval

    def to_dict(self) -> dict[str, Any]:
        """Plain data: value, low, high."""
        return _estimate(self.value, self.interval)


@dataclass(frozen=True, slots=True, kw_only=True)
class Against:
    """A file against the first one, sample by sample."""

    changed: Share | None = None
    """Classification: samples for which another class is predicted."""
    difference: Estimate | None = None
    """Accuracy, or mean absolute error, minus that of the first file; None without labels."""
    p_value: float | None = None
    """Classification: McNemar's exact test."""
    only_first_right: int | None = None
    only_this_right: int | None = None
    relative_difference: float | None = None
    """Regression: RMS(this - first) / RMS(first)."""

    @property
    def is_significant(self) -> bool | None:
        """Whether the data show a difference; None without labels."""
        if self.p_value is not None:
            return self.p_value < SIGNIFICANT_BELOW
        if self.difference is None:
            return None
        if self.relative_difference is not None and self.relative_difference < _ROUNDING:
            return False  # steady, perhaps, but nothing but the order of summation
        return not self.difference.interval.low <= 0 <= self.difference.interval.high

    def to_dict(self) -> dict[str, Any]:
        """Plain data; what does not apply is null."""
        return {
            "changed": self.changed and self.changed.to_dict(),
            "difference": self.difference and self.difference.to_dict(),
            "p_value": self.p_value,
            "significant": self.is_significant,
            "only_first_right": self.only_first_right,
            "only_this_right": self.only_this_right,
            "relative_difference": self.relative_difference,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class FileScore:
    """One file's scores. Those that do not apply are None; `error` says why there are none."""

    path: str
    format: str
    size_bytes: int
    accuracy: Share | None = None
    top_k: Share | None = None
    mae: Estimate | None = None
    rmse: Estimate | None = None
    against_first: Against | None = None
    error: str = ""
    target: str | None = None
    """Where it ran, if a target was asked for."""
    emulated: bool = False
    """Whether that is an emulated board."""
    runtime: str | None = None
    """Package and version that ran it; None for a framework."""

    def to_dict(self) -> dict[str, Any]:
        """Plain data; what does not apply is null."""
        return {
            "path": self.path,
            "format": self.format,
            "size_bytes": self.size_bytes,
            "accuracy": self.accuracy and self.accuracy.to_dict(),
            "top_k": self.top_k and self.top_k.to_dict(),
            "mae": self.mae and self.mae.to_dict(),
            "rmse": self.rmse and self.rmse.to_dict(),
            "against_first": self.against_first and self.against_first.to_dict(),
            "error": self.error or None,
            "target": self.target,
            "emulated": self.emulated,
            "runtime": self.runtime,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """All files on the same data."""

    data: str
    samples: int
    available: int
    """How many samples the data has; more than `samples` with a limit."""
    is_random: bool
    has_labels: bool
    task: Task
    task_was_guessed: bool
    output: str
    k: int | None
    preprocess: dict[str, str]
    preprocess_from: str
    """The file whose manifest it is from; ``--preprocess``; empty without any."""
    files: tuple[FileScore, ...]
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """What ``edgekit evaluate --json`` prints, schema 1.

        ``data`` (text, samples, available, random, labels), ``task``, ``task_guessed``, ``output``,
        ``k``, ``preprocess`` (steps by input), ``preprocess_from``, ``confidence`` of all
        intervals, ``notes``, and ``files`` in the order given. Shares and estimates are
        ``{"value", "low", "high"}``, shares also ``"count"`` and ``"samples"``; shares and
        accuracies are between 0 and 1, errors in the unit of the labels.
        """
        return {
            "schema_version": SCHEMA_VERSION,
            "data": {
                "text": self.data,
                "samples": self.samples,
                "available": self.available,
                "random": self.is_random,
                "labels": self.has_labels,
            },
            "task": self.task,
            "task_guessed": self.task_was_guessed,
            "output": self.output,
            "k": self.k,
            "preprocess": self.preprocess,
            "preprocess_from": self.preprocess_from or None,
            "confidence": CONFIDENCE,
            "files": [file.to_dict() for file in self.files],
            "notes": list(self.notes),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    """What a classifier said: the class of each sample, and whether that is right."""

    predicted: Array
    right: Array | None = None
    right_k: Array | None = None
    """The right class is among the k with the highest scores."""

    @classmethod
    def of(cls, kept: dict[str, Array], *, threshold: float, k: int | None) -> Decided:
        """From the columns that `edgekit.predict` keeps."""
        if "score" in kept:
            predicted = (kept["score"] > threshold).astype(np.int64)
        else:
            predicted = kept["predicted"]
        if "rank" in kept:
            rank = kept["rank"]
            return cls(
                predicted=predicted, right=rank == 0, right_k=None if k is None else rank < k
            )
        if "label" in kept:
            return cls(predicted=predicted, right=predicted == kept["label"])
        return cls(predicted=predicted)

    def scores(self) -> dict[str, Share | None]:
        """The fields of `FileScore` that it fills."""
        return {"accuracy": _share(self.right), "top_k": _share(self.right_k)}

    def against(self, first: Decided) -> Against:
        """Compare with the first file on the same samples."""
        changed = _share(self.predicted != first.predicted)
        if self.right is None or first.right is None:
            return Against(changed=changed)
        paired = PairedAccuracy.of(first.right, self.right)
        return Against(
            changed=changed,
            difference=Estimate(value=paired.difference, interval=paired.interval()),
            p_value=paired.p_value,
            only_first_right=paired.only_first,
            only_this_right=paired.only_second,
        )


def numeric_scores(kept: dict[str, Array]) -> dict[str, Estimate | None]:
    """Mean absolute error and root mean square error, with bootstrap intervals."""
    if "absolute" not in kept:
        return {"mae": None, "rmse": None}
    absolute, squared = kept["absolute"][:, np.newaxis], kept["squared"][:, np.newaxis]
    return {
        "mae": Estimate(value=float(absolute.mean()), interval=bootstrap(absolute, _first)),
        "rmse": Estimate(
            value=float(np.sqrt(squared.mean())),
            interval=bootstrap(squared, lambda means: np.sqrt(np.maximum(means[:, 0], 0.0))),
        ),
    }


def numeric_against(kept: dict[str, Array], first: dict[str, Array]) -> Against:
    """Compare a regression with the first file's on the same samples."""
    size = float(kept["size"].mean())
    gap = float(kept["gap"].mean())
    relative = float(np.sqrt(gap / size)) if size else (0.0 if gap == 0 else float("inf"))
    if "absolute" not in kept:
        return Against(relative_difference=relative)
    pair = np.stack([first["absolute"], kept["absolute"]], axis=1)
    return Against(
        difference=Estimate(
            value=float(pair[:, 1].mean() - pair[:, 0].mean()),
            interval=bootstrap(pair, lambda means: means[:, 1] - means[:, 0]),
        ),
        relative_difference=relative,
    )


def _first(means: NDArray[np.float64]) -> NDArray[np.float64]:
    column: NDArray[np.float64] = means[:, 0]
    return column


def _share(flags: Array | None) -> Share | None:
    return None if flags is None else Share(count=int(flags.sum()), samples=len(flags))


def _estimate(value: float, interval: Interval) -> dict[str, Any]:
    return {"value": value, "low": interval.low, "high": interval.high}
