"""What ``edgekit bench`` shows when it is done."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import PurePath
from typing import Any

import click

from edgekit.cli.table import aligned, printable, size_text

Document = Mapping[str, Any]
_UNITS = (("s", 1e9), ("ms", 1e6), ("µs", 1e3))


def print_table(result: Document) -> None:
    """The machines, a line for each row, and what speaks against the numbers.

    Args:
        result: as `BenchmarkResult.to_dict` gives it.
    """
    for name, target in result["targets"].items():
        click.echo(printable(_machine(name, target)))
    rows = result["rows"]
    if not rows:
        return
    notes = _Notes()
    for name, target in result["targets"].items():
        notes.add(f"{name}: " if len(result["targets"]) > 1 else "", target["doubts"])
    columns = _columns(result, notes)
    table = [[title for title, _ in columns]]
    table += [[cell(number) for _, cell in columns] for number in range(len(rows))]
    keep = [i for i in range(len(columns)) if i == 0 or any(row[i] for row in table[1:])]
    left = (0, len(keep) - 1) if keep[-1] == len(columns) - 1 else (0,)
    for line in aligned([[row[i] for i in keep] for row in table], left=left):
        click.echo(printable(line))
    for line in notes.lines:
        click.echo(printable(line))
    for told in result["settings"].get("tries", ()):
        click.echo(printable(_agreement(told)))


class _Notes:
    """Doubts, each said once and numbered."""

    def __init__(self) -> None:
        self._texts: list[str] = []
        self._general: list[str] = []

    def add(self, prefix: str, doubts: list[str]) -> None:
        """Those of a machine, which are about all its rows."""
        self._general += [prefix + doubt for doubt in doubts]

    def marks(self, doubts: list[str]) -> str:
        """``[1] [3]`` for those of a row."""
        marks = []
        for doubt in doubts:
            if any(said.endswith(doubt) for said in self._general):
                continue
            if doubt not in self._texts:
                self._texts.append(doubt)
            marks.append(f"[{self._texts.index(doubt) + 1}]")
        return " ".join(marks)

    @property
    def lines(self) -> list[str]:
        numbered = [f"[{number}] {text}" for number, text in enumerate(self._texts, 1)]
        return [*self._general, *numbered]


def _machine(name: str, target: Document) -> str:
    facts = target["facts"]

    def fact(key: str) -> str:
        value = facts.get(key)
        return "" if value in (None, "unknown") else str(value)

    cores = fact("cores_online")
    parts = [
        fact("model"),
        fact("cpu"),
        cores and f"{cores} processor{'' if cores == '1' else 's'}",
        fact("governor") and f"governor {fact('governor')}",
        fact("kernel") and f"Linux {fact('kernel')}",
        fact("temperature_c") and f"{fact('temperature_c')} °C",
    ]
    return f"{name}: {', '.join(filter(None, parts)) or 'nothing known'}"


def _columns(result: Document, notes: _Notes) -> list[tuple[str, Callable[[int], str]]]:
    """Titles, and what each column shows of the row of a number; empty columns are not shown."""
    rows = result["rows"]
    references = [_reference(rows, number) for number in range(len(rows))]
    ratios = {(one["row"], one["to"]): one for one in result["ratios"]}
    has_threads = len({row["threads"] for row in rows}) > 1
    has_targets = len({row["target"] for row in rows}) > 1

    def ratio(number: int) -> Document | None:
        return ratios.get((number, references[number]))

    def cell(name: str, text: Callable[[Any], str]) -> Callable[[int], str]:
        return lambda number: "" if rows[number][name] is None else text(rows[number][name])

    return [
        ("file", lambda number: PurePath(rows[number]["path"]).name),
        ("on", lambda number: rows[number]["target"] if has_targets else ""),
        ("threads", lambda number: str(rows[number]["threads"]) if has_threads else ""),
        ("size", cell("size_bytes", size_text)),
        ("p50 [95 %]", lambda number: _with_interval(rows[number])),
        ("p90", cell("p90_ns", _time)),
        ("load", cell("load_ns", _time)),
        ("first", cell("first_inference_ns", _time)),
        ("end to end", cell("end_to_end_ns", _time)),
        ("peak", cell("peak_memory_bytes", size_text)),
        ("model", cell("model_memory_bytes", size_text)),
        ("accuracy", cell("accuracy", lambda told: f"{told['value']:.2%}")),
        ("ratio [95 %]", lambda number: _ratio(ratio(number))),
        ("", lambda number: _verdict(rows[number], ratio(number))),
        ("doubts", lambda number: notes.marks(rows[number]["doubts"])),
    ]


def _reference(rows: list[Document], number: int) -> int:
    """What a row is compared with: the first file with as many threads; or its own first row."""
    own = rows[number]
    here = [i for i, row in enumerate(rows) if row["target"] == own["target"]]
    same = [i for i in here if rows[i]["threads"] == own["threads"]]
    return same[0] if same[0] != number else here[0]


def _with_interval(row: Document) -> str:
    low, high = row["p50_interval_ns"]
    unit, scale = _unit(row["p50_ns"])
    digits = _digits(row["p50_ns"] / scale)
    inside = f"{low / scale:.{digits}f}, {high / scale:.{digits}f}"
    return f"{row['p50_ns'] / scale:.{digits}f} {unit} [{inside}]"


def _time(nanoseconds: float) -> str:
    unit, scale = _unit(nanoseconds)
    return f"{nanoseconds / scale:.{_digits(nanoseconds / scale)}f} {unit}"


def _unit(nanoseconds: float) -> tuple[str, float]:
    return next((one for one in _UNITS if nanoseconds >= one[1]), _UNITS[-1])


def _digits(value: float) -> int:
    """Decimals that make three digits."""
    return 0 if value >= 99.95 else 1 if value >= 9.995 else 2


def _ratio(ratio: Document | None) -> str:
    if ratio is None:
        return ""
    return f"{ratio['value']:.3g} [{ratio['low']:.3g}, {ratio['high']:.3g}]"


def _verdict(row: Document, ratio: Document | None) -> str:
    if not row["valid"]:
        return "INVALID"
    return "" if ratio is None else str(ratio["verdict"])


def _agreement(told: Document) -> str:
    medians = ", ".join(_time(one) for one in told["p50_ns"])
    word = "passed" if told["passed"] else "FAILED"
    name = PurePath(told["path"]).name
    return (
        f"{word}: {name}, {told['threads']} threads on {told['target']}: {medians} "
        f"(up to {told['off']:.1%} from their median)"
    )
