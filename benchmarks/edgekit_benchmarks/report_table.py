"""The table of the page, with the doubts of each row below its numbers."""

from __future__ import annotations

import re
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
    size_unit,
    time_unit,
)
from edgekit_benchmarks.report_rows import (
    EMULATED,
    against,
    apart,
    file_names,
    is_emulated,
    machine,
    own_doubts,
    shared_doubts,
    smaller,
)
from edgekit_benchmarks.report_verdict import is_trusted
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
        return f'<span class="time">{_with_interval(enclosed(found, self.unit))}</span>'


def table(result: BenchmarkResult) -> Iterator[str]:
    """The lines of the table."""
    timed = [row for row in result.rows if not is_emulated(result, row)]
    columns = _columns(timed)
    sizes = size_unit(row.size_bytes for row in result.rows)
    several = len(result.rows) > 1
    accuracy = any(row.accuracy for row in result.rows)
    ahead = ["threads", f"size, {sizes.name}"]
    verdicts = several or not is_trusted(result)
    behind = [*(["accuracy, %"] if accuracy else []), *(["verdict"] if verdicts else [])]
    count = 1 + len(ahead) + len(columns) + len(behind)
    yield '<div class="wide"><table class="results">'
    yield "<thead><tr>"
    yield f'<th scope="col" class="left">file</th>{_headings(ahead)}'
    yield _headings(column.title for column in columns)
    yield "".join(
        f'<th scope="col"{" class=left" if one == "verdict" else ""}>{one}</th>' for one in behind
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
            yield f'<th scope="rowgroup" colspan="{count}">{told}</th></tr>'
            yield from _doubts_below(result.targets[row.target].doubts, count)
            yield "</tbody>"
        chip = f'<span class="chip {colour(order[row.path])}" aria-hidden="true"></span>'
        yield '<tbody class="row"><tr>'
        told = clean(f"{row.runtime}, sha256 {row.sha256[:12]}")
        yield f'<th scope="row" title="{told}">{chip}{_breakable(files[i])}</th>'
        yield f"<td>{row.threads}</td><td>{sizes.text(row.size_bytes)}</td>"
        yield _measured(result, row, columns)
        if accuracy:
            yield f"<td>{_with_interval(accuracy_text(row).replace(' %', '') or DASH)}</td>"
        if verdicts:
            yield f'<td class="words">{_verdict(result, i, files)}</td>'
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
    peaks = [row.of_starts("peak_memory_bytes") or 0 for row in rows]
    columns = [_Column(heading=heading, unit=_unit(found)) for heading, found in named]
    return [*columns, _Column(heading="peak memory", unit=size_unit(peaks))]


def _unit(found: Sequence[Enclosed | float | None]) -> Unit | None:
    values = [one.value if isinstance(one, Enclosed) else one for one in found if one is not None]
    if not values or max(values) > _SPREAD * min(values):
        return None
    return time_unit(values)


def _measured(result: BenchmarkResult, row: Row, columns: Sequence[_Column]) -> str:
    if is_emulated(result, row):
        return f'<td class="left" colspan="{len(columns)}">{EMULATED}</td>'
    p50, p90, p99, load, first, memory = columns
    peak = row.of_starts("peak_memory_bytes")
    cells = [
        p50.enclosed(row.of_percentile(50)),
        _value(p90, row.of_percentile(90)),
        _value(p99, row.of_percentile(99)),
        load.text(row.of_starts("load_ns")),
        first.text(row.of_starts("first_inference_ns")),
        memory.text(peak),
    ]
    return "".join(f"<td{'' if row.valid else ' class=void'}>{cell}</td>" for cell in cells)


def _value(column: _Column, found: Enclosed | None) -> str:
    if found is None:
        return DASH
    told = clean(f"95 % interval {enclosed(found)}")
    return f'<span class="time" title="{told}">{column.text(found.value)}</span>'


def _verdict(result: BenchmarkResult, number: int, files: Sequence[str]) -> str:
    row = result.rows[number]
    if is_emulated(result, row):
        return DASH
    compared = against(result, number)
    if not row.valid or (compared is not None and compared.verdict == "invalid"):
        told = "INVALID" if not row.valid else "the reference is INVALID"
        return f'<span class="bad">{told}</span>'
    if compared is None:
        return '<span class="interval">the reference</span>' if len(result.rows) > 1 else DASH
    other = result.rows[compared.to]
    _, reference = apart(row, other, (files[number], files[compared.to]))
    told = clean(compared.text)
    if compared.verdict == "faster":
        told = f'<span class="gain">{told}</span>'
    than = "from" if compared.verdict == "no difference shown" else "than"
    parts = [told, clean(smaller(row, other))]
    than_what = f'<span class="interval">{than} {_breakable(reference)}</span>'
    return f"{', '.join(filter(None, parts))} {than_what}"


def _with_interval(text: str) -> str:
    value, found, interval = text.partition(" [")
    return f'{value} <span class="interval">[{interval}</span>' if found else text


def _breakable(name: str) -> str:
    """Escaped, with places where a long name may go on in the next line."""
    return re.sub(r"([._/-])", r"\1<wbr>", clean(name))


def _row_doubts(result: BenchmarkResult, row: Row, count: int) -> Iterator[str]:
    if not is_emulated(result, row):
        yield from _doubts_below(own_doubts(result, row), count)


def _doubts_below(texts: Sequence[str], count: int) -> Iterator[str]:
    if texts:
        told = "; ".join(_marked(text) for text in dict.fromkeys(texts))
        yield f'<tr class="doubts"><td colspan="{count}">{told}</td></tr>'


def doubts(result: BenchmarkResult) -> Iterator[str]:
    """Those that all rows share, and those of the target if there is one; else they have a line."""
    targets = list(result.targets.values())
    lines = list(dict.fromkeys(targets[0].doubts)) if len(targets) == 1 else []
    lines += [text for text in shared_doubts(result) if text not in lines]
    if lines:
        yield '<h3>Doubts about all of it</h3><ul class="note">'
        yield from (f"<li>{_marked(text)}</li>" for text in lines)
        yield "</ul>"


def _marked(text: str) -> str:
    before, found, after = text.partition(INVALID)
    if not found:
        return clean(text)
    return f'{clean(before)}<span class="bad">INVALID</span> {clean(after)}'
