"""A result as Markdown, to stand in a pull request or a wiki."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from edgekit_benchmarks.doubts import INVALID
from edgekit_benchmarks.report_accuracy import accuracy_of, accuracy_text
from edgekit_benchmarks.report_environment import confidence, environment, how, interval_heading
from edgekit_benchmarks.report_numbers import DASH, duration, enclosed, size
from edgekit_benchmarks.report_remembered import remembered
from edgekit_benchmarks.report_rows import (
    EMULATED,
    against,
    emulated_text,
    file_names,
    instructions_told,
    is_emulated,
    names,
    own_doubts,
    reasons,
    replication,
    shared_doubts,
    threads_text,
    words,
)
from edgekit_benchmarks.report_verdict import sentences
from edgekit_benchmarks.result import BenchmarkResult, Row

_HEADINGS = ("p90", "load", "first", "peak memory")


def to_markdown(result: BenchmarkResult) -> str:
    """What came out in sentences, a table, the doubts, and folded away how it was measured.

    Whatever comes from files and devices is text: it cannot be markup, nor mention anybody.
    """
    return "\n".join(_lines(remembered(result))) + "\n"


def _lines(result: BenchmarkResult) -> Iterator[str]:
    first, *others = map(_escaped, sentences(result))
    yield f"### {first}"
    yield ""
    for text in others:
        yield text
        yield ""
    invalid = reasons(result)
    yield from (f"- **INVALID** {_escaped(text)}" for text in invalid)
    if invalid:
        yield ""
    if result.rows:
        yield from _table(result)
        yield ""
    counts = [_escaped(f"{name}: {text}") for name, text in instructions_told(result)]
    if counts:
        yield f"Instructions of an inference, by class ({EMULATED}):"
        yield ""
        yield from (f"- {text}" for text in counts)
        yield ""
    tries = replication(result)
    yield from (f"- {_escaped(text)}" for _, text in tries)
    if tries:
        yield ""
    doubts = list(_doubts(result))
    if doubts:
        yield "Doubts:"
        yield ""
        yield from (f"- {_escaped(text)}" for text in doubts)
        yield ""
    yield from _details(result)


def _table(result: BenchmarkResult) -> Iterator[str]:
    accuracy = any(map(accuracy_of, result.rows))
    several, targets = len(result.rows) > 1, len(result.targets) > 1
    numbers = [
        "size",
        "threads",
        f"p50 {interval_heading(result)}",
        *_HEADINGS,
        *(["accuracy"] if accuracy else []),
    ]
    headings = [
        "file",
        *(["target"] if targets else []),
        *numbers,
        *(["against"] if several else []),
    ]
    flush = ["---:" if heading in numbers else "---" for heading in headings]
    yield _row(headings)
    yield _row(flush)
    files = file_names(result)
    for i, row in enumerate(result.rows):
        cells = [_escaped(files[i]), *([_escaped(row.target)] if targets else [])]
        cells += [size(row.size_bytes), str(row.threads), *_measured(result, row)]
        if accuracy:
            cells.append(accuracy_text(row) or DASH)
        if several:
            cells.append(_against(result, i))
        yield _row(cells)


def _measured(result: BenchmarkResult, row: Row) -> list[str]:
    if is_emulated(result, row):
        return [emulated_text(row), *[DASH] * 4]
    middle, high = row.of_percentile(50), row.of_percentile(90)
    mark = "" if row.valid else "**INVALID** "
    peak = row.of_starts("peak_memory_bytes")
    return [
        DASH if middle is None else f"{mark}{enclosed(middle)}",
        DASH if high is None else duration(high.value),
        *(
            DASH if value is None else duration(value)
            for value in (row.of_starts("load_ns"), row.of_starts("first_inference_ns"))
        ),
        DASH if peak is None else size(peak),
    ]


def _against(result: BenchmarkResult, row: int) -> str:
    compared = against(result, row)
    if compared is None:
        return DASH if is_emulated(result, result.rows[row]) else "the reference"
    if compared.verdict == "invalid":
        return "**INVALID**"
    return _escaped(" ".join(words(result, compared)))


def _doubts(result: BenchmarkResult) -> Iterator[str]:
    """All but the reasons for being INVALID, which stand on top."""
    for name, target in result.targets.items():
        for text in dict.fromkeys(target.doubts):
            if target.emulated or _is_mild(text):
                yield f"{name}: {text.removeprefix(INVALID)}"
    if any(not is_emulated(result, row) for row in result.rows):
        yield from (f"all: {text}" for text in shared_doubts(result) if _is_mild(text))
    for name, row in zip(names(result), result.rows, strict=True):
        own = () if is_emulated(result, row) else own_doubts(result, row)
        mine = [text for text in own if _is_mild(text)]
        if mine:
            yield f"{name}: {'; '.join(mine)}"
    for failure in result.failures:
        threads = "" if failure.threads is None else f", {threads_text(failure.threads)}"
        where = f"{failure.path}{threads} on {failure.target}".strip()
        yield f"not measured: {where}: {failure.error}"


def _is_mild(text: str) -> bool:
    return not text.startswith(INVALID)


def _details(result: BenchmarkResult) -> Iterator[str]:
    yield "<details><summary>How it was measured, and where</summary>"
    yield ""
    yield "| | |"
    yield "| --- | --- |"
    yield from (_row([_escaped(name), _escaped(text)]) for name, text in how(result))
    for name, target in result.targets.items():
        yield _row([f"**{_escaped(name)}**", ""])
        yield from (_row([_escaped(head), _escaped(text)]) for head, text in environment(target))
    yield ""
    if any(row.samples_ns for row in result.rows):
        yield (
            "Times are of one inference: giving the inputs, running, taking the outputs. The "
            f"interval holds the true median with {confidence(result)} confidence, whatever the "
            "distribution; a process is one observation, and all files took turns in each. Load "
            "and first inference, and memory, are medians of other fresh processes."
        )
    yield ""
    yield "</details>"


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _escaped(text: str) -> str:
    line = "".join(c if c.isprintable() else " " for c in text)
    line = line.replace("&", "&amp;").replace("<", "&lt;").replace("@", "@\u200b")
    return re.sub(r"([\\`*_\[\]|~#!])", r"\\\1", line)
