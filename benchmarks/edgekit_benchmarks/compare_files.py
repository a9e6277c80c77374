"""``edgekit compare``: two result files, a gate, and the reports of both."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from edgekit_benchmarks import comment, comparison_text, gate, junit
from edgekit_benchmarks.comparison import Comparison, compare
from edgekit_benchmarks.gate import Decision
from edgekit_benchmarks.result import BenchmarkResult
from edgekit_benchmarks.text_file import write_text

Path = str | os.PathLike[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """What is to be printed, written and returned."""

    before_path: str
    after_path: str
    comparison: Comparison
    decisions: tuple[Decision, ...]

    @property
    def exit_code(self) -> int:
        """0 fine, 1 a limit is broken, 3 undecided or INVALID."""
        return gate.exit_code(self.comparison, self.decisions)

    @property
    def lines(self) -> tuple[str, ...]:
        """For standard output."""
        return tuple(comparison_text.lines(self.comparison, self.decisions))

    @property
    def warnings(self) -> tuple[str, ...]:
        """For standard error."""
        machines = (f"another machine: {text}" for text in self.comparison.machines)
        return (*machines, *self.comparison.notes)

    def write_junit(self, path: Path, *, force: bool) -> None:
        """JUnit XML.

        Raises:
            OutputError: the file exists and is not to be replaced, or cannot be written.
        """
        write_text(path, junit.junit(self.comparison, self.decisions), force=force)

    def write_markdown(self, path: Path, *, force: bool) -> None:
        """A comment for a pull request.

        Raises:
            OutputError: the file exists and is not to be replaced, or cannot be written.
        """
        write_text(path, comment.comment(self.comparison, self.decisions), force=force)

    def to_dict(self) -> dict[str, Any]:
        """Plain data, as ``edgekit compare --json`` prints it."""
        comparison = self.comparison
        return {
            "schema_version": 1,
            "kind": "edgekit-comparison",
            "before": {"path": self.before_path, "started": comparison.before.started},
            "after": {"path": self.after_path, "started": comparison.after.started},
            "exit_code": self.exit_code,
            "rows": [row.to_dict() for row in comparison.rows],
            "only_before": [row.label for row in comparison.only_before],
            "only_after": [row.label for row in comparison.only_after],
            "gate": [decision.to_dict() for decision in self.decisions],
            "machines": list(comparison.machines),
            "notes": list(comparison.notes),
        }


def compare_files(
    before: Path, after: Path, *, max_regress: Sequence[str] = (), allow_other_machine: bool = False
) -> Compared:
    """Read two results, compare them, and apply the gate.

    Args:
        before: a file that ``edgekit bench`` wrote.
        after: a later one.
        max_regress: limits as on the command line: ``p50=5%``.
        allow_other_machine: compare although they are of different machines or runtimes.

    Raises:
        UsageError: a file cannot be read, a limit makes no sense, nothing is in common, or the
            machines differ.
    """
    limits = gate.limits(max_regress)
    comparison = compare(
        BenchmarkResult.read(before),
        BenchmarkResult.read(after),
        allow_other_machine=allow_other_machine,
    )
    return Compared(
        before_path=os.fspath(before),
        after_path=os.fspath(after),
        comparison=comparison,
        decisions=gate.decide(comparison, limits),
    )
