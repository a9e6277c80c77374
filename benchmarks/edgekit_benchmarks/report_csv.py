"""A result as CSV: a line for each row, or for each raw sample; units in the names of columns."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator

from edgekit_benchmarks.instructions import CLASSES, TOTAL
from edgekit_benchmarks.report_numbers import is_number
from edgekit_benchmarks.report_remembered import remembered
from edgekit_benchmarks.report_rows import against, is_emulated
from edgekit_benchmarks.result import BenchmarkResult, Row

_FORMULA = ("=", "+", "-", "@")
_SAMPLE_COLUMNS = ("row", "process", "index", "t_ns", "sample_ns")

_Cell = str | float | None


def to_csv(result: BenchmarkResult) -> str:
    """One line for each row, with its statistics and without samples.

    Empty is what was not measured, what too few samples do not support, and every time and memory
    of an emulated target. `ratio` is the row's median over that of the row with the number
    `ratio_to`, counted from 0. Texts that a spreadsheet would take for a formula begin with an
    apostrophe.
    """
    known = remembered(result)
    written = io.StringIO()
    table = csv.writer(written, lineterminator="\n")
    lines = [_line(known, number, row) for number, row in enumerate(known.rows)]
    table.writerow(lines[0] if lines else ["path"])
    for line in lines:
        table.writerow(map(_cell, line.values()))
    return written.getvalue()


def samples_to_csv(result: BenchmarkResult) -> str:
    """One line for each sample: row and process from 0, index in the process, and two times.

    ``t_ns`` is when it began, on the clock of the target: when its chunk did, and the samples
    before it in the chunk; empty where that is not known. Emulated targets are left out.
    """
    lines = [",".join(_SAMPLE_COLUMNS)]
    for number, row in enumerate(result.rows):
        if not is_emulated(result, row):
            for process, samples in enumerate(row.samples_ns):
                stamps = begins(row, process)
                lines += [
                    f"{number},{process},{index},{'' if at is None else round(at)},{sample:.17g}"
                    for index, (sample, at) in enumerate(zip(samples, stamps, strict=True))
                ]
    return "\n".join(lines) + "\n"


def begins(row: Row, process: int) -> Iterator[float | None]:
    """When each sample of a process began, in ns on the target's clock; None where not known."""
    samples = row.samples_ns[process]
    stamps = row.stamps_ns[process] if process < len(row.stamps_ns) else ()
    counts = row.chunks[process] if process < len(row.chunks) else ()
    given = len(stamps) == len(counts) and sum(counts) == len(samples)
    if not given:
        yield from (None for _ in samples)
        return
    done = 0
    for stamp, count in zip(stamps, counts, strict=True):
        at = stamp
        for sample in samples[done : done + int(count)]:
            yield at
            at += sample * row.repeats
        done += int(count)


def _line(result: BenchmarkResult, number: int, row: Row) -> dict[str, _Cell]:
    target = result.targets[row.target]
    compared = against(result, number)
    line: dict[str, _Cell] = {
        "row": number,
        "path": row.path,
        "name": row.name,
        "format": row.format,
        "precision": row.precision,
        "target": row.target,
        "machine": str(target.facts.get("model", "unknown")),
        "cpu": str(target.facts.get("cpu", "unknown")),
        "emulated": _flag(target.emulated),
        "runtime": row.runtime,
        "threads": row.threads,
        "input": row.input.source,
        "size_bytes": row.size_bytes,
        "gzip_bytes": row.gzip_bytes,
        "processes": row.processes,
        "samples": row.sample_count,
        "repeats": row.repeats,
        **_measured(row),
        **_counts(row),
        "ratio_to": None if compared is None else compared.to,
        "ratio": None if compared is None else compared.value,
        "ratio_low": None if compared is None else compared.low,
        "ratio_high": None if compared is None else compared.high,
        "verdict": None if compared is None else compared.verdict,
        "accuracy_metric": _accuracy_text(row, "metric"),
        "accuracy": _accuracy(row, "value"),
        "accuracy_low": _accuracy(row, "low"),
        "accuracy_high": _accuracy(row, "high"),
        "valid": _flag(row.valid and target.valid),
        "doubts": " | ".join(dict.fromkeys((*target.doubts, *row.doubts))),
        "sha256": row.sha256,
        "started": result.started,
        "edgekit": result.edgekit,
    }
    if target.emulated:
        line |= dict.fromkeys(_measured(row))
    return line


def _measured(row: Row) -> dict[str, _Cell]:
    line: dict[str, _Cell] = {}
    for percent in (50, 90, 99):
        found = row.of_percentile(percent)
        line[f"p{percent}_ns"] = None if found is None else found.value
        line[f"p{percent}_low_ns"] = None if found is None else found.low
        line[f"p{percent}_high_ns"] = None if found is None else found.high
    line["throughput_per_s"] = row.throughput_per_s and round(row.throughput_per_s, 3)
    for name in ("import_ns", "load_ns", "first_inference_ns"):
        line[name] = row.of_starts(name)
    line["preprocess_ns"] = row.preprocess_ns
    line["end_to_end_ns"] = row.end_to_end_ns
    for name in ("peak_memory_bytes", "model_memory_bytes"):
        line[name] = row.of_starts(name)
    line["memory_read_from"] = row.memory_read_from
    return line


def _counts(row: Row) -> dict[str, _Cell]:
    counts = row.instructions or {}
    line: dict[str, _Cell] = {"instructions": counts.get(TOTAL)}
    return line | {f"instructions_{name}": counts.get(name) for name in CLASSES}


def _accuracy(row: Row, name: str) -> float | None:
    value = (row.accuracy or {}).get(name)
    return float(value) if is_number(value) else None


def _accuracy_text(row: Row, name: str) -> str | None:
    value = (row.accuracy or {}).get(name)
    return None if value is None else str(value)


def _flag(given: bool) -> str:
    return "true" if given else "false"


def _cell(value: _Cell) -> _Cell:
    if not isinstance(value, str):
        return value
    line = "".join(c if c.isprintable() else " " for c in value)
    return f"'{line}" if line.startswith(_FORMULA) else line
