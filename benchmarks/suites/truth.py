#!/usr/bin/env python3
"""How often the harness is wrong: false alarms where nothing changed, and slow-downs it misses.

    python benchmarks/suites/truth.py MODEL.tflite [--repeats 100] [--time 5] [--json FILE]

Every repeat is a benchmark as `edgekit bench` makes it, of four rows that take turns in 9 fresh
processes: the file, the file again, and twice the file with a spinning loop after each inference
that adds 10 % and 3 % to it. So each repeat tells, by the ratios in turn:

- whether the file is called faster or slower than itself: at most 5 of 100;
- whether the 10 % are found: at least 95 of 100; and the 3 %: at least 80 of 100.

Each repeat is also compared with the one before, as `edgekit compare` compares two results of
different times, with the limits p50=5% and p99=5%. What changed nothing may fail in 5 of 100; how
many of the 10 % it finds (the rest is undecided) is told, not judged: it is up to the machine's
moods. Exit code 1: a bar is missed.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

from edgekit_benchmarks import gate
from edgekit_benchmarks.comparison import compare
from edgekit_benchmarks.device_worker import steady
from edgekit_benchmarks.device_worker.loaded import Loaded
from edgekit_benchmarks.plan import CHUNK_S, WARM_UP_S
from edgekit_benchmarks.ratio import paired
from edgekit_benchmarks.result import BenchmarkResult, InputRecord, Row, TargetRecord
from edgekit_benchmarks.samples import PROCESSES

FACTORS = {"file": 1.0, "again": 1.0, "10 %": 1.10, "3 %": 1.03}
LIMITS = ("p50=5%", "p99=5%")
BARS = {"again": ("no difference shown", 0.95), "10 %": ("slower", 0.95), "3 %": ("slower", 0.80)}


class Slowed(Loaded):
    """A file that takes a little longer, as its row says: the processor spins for the rest.

    With a factor of 1, too, the clock is asked: that costs all rows the same.
    """

    def bind(self, arrays: dict[str, Any]) -> None:
        """Prepare the inputs."""
        super().bind(arrays)
        factor, call, clock = self.row["factor"], self.call, time.perf_counter_ns

        def slowed(feed: Any) -> Any:
            begun = clock()
            made = call(feed)
            end = begun + (clock() - begun) * factor
            while clock() < end:
                pass
            return made

        self.call = slowed


def measure_here() -> None:
    """In the fresh process: what the worker does, with `Slowed` for its files."""
    vars(steady)[Loaded.__name__] = Slowed
    spec = json.loads(sys.stdin.readline())
    print(json.dumps(steady.measure(spec, lambda _: None)))


def one_process(model: Path, seconds: float, chunk_s: float, number: int) -> dict[str, Any]:
    """Latencies of all four, from one process."""
    names = list(FACTORS)
    ordered = names[number % 4 :] + names[: number % 4]
    rows = [
        {"key": name, "path": str(model), "runtime": "auto", "threads": 1, "factor": FACTORS[name]}
        for name in ordered
    ]
    spec = {
        "mode": "steady", "rows": rows, "inputs": None,
        "warm_up_s": WARM_UP_S, "chunk_s": chunk_s, "budget_s": seconds / PROCESSES,
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, __file__, "--measure"],
        input=json.dumps(spec),
        check=True,
        capture_output=True,
        text=True,
    )
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


def one_benchmark(model: Path, seconds: float, chunk_s: float) -> dict[str, Row]:
    """A row of each, from several processes."""
    answers = [one_process(model, seconds, chunk_s, number) for number in range(PROCESSES)]

    def each(name: str, key: str) -> tuple[tuple[float, ...], ...]:
        return tuple(tuple(answer["rows"][name][key]) for answer in answers)

    def each_count(name: str) -> tuple[int, ...]:
        return tuple(answer["rows"][name].get("preempted", 0) for answer in answers)

    return {
        name: Row(
            path=str(model),
            name=model.stem,
            sha256="",
            size_bytes=model.stat().st_size,
            format=model.suffix[1:],
            precision="",
            target="local",
            threads=1,
            runtime=answers[0]["rows"][name]["runtime"],
            input=InputRecord(source="random", random=True),
            samples_ns=each(name, "samples_ns"),
            chunks=each(name, "chunks"),
            preempted=each_count(name),
            reference_ns=tuple(tuple(answer["reference_ns"]) for answer in answers),
        )
        for name in FACTORS
    }


def result(row: Row) -> BenchmarkResult:
    """A result with this row alone."""
    return BenchmarkResult(started="", targets={"local": TargetRecord(url="local")}, rows=(row,))


def gated(before: Row, after: Row) -> tuple[str, str, str]:
    """What the limits say, and the verdict on the median."""
    comparison = compare(result(before), result(after))
    median, tail = gate.decide(comparison, gate.limits(LIMITS))
    return median.outcome, tail.outcome, comparison.rows[0].changes[0].verdict


def report(in_turn: dict[str, Counter[str]], between: dict[str, Counter[str]]) -> bool:
    """Print both; whether all bars are reached."""
    reached = True
    for name, (verdict, bar) in BARS.items():
        share = in_turn[name][verdict] / in_turn[name].total()
        reached &= share >= bar
        mark = "" if share >= bar else "   MISSED"
        print(f"in turn, {name:6} {dict(in_turn[name])}: {share:.1%}, bar {bar:.0%}{mark}")
    for name, outcomes in between.items():
        print(f"between runs, {name:6} {dict(outcomes)}")
    for limit in LIMITS:
        alarms = between[f"again: {limit}"]
        if alarms.total():
            share = alarms["failed"] / alarms.total()
            reached &= share <= 0.05
            print(f"between runs, false alarms of {limit}: {share:.1%}, bar 5%")
    return reached


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("--repeats", type=int, default=100)
    parser.add_argument("--time", type=float, default=5.0, help="seconds of samples for each row")
    parser.add_argument("--chunk", type=float, default=CHUNK_S, help="seconds of one turn")
    parser.add_argument("--json", type=Path, help="keep what was found here")
    given = parser.parse_args()
    in_turn: dict[str, Counter[str]] = {name: Counter() for name in BARS}
    between: dict[str, Counter[str]] = {
        f"{name}: {what}": Counter() for name in BARS for what in (*LIMITS, "verdict")
    }
    kept: list[dict[str, Any]] = []
    before: dict[str, Row] = {}
    begun = time.monotonic()
    for repeat in range(given.repeats):
        rows = one_benchmark(given.model, given.time, given.chunk)
        told: dict[str, Any] = {"p50_ns": {name: row.p50_ns for name, row in rows.items()}}
        first = rows["file"]
        for name in BARS:
            row = rows[name]
            chunks = (row.chunks, first.chunks)
            ratio = paired(row.samples_ns, first.samples_ns, chunks=chunks)
            in_turn[name][ratio.verdict] += 1
            told[name] = [ratio.value, ratio.low, ratio.high, ratio.verdict]
            if before:
                found = gated(before["file"], row)
                for what, one in zip((*LIMITS, "verdict"), found, strict=True):
                    between[f"{name}: {what}"][one] += 1
                told[f"{name} between runs"] = found
        before = rows
        kept.append(told)
        if given.json:
            given.json.write_text(json.dumps(kept, indent=1))
        if sys.stderr.isatty() or repeat % 10 == 9:
            elapsed = time.monotonic() - begun
            print(f"{repeat + 1} of {given.repeats}, {elapsed:.0f} s", file=sys.stderr)
    return 0 if report(in_turn, between) else 1


if __name__ == "__main__":
    if sys.argv[1:] == ["--measure"]:
        measure_here()
    else:
        sys.exit(main())
