"""Percentiles that are computed once, however often a report tells them.

A row may hold hundreds of thousands of samples, and a page names its median in a dozen places.
"""

from __future__ import annotations

from dataclasses import fields, replace

from edgekit_benchmarks.percentile import Enclosed
from edgekit_benchmarks.result import BenchmarkResult, Row


class RememberingRow(Row):
    """A row that sorts its samples once for each percentile; for as long as a report is made."""

    __slots__ = ("_found",)
    _found: dict[float, Enclosed | None]

    @classmethod
    def like(cls, row: Row) -> RememberingRow:
        """The same row, and nothing known yet."""
        own = object.__new__(cls)
        for field in fields(Row):
            object.__setattr__(own, field.name, getattr(row, field.name))
        object.__setattr__(own, "_found", {})
        return own

    @property
    def p50_ns(self) -> float:
        """The median of all samples."""
        found = self.of_percentile(50)
        assert found is not None
        return found.value

    def of_percentile(self, percent: float) -> Enclosed | None:
        """As of `Row`."""
        if percent not in self._found:
            self._found[percent] = super().of_percentile(percent)
        return self._found[percent]


def remembered(result: BenchmarkResult) -> BenchmarkResult:
    """The same result with rows that remember."""
    return replace(result, rows=tuple(map(RememberingRow.like, result.rows)))
