"""The table of the page with instructions by class."""

from __future__ import annotations

from collections.abc import Iterator

from edgekit_benchmarks.instructions import CLASSES, TOTAL, count_text
from edgekit_benchmarks.plot import clean
from edgekit_benchmarks.report_numbers import DASH
from edgekit_benchmarks.report_rows import EMULATED, names
from edgekit_benchmarks.result import BenchmarkResult


def counts_table(result: BenchmarkResult) -> Iterator[str]:
    """Its lines: a line a row, a column for each class that there is; nothing without counts."""
    counted = [
        (name, row.instructions)
        for name, row in zip(names(result), result.rows, strict=True)
        if row.instructions is not None
    ]
    if not counted:
        return
    used = [name for name in CLASSES if any(counts.get(name) for _, counts in counted)]
    yield f"<h3>Instructions of an inference, by class ({EMULATED})</h3>"
    yield '<div class="wide"><table class="results"><thead><tr>'
    yield '<th scope="col" class="left">file</th>'
    yield from (f'<th scope="col">{clean(name.replace("_", " "))}</th>' for name in (TOTAL, *used))
    yield "</tr></thead>"
    for name, counts in counted:
        yield f'<tbody class="row"><tr><th scope="row">{clean(name)}</th>'
        for kind in (TOTAL, *used):
            count = counts.get(kind, 0)
            yield f'<td title="{count}">{count_text(count) if count else DASH}</td>'
        yield "</tr></tbody>"
    yield "</table></div>"
