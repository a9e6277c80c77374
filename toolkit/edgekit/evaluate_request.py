"""What `evaluate` was asked for, checked before anything expensive starts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edgekit.child import Limits
from edgekit.errors import UsageError
from edgekit.task import Task


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluateRequest:
    """One call of evaluate, checked before anything is started."""

    files: tuple[Path, ...]
    data: str
    preprocess: tuple[str, ...] = ()
    top_k: int | None = None
    task: Task | None = None
    output: str | None = None
    limit: int | None = None
    custom_objects: Path | None = None
    trust: bool = False
    limits: Limits
    verbose: bool = False
    on: tuple[str, ...] = ()
    """Targets that run .tflite and .onnx files; empty for this process's own runtimes."""

    def __post_init__(self) -> None:
        """Refuse what makes no sense whatever the files are."""
        if not self.files:
            message = "evaluate: no files; give at least one"
            raise UsageError(message)
        for name, value in (("--top-k", self.top_k), ("--limit", self.limit)):
            if value is not None and value < 1:
                message = f"{name} {value}: must be at least 1; leave it out for the default"
                raise UsageError(message)
