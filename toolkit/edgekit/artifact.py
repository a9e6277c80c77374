"""A file made for a device: what it is, what it takes and gives, and how it was checked."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from edgekit.errors import ConversionError
from edgekit.recipe import Format, Precision
from edgekit.tensors import TensorSpec

if TYPE_CHECKING:
    from edgekit.pruned import Pruned

Status = Literal["passed", "drifted", "failed", "unverified"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """How an artifact compares with the original model, run by the runtime of the device."""

    status: Status
    """``drifted``: further from the original than it should be, not so far as to be refused.
    A file that ``failed`` is never put in place."""
    reason: str
    """Why it is not ``passed``; empty when it is."""
    runtime: str
    samples: int
    unseen: int
    """How many of them did not set the ranges of the activations; all, without calibration."""
    random: bool
    """The samples were seeded random numbers, not real inputs."""
    max_abs_error: float | None
    relative_error: float | None
    """RMS of the error over that of what varies in the reference, worst output."""
    cosine: float | None
    argmax_agreement: float | None

    def to_dict(self) -> dict[str, Any]:
        """Plain data, numbers to three significant digits: those repeat on every machine."""
        return {
            "status": self.status,
            "reason": self.reason,
            "runtime": self.runtime,
            "samples": self.samples,
            "unseen": self.unseen,
            "random": self.random,
            "max_abs_error": _rounded(self.max_abs_error),
            "relative_error": _rounded(self.relative_error),
            "cosine": _rounded(self.cosine, digits=6),
            "argmax_agreement": _rounded(self.argmax_agreement, digits=6),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact:
    """A model file (or SavedModel folder) that was put in place."""

    path: Path
    format: Format
    precision: Precision
    size_bytes: int
    gzip_bytes: int
    sha256: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    verification: Verification
    notes: tuple[str, ...] = ()
    """What a user has to know: operators left in float, Flex operators, unrolled layers."""

    def to_dict(self) -> dict[str, Any]:
        """Plain data, as ``edgekit convert --json`` prints it."""
        return {
            "path": str(self.path),
            "format": self.format,
            "precision": self.precision,
            "size_bytes": self.size_bytes,
            "gzip_bytes": self.gzip_bytes,
            "sha256": self.sha256,
            "inputs": [spec.to_dict() for spec in self.inputs],
            "outputs": [spec.to_dict() for spec in self.outputs],
            "verification": self.verification.to_dict(),
            "notes": list(self.notes),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """A combination that could not be made."""

    format: Format
    precision: Precision
    error: str

    def to_dict(self) -> dict[str, str]:
        """Plain data, as ``edgekit convert --json`` prints it."""
        return {"format": self.format, "precision": self.precision, "error": self.error}


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversion:
    """Everything one call of convert made, and what it could not make."""

    source: dict[str, str]
    """``path``, ``sha256`` and ``framework`` of the original."""
    artifacts: tuple[Artifact, ...]
    failures: tuple[Failure, ...]
    warnings: tuple[str, ...] = ()
    pruned: Pruned | None = None
    """What was made of the original first, if it was to be pruned; then `source` is that."""

    def to_dict(self) -> dict[str, Any]:
        """Plain data, as ``edgekit convert --json`` prints it."""
        return {
            "schema_version": 1,
            "source": self.source,
            "pruned": self.pruned and self.pruned.to_dict(),
            "artifacts": [artifact.to_dict() for artifact in self.artifacts],
            "failures": [failure.to_dict() for failure in self.failures],
            "warnings": list(self.warnings),
        }


class IncompleteConversionError(ConversionError):
    """Some combinations could not be made; `conversion` holds those that were, too."""

    def __init__(self, conversion: Conversion) -> None:
        """Say every failure; what was made stays in place."""
        self.conversion = conversion
        failed = "; ".join(f"{f.format} {f.precision}: {f.error}" for f in conversion.failures)
        super().__init__(failed)


def _rounded(value: float | None, digits: int = 3) -> float | None:
    return None if value is None else float(f"{value:.{digits}g}")
