"""What ``edgekit run`` found: for each sample its likeliest classes, and its outputs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranked:
    """A class, and what the model gives for it."""

    label: str
    score: float
    index: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """One output of one sample."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    values: Any
    """Nested lists, with None for NaN and infinity; None where there are too many values."""
    min: float | None
    """Of the finite values, as `mean` and `max`; None if there are none, or it is text."""
    mean: float | None
    max: float | None
    not_finite: int
    """How many values are NaN or infinite."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What one sample gave."""

    input: str
    """As it was asked for."""
    row: int | None
    """Which of its samples, from 0; None where it is the only one."""
    classes: tuple[Ranked, ...]
    """The likeliest first; empty where the outputs are no scores of classes."""
    outputs: tuple[Summary, ...]

    @property
    def title(self) -> str:
        """What a table calls it."""
        return self.input if self.row is None else f"{self.input}[{self.row}]"

    def to_dict(self) -> dict[str, Any]:
        """Plain data, for ``--json``."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Result:
        """Read what `to_dict` wrote, after a journey through JSON."""
        return cls(
            input=data["input"],
            row=data["row"],
            classes=tuple(Ranked(**one) for one in data["classes"]),
            outputs=tuple(
                Summary(**one | {"shape": tuple(one["shape"])}) for one in data["outputs"]
            ),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """An input that could not be run."""

    input: str
    error: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RunReport:
    """What all inputs gave."""

    path: str
    backend: str
    """Runtime and version."""
    results: tuple[Result, ...]
    failures: tuple[Failure, ...]
    saved: str | None
    """Where the outputs are."""
    notes: tuple[str, ...]
    target: str | None = None
    """Where it ran, if a target was asked for."""
    emulated: bool = False
    """Whether that is an emulated board."""

    def to_dict(self) -> dict[str, Any]:
        """Plain data, for ``--json``."""
        return {
            "schema_version": 1,
            "path": self.path,
            "backend": self.backend,
            "target": self.target,
            "emulated": self.emulated,
            "results": [result.to_dict() for result in self.results],
            "failures": [asdict(failure) for failure in self.failures],
            "saved": self.saved,
            "notes": list(self.notes),
        }
