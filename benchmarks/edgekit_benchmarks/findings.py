"""What came back from a target, raw."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from edgekit.errors import EdgekitError
from edgekit_benchmarks.plan import Plan, PlannedRow
from edgekit_benchmarks.result import FailureRecord

if TYPE_CHECKING:
    from edgekit_benchmarks.operators import OperatorProfile


@dataclass(slots=True, kw_only=True)
class Findings:
    """Filled while a target is measured; whatever is missing at its end has a failure."""

    plan: Plan
    url: str = ""
    emulated: bool = False
    facts: dict[str, Any] = field(default_factory=dict)
    worker_sha256: str = ""
    starts: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    """By the row's key: what each process that started it answered."""
    steady: dict[str, list[Taken]] = field(default_factory=dict)
    """By the row's key: its part of what each process answered."""
    counts: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    """By the row's key: what each process that counted its instructions answered."""
    operators: dict[str, OperatorProfile | EdgekitError] = field(default_factory=dict)
    """By the row's key: where its time goes, or why that is not known."""
    timer_ns: list[float] = field(default_factory=list)
    empty_call_ns: list[float] = field(default_factory=list)
    watch: list[dict[str, Any]] = field(default_factory=list)
    clock: list[dict[str, Any]] = field(default_factory=list)
    heated_s: float | None = None
    """How long it was kept busy before its steady state was measured."""
    resumed: int = 0
    """How many processes an earlier call had finished."""
    failures: list[FailureRecord] = field(default_factory=list)

    def fail(self, rows: Sequence[PlannedRow], error: Exception) -> None:
        """These rows cannot be measured."""
        for row in rows:
            self.failures.append(
                FailureRecord(
                    path=str(row.file.path),
                    target=self.plan.target,
                    threads=row.threads,
                    error=str(error),
                )
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """Latencies of a row in one process."""

    attempt: int
    """The number of the try."""
    process: str
    """Its name: rows with the same one took turns in it."""
    answer: dict[str, Any]
