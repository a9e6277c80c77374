"""The table of the page, with the doubts of each row below its numbers."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from edgekit_benchmarks.doubts import INVALID
from edgekit_benchmarks.plot import clean, colour
from edgekit_benchmarks.report_accuracy import accuracy_of, accuracy_text
from edgekit_benchmarks.report_columns import Column, columns, with_interval
from edgekit_benchmarks.report_numbers import DASH, size_unit
from edgekit_benchmarks.report_rows import (
    against,
    emulated_text,
    file_names,
    is_emulated,
    machine,
    own_doubts,
    shared_doubts,
    words,
)
from edgekit_benchmarks.report_verdict import is_trusted
from edgekit_benchmarks.result import BenchmarkResult, Row, TargetRecord


def table(result: BenchmarkResult) -> Iterator[str]:
    """The lines of the table."""
    measured = columns([row for row in result.rows if not is_emulated(result, row)])
    sizes = size_unit(row.size_bytes for row in result.rows)
    has_accuracy = any(map(accuracy_of, result.rows))
    has_verdict = len(result.rows) > 1 or not is_trusted(result)
    headings = ["threads", f"size, {sizes.name}", *(column.title for column in measured)]
    headings += ["accuracy, %"] if has_accuracy else []
    count = 1 + len(headings) + has_verdict
    yield '<div class="wide"><table class="results"><thead><tr>'
    yield '<th scope="col" class="left">file</th>'
    yield from (f'<th scope="col">{clean(heading)}</th>' for heading in headings)
    if has_verdict:
        yield '<th scope="col" class="left">verdict</th>'
    yield "</tr></thead>"
    files = file_names(result)
    order = {path: i for i, path in enumerate(dict.fromkeys(row.path for row in result.rows))}
    before = ""
    for i, row in enumerate(result.rows):
        if len(result.targets) > 1 and row.target != before:
            before = row.target
            yield from _target(result, row.target, count)
        own = () if is_emulated(result, row) else own_doubts(result, row)
        told = clean(f"{row.runtime}, sha256 {row.sha256[:12]}")
        chip = f'<span class="chip {colour(order[row.path])}" aria-hidden="true"></span>'
        yield '<tbody class="row"><tr>'
        yield f'<th scope="row" title="{told}">{chip}{_breakable(files[i])}</th>'
        yield f"<td>{row.threads}</td><td>{sizes.text(row.size_bytes)}</td>"
        yield _measured(result, row, measured)
        if has_accuracy:
            yield f"<td>{with_interval(accuracy_text(row).replace(' %', '') or DASH)}</td>"
        if has_verdict:
            tall = ' rowspan="2"' if own else ""
            yield f'<td class="words"{tall}>{_verdict(result, i)}</td>'
        yield "</tr>"
        yield from _doubts_below(own, count - has_verdict)
        yield "</tbody>"
    yield "</table></div>"


def doubts(result: BenchmarkResult) -> Iterator[str]:
    """Those that all rows share, and those of the target if there is one; else they have a line."""
    targets = list(result.targets.values())
    lines = list(_of_target(targets[0])) if len(targets) == 1 else []
    if not all(is_emulated(result, row) for row in result.rows):
        lines += [text for text in shared_doubts(result) if text not in lines]
    if lines:
        yield '<h3>Doubts about all of it</h3><ul class="note">'
        yield from (f"<li>{_marked(text)}</li>" for text in lines)
        yield "</ul>"


def _target(result: BenchmarkResult, name: str, count: int) -> Iterator[str]:
    told = clean(machine(name, result.targets[name]))
    yield f'<tbody class="target"><tr><th scope="rowgroup" colspan="{count}">{told}</th></tr>'
    yield from _doubts_below(_of_target(result.targets[name]), count)
    yield "</tbody>"


def _of_target(target: TargetRecord) -> tuple[str, ...]:
    """Its doubts; INVALID means nothing where there are no times anyway."""
    texts = dict.fromkeys(target.doubts)
    return tuple(text.removeprefix(INVALID) if target.emulated else text for text in texts)


def _measured(result: BenchmarkResult, row: Row, measured: Sequence[Column]) -> str:
    if is_emulated(result, row):
        return f'<td class="left" colspan="{len(measured)}">{clean(emulated_text(row))}</td>'
    kind = "" if row.valid else ' class="void"'
    return "".join(f"<td{kind}>{column.cell(row)}</td>" for column in measured)


def _verdict(result: BenchmarkResult, number: int) -> str:
    row = result.rows[number]
    if is_emulated(result, row):
        return DASH
    if not row.valid:
        return '<span class="bad">INVALID</span>'
    compared = against(result, number)
    if compared is None:
        return '<span class="interval">the reference</span>' if len(result.rows) > 1 else DASH
    if compared.verdict == "invalid":
        return '<span class="bad">its reference is INVALID</span>'
    told, rest = words(result, compared)
    kind = ' class="gain"' if compared.verdict == "faster" else ""
    return f"<span{kind}>{_breakable(told)}</span> {_breakable(rest)}"


def unbroken(text: str) -> str:
    """Escaped, with intervals that stay in one line."""
    return re.sub(r"\[([\d.,]+) ([\d.,]+)\]", r"[\1&nbsp;\2]", clean(text))


def _breakable(text: str) -> str:
    """The same, with places where a long name may go on in the next line."""
    return re.sub(r"(?<=\w)([._/-])(?=\D)", r"\1<wbr>", unbroken(text))


def _doubts_below(texts: Sequence[str], count: int) -> Iterator[str]:
    if texts:
        told = "; ".join(_marked(text) for text in dict.fromkeys(texts))
        yield f'<tr class="doubts"><td colspan="{count}">{told}</td></tr>'


def _marked(text: str) -> str:
    before, found, after = text.partition(INVALID)
    if not found:
        return clean(text)
    return f'{clean(before)}<span class="bad">INVALID</span> {clean(after)}'
