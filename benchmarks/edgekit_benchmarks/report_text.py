"""A result for the terminal: the machines, a line for each row, and what speaks against them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator

from edgekit.cli.table import aligned, printable
from edgekit_benchmarks.report_accuracy import accuracy_text
from edgekit_benchmarks.report_environment import interval_heading
from edgekit_benchmarks.report_numbers import duration, enclosed, share, size
from edgekit_benchmarks.report_rows import (
    against,
    emulated_text,
    file_names,
    instructions_told,
    is_emulated,
    names,
    own_doubts,
    reasons,
    shared_doubts,
    threads_text,
)
from edgekit_benchmarks.report_verdict import sentences
from edgekit_benchmarks.result import BenchmarkResult, Row

_MOST_KINDS = 6


def lines(result: BenchmarkResult) -> list[str]:
    """What ``edgekit bench`` prints; nothing in it steers the terminal."""
    return [printable(line) for line in _lines(result)]


def _lines(result: BenchmarkResult) -> Iterator[str]:
    yield from (_machine(result, name) for name in result.targets)
    if result.rows:
        table = _table(result)
        last = len(table[0]) - 1
        yield from aligned(table, left=(0, last) if table[0][last] == "against" else (0,))
    yield from (f"INVALID: {text}" for text in reasons(result))
    yield from _doubts(result)
    yield from sentences(result)
    yield from (f"Instructions, {name}: {text}" for name, text in instructions_told(result))
    yield from _operators(result)
    yield from _agreement(result)


def _machine(result: BenchmarkResult, name: str) -> str:
    """``pi4: Raspberry Pi 4 Model B Rev 1.4, ARM Cortex-A72, 4 cores, governor performance, …``."""
    facts = result.targets[name].facts
    form = {
        "model": "{}",
        "cpu": "{}",
        "cores_online": "{} cores",
        "governor": "governor {}",
        "temperature_c": "{} °C",
        "kernel": "Linux {}",
    }
    known = [
        words.format(facts[key])
        for key, words in form.items()
        if facts.get(key) not in {None, "", "unknown"}
    ]
    runtimes = dict.fromkeys(row.runtime for row in result.rows if row.target == name)
    return f"{name}: {', '.join([*known, *runtimes]) or 'nothing is known'}"


def _table(result: BenchmarkResult) -> list[list[str]]:
    """Columns that are empty throughout are left out."""
    files, named = file_names(result), names(result)
    several = len(result.targets) > 1

    def compared(number: int) -> str:
        found = against(result, number)
        return "" if found is None else f"{found.text} vs {named[found.to]}"

    columns: list[tuple[str, Callable[[int, Row], str]]] = [
        ("file", lambda number, _: files[number]),
        ("target", lambda _, row: row.target if several else ""),
        ("threads", lambda _, row: str(row.threads)),
        ("size", lambda _, row: size(row.size_bytes)),
        (f"p50 {interval_heading(result)}", lambda _, row: _median(result, row)),
        ("p90", lambda _, row: _time(result, row, _percentile(row, 90))),
        ("load", lambda _, row: _time(result, row, row.of_starts("load_ns"))),
        ("first", lambda _, row: _time(result, row, row.of_starts("first_inference_ns"))),
        ("prepare", lambda _, row: _time(result, row, row.preprocess_ns)),
        ("end to end", lambda _, row: _time(result, row, row.end_to_end_ns)),
        ("peak", lambda _, row: _memory(result, row, "peak_memory_bytes")),
        ("model", lambda _, row: _memory(result, row, "model_memory_bytes")),
        ("accuracy", lambda _, row: accuracy_text(row)),
        ("against", lambda number, _: compared(number)),
    ]
    cells = [[title for title, _ in columns]]
    cells += [[cell(number, row) for _, cell in columns] for number, row in enumerate(result.rows)]
    keep = [i for i in range(len(columns)) if any(row[i] for row in cells[1:])]
    return [[row[i] for i in keep] for row in cells]


def _percentile(row: Row, percent: float) -> float | None:
    found = row.of_percentile(percent)
    return None if found is None else found.value


def _median(result: BenchmarkResult, row: Row) -> str:
    if is_emulated(result, row):
        return emulated_text(row)
    found = row.of_percentile(50)
    assert found is not None
    return enclosed(found) if row.valid else f"INVALID {enclosed(found)}"


def _time(result: BenchmarkResult, row: Row, value_ns: float | None) -> str:
    return "" if value_ns is None or is_emulated(result, row) else duration(value_ns)


def _memory(result: BenchmarkResult, row: Row, name: str) -> str:
    value = row.of_starts(name)
    return "" if value is None or is_emulated(result, row) else size(value)


def _doubts(result: BenchmarkResult) -> Iterator[str]:
    """All but the reasons for being INVALID."""

    def mild(texts: tuple[str, ...]) -> list[str]:
        return [text for text in dict.fromkeys(texts) if not text.startswith("INVALID")]

    for name, target in result.targets.items():
        if told := mild(target.doubts):
            yield f"Doubts, {name}: {'; '.join(told)}"
    if told := mild(shared_doubts(result)):
        yield f"Doubts, all rows: {'; '.join(told)}"
    for name, row in zip(names(result), result.rows, strict=True):
        if told := mild(own_doubts(result, row)):
            yield f"Doubts, {name}: {'; '.join(told)}"


def _operators(result: BenchmarkResult) -> Iterator[str]:
    """Which kinds of operators take the time of each row."""
    for name, row in zip(names(result), result.rows, strict=True):
        if row.operators is None:
            continue
        shares: dict[str, float] = {}
        counts = Counter(str(one.get("operator")) for one in row.operators)
        for one in row.operators:
            kind = str(one.get("operator"))
            shares[kind] = shares.get(kind, 0.0) + float(one.get("share") or 0)
        ordered = sorted(shares, key=lambda kind: -shares[kind])
        told = [f"{share(shares[kind])} {kind} ({counts[kind]})" for kind in ordered[:_MOST_KINDS]]
        if len(ordered) > _MOST_KINDS:
            told.append(f"{share(sum(shares[kind] for kind in ordered[_MOST_KINDS:]))} others")
        yield f"Operators, {name}: {', '.join(told)}"


def _agreement(result: BenchmarkResult) -> Iterator[str]:
    """How well the tries of ``--replicate`` agree."""
    for told in result.settings.get("tries", ()):
        outcome = "replicated" if told["passed"] else "NOT REPLICATED"
        medians = ", ".join(duration(one) for one in told["p50_ns"])
        yield (
            f"{outcome}: {told['path']}, {threads_text(told['threads'])} on {told['target']}: "
            f"{medians}, up to {share(told['off'])} from their median"
        )
