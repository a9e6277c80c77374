"""The table of the page, with the doubts of each row below its numbers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from edgekit_benchmarks.doubts import INVALID
from edgekit_benchmarks.percentile import Enclosed
from edgekit_benchmarks.plot import clean, colour
from edgekit_benchmarks.report_markdown import accuracy_text
from edgekit_benchmarks.report_numbers import (
    DASH,
    Unit,
    duration,
    enclosed,
    size,
    time_unit,
)
from edgekit_benchmarks.report_rows import (
    EMULATED,
    against,
    file_names,
    is_emulated,
    machine,
    names,
    own_doubts,
    shared_doubts,
    smaller,
)
from edgekit_benchmarks.result import BenchmarkResult, Row

_SPREAD = 2000
"""Times further apart than that do not share a unit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Column:
    """A column of times, in one unit where that is legible."""

    heading: str
    unit: Unit | None

    @property
    def title(self) -> str:
        return self.heading if self.unit is None else f"{self.heading}, {self.unit.name}"

    def text(self, value: float | None) -> str:
        if value is None:
            return DASH
        return duration(value) if self.unit is None else self.unit.text(value)

    def enclosed(self, found: Enclosed | None) -> str:
        if found is None:
            return DASH
        value, _, interval = enclosed(found, self.unit).partition(" [")
        return f'{clean(value)} <span class="interval">[{clean(interval)}</span>'


def table(result: BenchmarkResult) -> Iterator[str]:
    """The lines of the table."""
    timed = [row for row in result.rows if not is_emulated(result, row)]
    columns = _columns(timed)
    several = len(result.rows) > 1
    accuracy = any(row.accuracy for row in result.rows)
    ahead = ["threads", "size"]
    behind = [*(["accuracy"] if accuracy else []), *(["against"] if several else [])]
    count = 1 + len(ahead) + len(columns) + 1 + len(behind)
    yield '<div class="wide"><table class="results">'
    yield "<thead><tr>"
    yield f'<th scope="col" class="left">file</th>{_headings(ahead)}'
    yield _headings(column.title for column in columns)
    yield _headings(["peak memory"])
    yield "".join(
        f'<th scope="col"{" class=left" if one == "against" else ""}>{one}</th>' for one in behind
    )
    yield "</tr></thead>"
    files = file_names(result)
    order = {path: i for i, path in enumerate(dict.fromkeys(row.path for row in result.rows))}
    before = ""
    for i, row in enumerate(result.rows):
        if len(result.targets) > 1 and row.target != before:
            before = row.target
            told = clean(machine(row.target, result.targets[row.target]))
            yield '<tbody class="target"><tr>'
            yield f'<th scope="rowgroup" colspan="{count}">{told}</th></tr></tbody>'
        chip = f'<span class="chip {colour(order[row.path])}" aria-hidden="true"></span>'
        yield '<tbody class="row"><tr>'
        yield f'<th scope="row">{chip}{clean(files[i])}</th>'
        yield f"<td>{row.threads}</td><td>{size(row.size_bytes)}</td>"
        yield _measured(result, row, columns)
        if accuracy:
            yield f"<td>{clean(accuracy_text(row) or DASH)}</td>"
        if several:
            yield f'<td class="words">{_against(result, i)}</td>'
        yield "</tr>"
        yield from _row_doubts(result, row, count)
        yield "</tbody>"
    yield "</table></div>"


def _headings(titles: Sequence[str] | Iterator[str]) -> str:
    return "".join(f'<th scope="col">{clean(title)}</th>' for title in titles)


def _columns(rows: Sequence[Row]) -> list[_Column]:
    p50, p90, p99 = ([row.of_percentile(percent) for row in rows] for percent in (50, 90, 99))
    loads = [row.of_starts("load_ns") for row in rows]
    firsts = [row.of_starts("first_inference_ns") for row in rows]
    named: list[tuple[str, Sequence[Enclosed | float | None]]] = [
        ("p50", p50),
        ("p90", p90),
        ("p99", p99),
        ("load", loads),
        ("first", firsts),
    ]
    return [_Column(heading=heading, unit=_unit(found)) for heading, found in named]


def _unit(found: Sequence[Enclosed | float | None]) -> Unit | None:
    values = [one.value if isinstance(one, Enclosed) else one for one in found if one is not None]
    if not values or max(values) > _SPREAD * min(values):
        return None
    return time_unit(values)


def _measured(result: BenchmarkResult, row: Row, columns: Sequence[_Column]) -> str:
    if is_emulated(result, row):
        return f'<td class="left" colspan="{len(columns) + 1}">{EMULATED}</td>'
    p50, p90, p99, load, first = columns
    peak = row.of_starts("peak_memory_bytes")
    mark = "" if row.valid else '<span class="bad">INVALID</span> '
    cells = [
        mark + p50.enclosed(row.of_percentile(50)),
        _value(p90, row.of_percentile(90)),
        _value(p99, row.of_percentile(99)),
        load.text(row.of_starts("load_ns")),
        first.text(row.of_starts("first_inference_ns")),
        DASH if peak is None else size(peak),
    ]
    return "".join(f"<td>{cell}</td>" for cell in cells)


def _value(column: _Column, found: Enclosed | None) -> str:
    if found is None:
        return DASH
    told = clean(f"95 % interval {enclosed(found)}")
    return f'<span title="{told}">{column.text(found.value)}</span>'


def _against(result: BenchmarkResult, number: int) -> str:
    compared = against(result, number)
    row = result.rows[number]
    if compared is None:
        return DASH if is_emulated(result, row) else '<span class="interval">the reference</span>'
    if compared.verdict == "invalid":
        return '<span class="bad">INVALID</span>'
    told = clean(compared.text)
    if compared.verdict == "faster":
        told = f'<span class="gain">{told}</span>'
    parts = [told, clean(smaller(row, result.rows[compared.to]))]
    than = "from" if compared.verdict == "no difference shown" else "than"
    named = clean(names(result)[compared.to])
    return f'{", ".join(filter(None, parts))} <span class="interval">{than} {named}</span>'


def _row_doubts(result: BenchmarkResult, row: Row, count: int) -> Iterator[str]:
    own = own_doubts(result, row)
    if own and not is_emulated(result, row):
        told = "; ".join(_marked(text) for text in own)
        yield f'<tr class="doubts"><td colspan="{count}">{told}</td></tr>'


def doubts(result: BenchmarkResult) -> Iterator[str]:
    """Those of the targets, and those that all rows share."""
    lines = [
        f"{name}: {text}" if len(result.targets) > 1 else text
        for name, target in result.targets.items()
        for text in dict.fromkeys(target.doubts)
    ]
    lines += [text for text in shared_doubts(result) if text not in lines]
    if lines:
        yield '<h3>Doubts about all rows</h3><ul class="note">'
        yield from (f"<li>{_marked(text)}</li>" for text in lines)
        yield "</ul>"


def _marked(text: str) -> str:
    before, found, after = text.partition(INVALID)
    if not found:
        return clean(text)
    return f'{clean(before)}<span class="bad">INVALID</span> {clean(after)}'
