"""What the reports say of rows: their names, what they are compared with, and the outcome."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath

from edgekit_benchmarks.doubts import INVALID
from edgekit_benchmarks.instructions import TOTAL, count_text, shares_text
from edgekit_benchmarks.ratio import TOO_FEW
from edgekit_benchmarks.report_numbers import duration, factor, factor_enclosed, is_number, share
from edgekit_benchmarks.result import BenchmarkResult, Row, TargetRecord

EMULATED = "emulated: not a timing"
_UNKNOWN = (None, "", "unknown")
_SAME_SIZE = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class Against:
    """A row compared with its reference."""

    row: int
    to: int
    value: float
    low: float
    high: float
    verdict: str

    @property
    def is_open(self) -> bool:
        """Whether nobody knows which is faster: no difference shown, or too few processes."""
        return self.verdict not in ("faster", "slower", "invalid")

    @property
    def text(self) -> str:
        """``2.9x [2.8, 3.0] faster``, with what the interval allows to say."""
        if self.verdict == "faster":
            return f"{self.inverse} faster"
        if self.verdict == "slower":
            return f"{factor_enclosed(self.value, self.low, self.high)} slower"
        if self.verdict == "invalid":
            return "INVALID"
        return f"{self.verdict}, {self.inverse}"

    @property
    def inverse(self) -> str:
        """How many times as fast, and the interval."""
        return factor_enclosed(1 / self.value, 1 / self.high, 1 / self.low)


def names(result: BenchmarkResult, *, is_short: bool = False) -> tuple[str, ...]:
    """A name for each row, no two alike: the file's, and what else tells rows apart.

    That is the folder where files are called the same, the threads and the target.

    Args:
        result: with the rows.
        is_short: leave out of the names of files what stands in all of them.
    """
    files = _without_common_parts(file_names(result)) if is_short else file_names(result)
    threads = len({row.threads for row in result.rows}) > 1
    targets = len({row.target for row in result.rows}) > 1
    found = []
    for file, row in zip(files, result.rows, strict=True):
        of_threads = f", {threads_text(row.threads)}" if threads else ""
        found.append(file + of_threads + (f" on {row.target}" if targets else ""))
    return _told_apart(found)


def file_names(result: BenchmarkResult) -> tuple[str, ...]:
    """The name of each row's file, with as much of its folder as tells files apart."""
    different = dict.fromkeys(row.path for row in result.rows)
    named = {}
    for path in different:
        parts = PurePath(path).parts or (path,)
        count = 1
        while count < len(parts) and any(
            PurePath(other).parts[-count:] == parts[-count:] for other in different if other != path
        ):
            count += 1
        named[path] = "/".join(parts[-count:]).replace("//", "/")
    return tuple(named[row.path] for row in result.rows)


def _without_common_parts(files: Sequence[str]) -> tuple[str, ...]:
    """``float32.tflite`` for ``mnist.float32.tflite``, if all others begin with ``mnist.``."""
    parts = {file: file.split(".") for file in files}
    while len(parts) > 1 and all(len(one) > 1 for one in parts.values()):
        for end in (0, -1):
            if len({one[end] for one in parts.values()}) == 1:
                parts = {file: one[1:] if end == 0 else one[:-1] for file, one in parts.items()}
                break
        else:
            break
    return tuple(".".join(parts[file]) for file in files)


def apart(row: Row, other: Row, files: tuple[str, str]) -> tuple[str, str]:
    """What to call two rows of a target, by nothing more than what tells them apart.

    Args:
        row: one.
        other: the other.
        files: what their files are called.
    """
    if row.path == other.path:
        return threads_text(row.threads), threads_text(other.threads)
    called = (row.precision, other.precision)
    if (row.name, row.format) != (other.name, other.format) or row.precision == other.precision:
        called = files
    if row.threads != other.threads:
        return (
            f"{called[0]} with {threads_text(row.threads)}",
            f"{called[1]} with {threads_text(other.threads)}",
        )
    return called


def _told_apart(found: Sequence[str]) -> tuple[str, ...]:
    counts, seen = Counter(found), Counter[str]()
    told = []
    for name in found:
        seen[name] += 1
        told.append(f"{name} ({seen[name]})" if counts[name] > 1 else name)
    return tuple(told)


def threads_text(threads: int) -> str:
    """``1 thread``, ``2 threads``."""
    return f"{threads} thread{'' if threads == 1 else 's'}"


def _threads(given: object) -> str:
    return threads_text(given) if isinstance(given, int) else "unknown threads"


def is_emulated(result: BenchmarkResult, row: Row) -> bool:
    """Whether its times say nothing about a device."""
    return result.targets[row.target].emulated


def emulated_text(row: Row) -> str:
    """What stands where other rows have their latency."""
    if row.instructions is None:
        return EMULATED
    return f"{count_text(row.instructions[TOTAL])} instructions ({EMULATED})"


def instructions_told(result: BenchmarkResult) -> tuple[tuple[str, str], ...]:
    """For each row whose instructions were counted its name, and what they are."""
    return tuple(
        (name, f"{count_text(row.instructions[TOTAL])}: {shares_text(row.instructions)}")
        for name, row in zip(names(result), result.rows, strict=True)
        if row.instructions is not None
    )


def machine(name: str, target: TargetRecord) -> str:
    """What a target is, in a few words."""
    facts = target.facts
    known = next((facts[key] for key in ("model", "cpu") if facts.get(key) not in _UNKNOWN), None)
    if known is None:
        return "this machine" if name == "local" else name
    short = re.sub(r" Rev [0-9.]+$", "", str(known))
    return short if name == "local" else f"{name} ({short})"


