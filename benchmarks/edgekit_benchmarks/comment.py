"""A comparison as Markdown, ready to be a comment on a pull request."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from edgekit_benchmarks.comparison import Comparison, RowChange
from edgekit_benchmarks.comparison_text import cells, headings, shown
from edgekit_benchmarks.gate import Decision
from edgekit_benchmarks.report_numbers import counted

MARK = "<!-- edgekit compare -->"
"""The first line, so that a script can find its comment again and replace it."""


def comment(comparison: Comparison, decisions: Sequence[Decision]) -> str:
    """The text of the comment."""
    return "\n".join(_lines(comparison, decisions)) + "\n"


def _lines(comparison: Comparison, decisions: Sequence[Decision]) -> Iterator[str]:
    yield MARK
    yield f"### {_title(comparison, decisions)}"
    yield ""
    bad = [decision for decision in decisions if decision.outcome != "passed"]
    for decision in bad:
        yield (
            f"- **{decision.outcome}**: {_cell(decision.row)}, limit {_cell(decision.limit.text)}: "
            f"{_cell(decision.text)}"
        )
    if bad:
        yield ""
    asked = {decision.limit.metric for decision in decisions}
    every = [change for row in comparison.rows for change in shown(row, asked)]
    yield f"| {' | '.join(['', *headings(every)])} |"
    yield "| --- | --- | ---: | ---: | ---: | --- |"
    for row in comparison.rows:
        yield from _rows(row, asked)
    yield ""
    yield from _remarks(comparison)
    yield from _details(comparison)


def _title(comparison: Comparison, decisions: Sequence[Decision]) -> str:
    outcomes = [decision.outcome for decision in decisions]
    if count := outcomes.count("failed"):
        return f"Benchmark: {count} of {len(outcomes)} limits broken"
    if count := outcomes.count("undecided"):
        return f"Benchmark: {count} of {len(outcomes)} limits undecided"
    if not comparison.valid:
        return "Benchmark: INVALID"
    if decisions:
        return f"Benchmark: within all {len(outcomes)} limits"
    return "Benchmark compared"


def _rows(row: RowChange, asked: set[str]) -> Iterator[str]:
    name = _cell(row.label) + (" (same file)" if row.is_same_file else "")
    for change in shown(row, asked):
        metric, *others = map(_cell, cells(change))
        if change.verdict in ("slower", "larger", "worse"):
            others[-1] = f"**{others[-1]}**"
        yield f"| {' | '.join([name, metric, *others])} |"
        name = ""


def _remarks(comparison: Comparison) -> Iterator[str]:
    remarks = [
        *(f"{row.label}: INVALID: {text}" for row in comparison.rows for text in row.invalid),
        *(f"only in the earlier result: {row.label}" for row in comparison.only_before),
        *(f"only in the later result: {row.label}" for row in comparison.only_after),
        *(f"not measured: {one.path}: {one.error}" for one in comparison.after.failures),
        *(f"another machine: {text}" for text in comparison.machines),
        *comparison.notes,
    ]
    yield from (f"- {_cell(text)}" for text in remarks)
    if remarks:
        yield ""


def _details(comparison: Comparison) -> Iterator[str]:
    yield "<details><summary>How this was measured</summary>"
    yield ""
    for name, target in comparison.after.targets.items():
        facts = target.facts
        known = (facts.get("model"), facts.get("cpu"), facts.get("governor"), facts.get("kernel"))
        told = ", ".join(str(one) for one in known if one not in (None, "unknown"))
        yield f"- {_cell(name)}: {_cell(told or 'unknown')}"
        yield from (f"- {_cell(name)}: {_cell(text)}" for text in target.doubts)
    for row in comparison.rows:
        counts = (
            f"{row.before.processes} and {counted(row.after.processes, 'process', 'processes')}"
        )
        samples = f"{row.before.sample_count:,} and {counted(row.after.sample_count, 'sample')}"
        yield f"- {_cell(row.label)}: {_cell(row.after.runtime)}; {counts}, {samples}"
        yield from (f"- {_cell(row.label)}: {_cell(text)}" for text in row.after.doubts)
    yield ""
    yield (
        "Ratio: after over before, the median over all pairs of processes, with its interval "
        "(Mann-Whitney). A verdict needs an interval 3 % away from 1 for times, 1 % for memory."
    )
    yield ""
    yield "</details>"


def _cell(text: str) -> str:
    """Names come from files and devices: nothing in them may be markup, or mention anybody."""
    line = "".join(c if c.isprintable() else " " for c in text)
    line = line.replace("&", "&amp;").replace("<", "&lt;").replace("@", "@\u200b")
    return re.sub(r"([\\`*_\[\]|~#!])", r"\\\1", line)
