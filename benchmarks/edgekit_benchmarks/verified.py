"""What ``edgekit verify`` found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from edgekit_benchmarks.output_agreement import OutputAgreement

SCHEMA_VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifiedTarget:
    """A file in one place."""

    target: str
    emulated: bool = False
    runtime: str | None = None
    """Package and version that ran there."""
    outputs: tuple[OutputAgreement, ...] = ()
    error: str = ""
    """Why it did not run there."""

    @property
    def agrees(self) -> bool:
        """Whether it ran, and all outputs are within their tolerances."""
        return not self.error and all(output.agrees for output in self.outputs)

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {
            "target": self.target,
            "emulated": self.emulated,
            "runtime": self.runtime,
            "agrees": self.agrees,
            "outputs": [output.to_dict() for output in self.outputs],
            "error": self.error or None,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifiedFile:
    """A file in all places; the first of them is this machine."""

    path: str
    precision: str | None = None
    targets: tuple[VerifiedTarget, ...] = ()
    error: str = ""
    """Why it was not tried at all."""

    @property
    def agrees(self) -> bool:
        """Whether it does everywhere."""
        return not self.error and all(target.agrees for target in self.targets)

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {
            "path": self.path,
            "precision": self.precision,
            "agrees": self.agrees,
            "targets": [target.to_dict() for target in self.targets],
            "error": self.error or None,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifyReport:
    """All files."""

    files: tuple[VerifiedFile, ...]
    notes: tuple[str, ...] = ()

    @property
    def agrees(self) -> bool:
        """Whether everything ran, and agrees."""
        return all(file.agrees for file in self.files)

    @property
    def errors(self) -> tuple[str, ...]:
        """What did not run, in words."""
        errors = []
        for file in self.files:
            errors += [file.error, *(target.error for target in file.targets)]
        return tuple(filter(None, errors))

    def to_dict(self) -> dict[str, Any]:
        """What ``edgekit verify --json`` prints; see docs/json.md."""
        return {
            "schema_version": SCHEMA_VERSION,
            "agrees": self.agrees,
            "files": [file.to_dict() for file in self.files],
            "notes": list(self.notes),
        }
