"""What all charts of a result have in common: names, colours, and the samples as arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np

from edgekit_benchmarks.plot import colour, width_px
from edgekit_benchmarks.report_rows import is_emulated, names
from edgekit_benchmarks.result import BenchmarkResult, Row


@dataclass(frozen=True, slots=True, kw_only=True)
class PlotRow:
    """A row as the charts show it."""

    name: str
    colour: str
    """A file has the same in all charts, whatever the threads."""
    row: Row

    @property
    def kind(self) -> str:
        """Its classes: what is INVALID looks so everywhere."""
        return self.colour if self.row.valid else f"{self.colour} invalid"

    def samples(self) -> np.ndarray[Any, np.dtype[np.float64]]:
        """All, in nanoseconds: those of one process after those of another."""
        return np.fromiter(chain.from_iterable(self.row.samples_ns), np.float64)


def name_column_px(rows: Sequence[PlotRow], *, least: float = 110, most: float = 268) -> float:
    """How wide the names need it, with a gap behind them."""
    return min(most, max([least, *(width_px(row.name) + 16 for row in rows)]))


def plot_rows(result: BenchmarkResult) -> list[PlotRow]:
    """The rows that have times: all but those of emulated targets."""
    files: dict[str, int] = {}
    for row in result.rows:
        files.setdefault(row.path, len(files))
    return [
        PlotRow(name=name, colour=colour(files[row.path]), row=row)
        for name, row in zip(names(result, is_short=True), result.rows, strict=True)
        if not is_emulated(result, row)
    ]
