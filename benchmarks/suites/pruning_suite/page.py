"""The tables of docs/pruning.md, between two marks; the text around them is written by hand."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from .bars import LEAST_CUT, MOST_GZIP, MOST_LOST, MOST_LOST_WITH_ZEROS, Miss
from .floor import Floor
from .measure import CUT, Pair, Result, Span
from .numbers import signed

BEGIN = "<!-- measured: begin; written by benchmarks/suites/pruning.py -->"
END = "<!-- measured: end -->"
_NUMBER = re.compile(r"\d+(\.\d+)?")


def write(page: Path, tables: str) -> None:
    """Put `tables` between the marks of `page`."""
    text = page.read_text()
    before, found, rest = text.partition(BEGIN)
    _, ended, after = rest.partition(END)
    if not found or not ended:
        message = f"{page}: has not both marks, {BEGIN} and {END}"
        raise SystemExit(message)
    page.write_text(f"{before}{BEGIN}\n\n{tables}\n{END}{after}")


def tables(
    results: Sequence[Result],
    misses: Sequence[Miss],
    floors: Mapping[str, Sequence[Floor]],
    date: str,
) -> str:
    """Both tables, what is missed, and where it was measured, as Markdown."""
    first = results[0]
    doubts = _together({doubt for result in results for doubt in result.doubts})
    structured = [result for result in results if result.kind in CUT]
    others = [result for result in results if result.kind not in CUT]
    parts = [
        f"Measured {date} on {first.cpu}, {first.runtime}, one thread; p50 with the files of both "
        "models in turn, in nine fresh processes. In brackets: 95 % intervals."
    ]
    parts += [f"Doubts about the times: {'; '.join(doubts)}."] if doubts else []
    if structured:
        parts.append(structured_table(structured))
    if others:
        parts.append(zeros_table(others))
    parts.append(
        f"The bars: with half of the multiply-adds, {LEAST_CUT:.0%} less bytes and p50, and at "
        f"most {100 * MOST_LOST} points lost; with zeros and clusters, gzipped int8 files of at "
        f"most {MOST_GZIP:.0%} of the original's, and {100 * MOST_LOST_WITH_ZEROS:.0f} point lost."
    )
    parts.append(misses_table(misses, floors) if misses else "All are reached.")
    return "\n\n".join(parts) + "\n"


def _together(doubts: Iterable[str]) -> list[str]:
    """Doubts that differ in a number alone are one, from the least to the most."""
    numbers: dict[str, list[str]] = {}
    for doubt in doubts:
        found = _NUMBER.search(doubt)
        numbers.setdefault(_NUMBER.sub("{}", doubt, count=1), []).append(found[0] if found else "")
    told = []
    for text, given in sorted(numbers.items()):
        least, most = min(given, key=_value), max(given, key=_value)
        told.append(text.replace("{}", least if least == most else f"{least} to {most}", 1))
    return told


def _value(number: str) -> float:
    return float(number or 0)


def structured_table(results: Sequence[Result]) -> str:
    """Channels cut, to half of the multiply-adds or further: files, times and accuracy."""
    rows = [
        "| model | multiply-adds | file | bytes | p50 | accuracy | difference, points |",
        "| --- | ---: | --- | ---: | ---: | ---: | ---: |",
    ]
    for result in results:
        for pair in result.pairs:
            is_first = pair is result.pairs[0]
            what = f": {result.about}" if result.kind == "structured" else f" `{result.options}`"
            name = f"**{result.task}**{what}" if is_first else ""
            macs = f"{_count(result.macs[0])} → {_share(result.macs)}" if is_first else ""
            cells = [name, macs, pair.precision, _bytes(pair.size_bytes), _times(pair)]
            rows.append("| " + " | ".join([*cells, *_accuracy(pair)]) + " |")
    return "\n".join(rows)


def zeros_table(results: Sequence[Result]) -> str:
    """Four of five weights zero, and perhaps few numbers for the rest: files, raw and gzipped."""
    rows = [
        "| model | options | file | bytes | gzipped | p50 | accuracy | difference, points |",
        "| --- | --- | --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for result in results:
        for pair in result.pairs:
            options = result.options.partition("unstructured ")[2]
            is_first = pair is result.pairs[0]
            cells = [f"**{result.task}**", f"`{options}`"] if is_first else ["", ""]
            cells += [pair.precision, _bytes(pair.size_bytes), _bytes(pair.gzip_bytes)]
            rows.append("| " + " | ".join([*cells, _times(pair), *_accuracy(pair)]) + " |")
    return "\n".join(rows)


def misses_table(misses: Sequence[Miss], floors: Mapping[str, Sequence[Floor]]) -> str:
    """What is not reached, beside what no pruning can take."""
    rows = [
        "| not reached | file | what | with 2, 8 or 16 channels left in every group |",
        "| --- | --- | --- | --- |",
    ]
    for task, kind, precision in dict.fromkeys((m.task, m.kind, m.precision) for m in misses):
        of = (task, kind, precision)
        told = ", ".join(m.what for m in misses if (m.task, m.kind, m.precision) == of)
        floor = next((one for one in floors.get(task, ()) if one.precision == precision), None)
        least = ""
        if floor is not None and kind == "structured":
            size = signed(floor.size_share - 1, "+.0%")
            least = f"bytes {size}, p50 {signed(floor.ratio.value - 1, '+.0%')}"
        rows.append(f"| {task}, {kind} | {precision} | {told} | {least} |")
    return "\n".join(rows)


def _accuracy(pair: Pair) -> list[str]:
    before, after = (f"{100 * span.value:.2f} %" for span in pair.accuracy)
    return [f"{before} → {after}", _span(pair.difference, 100, "+.2f")]


def _times(pair: Pair) -> str:
    before, after = (value / 1000 for value in pair.p50_ns)
    digits = 0 if before >= 100 else 1
    told = f"{before:.{digits}f} → {after:.{digits}f} µs"
    change = Span(value=pair.ratio.value - 1, low=pair.ratio.low - 1, high=pair.ratio.high - 1)
    return f"{told}, {_span(change, 100, '+.0f', ' %')}"


def _bytes(pair: tuple[int, int]) -> str:
    before, after = pair
    return f"{_count(before)} → {_count(after)}, {signed(100 * (after / before - 1), '+.0f')} %"


def _count(number: int) -> str:
    if number >= 10_000_000:
        return f"{number / 1e6:.1f} M"
    if number >= 1_000_000:
        return f"{number / 1e6:.2f} M"
    return f"{number / 1e3:.0f} k" if number >= 10_000 else f"{number / 1e3:.1f} k"


def _share(pair: tuple[int, int]) -> str:
    return f"{100 * pair[1] / pair[0]:.0f} %"


def _span(span: Span, times: float, form: str, unit: str = "") -> str:
    value, low, high = (signed(times * one, form) for one in (span.value, span.low, span.high))
    return f"{value}{unit} ({low}..{high})"