def against(result: BenchmarkResult, row: int) -> Against | None:
    """The row compared with its reference; None where there is none, or no timing.

    The reference is a row of the same target and threads: the float32 file of the same name and
    format, else the first float32 file of that name, else the first row of that name; where all
    files have names of their own, the first row. What is itself the reference for its number of
    threads is compared with the same file at the first number of threads. So the order of the
    files does not matter where one of them is float32, and nothing is compared with what differs
    in both file and threads.
    """
    to = _reference(result.rows, row)
    if to is None or is_emulated(result, result.rows[row]):
        return None
    for ratio in result.ratios:
        if (ratio.row, ratio.to) == (row, to):
            return Against(
                row=row,
                to=to,
                value=ratio.value,
                low=ratio.low,
                high=ratio.high,
                verdict=ratio.verdict,
            )
        if (ratio.row, ratio.to) == (to, row) and min(ratio.low, ratio.value) > 0:
            turned = {"faster": "slower", "slower": "faster"}
            return Against(
                row=row,
                to=to,
                value=1 / ratio.value,
                low=1 / ratio.high,
                high=1 / ratio.low,
                verdict=turned.get(ratio.verdict, ratio.verdict),
            )
    return None


def _reference(rows: Sequence[Row], row: int) -> int | None:
    own = rows[row]
    peers = [i for i, one in enumerate(rows) if one.target == own.target]
    is_model_each = len({rows[i].name for i in peers}) == len({rows[i].path for i in peers})
    alike = peers if is_model_each else [i for i in peers if rows[i].name == own.name]
    equals = [i for i in alike if rows[i].threads == own.threads]
    floats = [] if is_model_each else [i for i in equals if rows[i].precision == "float32"]
    if own.precision != "float32":
        floats = [i for i in floats if rows[i].format == own.format] or floats
    found = (floats or equals)[0]
    if found == row:
        found = next(i for i in peers if rows[i].path == own.path)
    return None if found == row else found


def smaller(row: Row, reference: Row) -> str:
    """The file's size compared with the reference's; empty where they are about the same."""
    ratio = reference.size_bytes / row.size_bytes if row.size_bytes else 1
    if abs(ratio - 1) <= _SAME_SIZE or not reference.size_bytes:
        return ""
    return f"{factor(ratio)} smaller" if ratio > 1 else f"{factor(1 / ratio)} larger"


def shared_doubts(result: BenchmarkResult) -> tuple[str, ...]:
    """What is said of every row alike, where there are several; each sentence once."""
    if len(result.rows) < 2:
        return ()
    return tuple(
        text
        for text in dict.fromkeys(result.rows[0].doubts)
        if all(text in row.doubts for row in result.rows)
    )


def own_doubts(result: BenchmarkResult, row: Row) -> tuple[str, ...]:
    """What is said of this row, and not of all, nor of its target."""
    shared = (*shared_doubts(result), *result.targets[row.target].doubts)
    return tuple(text for text in dict.fromkeys(row.doubts) if text not in shared)


def replication(result: BenchmarkResult) -> tuple[tuple[bool, str], ...]:
    """How well the tries of ``--replicate`` agree: for each row whether they do, and a sentence."""
    tries = result.settings.get("tries")
    told = []
    for one in tries if isinstance(tries, list | tuple) else ():
        given = one if isinstance(one, Mapping) else {}
        medians, off, passed = given.get("p50_ns"), given.get("off"), given.get("passed") is True
        if isinstance(medians, list | tuple) and is_number(off):
            found = ", ".join(duration(value) for value in medians if is_number(value))
            name = PurePath(str(given.get("path"))).name
            outcome = "replicated" if passed else "NOT REPLICATED"
            row = f"{name}, {_threads(given.get('threads'))} on {given.get('target')}"
            text = f"{outcome}: {row}: {found}, up to {share(off)} from their median"
            told.append((passed, text))
    return tuple(told)


def words(result: BenchmarkResult, compared: Against) -> tuple[str, str]:
    """The verdict, and the rest of the phrase: to what it was compared, and what of the size.

    ``2.9x [2.8, 3.0] faster`` and ``than float32 and 4.0x smaller``.
    """
    row, other = result.rows[compared.row], result.rows[compared.to]
    files = file_names(result)
    _, reference = apart(row, other, (files[compared.row], files[compared.to]))
    size = smaller(row, other)
    if compared.is_open:
        added = f", though {size}" if size else ""
        joined = "it from" if compared.verdict == TOO_FEW else "to"
        return compared.verdict, f"{joined} {reference}, {compared.inverse}{added}"
    return compared.text, f"than {reference}{f' and {size}' if size else ''}"


def reasons(result: BenchmarkResult) -> tuple[str, ...]:
    """Why something is INVALID; each sentence once, with the rows or targets that it is about.

    What an emulator says of its times is no reason: these are not shown.
    """
    named = names(result)
    found: dict[str, list[str]] = {}
    for name, target in result.targets.items():
        for text in target.doubts:
            if text.startswith(INVALID) and not target.emulated:
                found.setdefault(text.removeprefix(INVALID), []).append(name)
    for name, row in zip(named, result.rows, strict=True):
        if is_emulated(result, row):
            continue
        for text in row.doubts:
            if text.startswith(INVALID) and text not in result.targets[row.target].doubts:
                found.setdefault(text.removeprefix(INVALID), []).append(name)
    return tuple(f"{', '.join(dict.fromkeys(who))}: {text}" for text, who in found.items())
