"""Results as a benchmark would give, made up: to test what is said of results, and reports.

The noise is as it was seen on machines that have other work to do: processes differ by a percent
(`between`), some are disturbed (`tail`), samples within a process scatter and have a tail of their
own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.random import Generator

from edgekit_benchmarks.result import BenchmarkResult, InputRecord, Row, StartRecord, TargetRecord

STARTED = "2026-01-02T03:04:05+00:00"
FACTS: dict[str, Any] = {
    "model": "Raspberry Pi 4 Model B Rev 1.4",
    "cpu": "ARM Cortex-A72",
    "features": ["asimd", "crc32"],
    "cores_online": 4,
    "affinity": [0, 1, 2, 3],
    "governor": "performance",
    "frequency_khz": {"min": 600_000, "max": 1_500_000, "current": 1_500_000},
    "turbo": "unknown",
    "kernel": "6.6.31+rpt-rpi-v8",
    "machine": "aarch64",
    "bits": 64,
    "python": "3.11.2",
    "throttled": {"now": [], "since_boot": [], "raw": 0},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Noise:
    """How a machine disturbs measurements; shares, so 0.01 is a percent."""

    between: float = 0.01
    """Standard deviation of the logarithms of the processes' medians."""
    tail: float = 0.1
    """Of so many processes something else slows all samples …"""
    tail_by: float = 0.1
    """… by so much, on average."""
    within: float = 0.02
    """Standard deviation of the logarithms of the samples of one process."""

    def processes(self, random: Generator, count: int) -> list[float]:
        """A factor for each process."""
        logs = random.normal(0, self.between, count)
        disturbed = random.random(count) < self.tail
        return [
            float(one) for one in np.exp(logs + disturbed * random.exponential(self.tail_by, count))
        ]

    def samples(self, random: Generator, median_ns: float, count: int) -> tuple[int, ...]:
        """Samples of one process in nanoseconds; one in a hundred takes up to twice as long."""
        logs = random.normal(0, self.within, count)
        late = (random.random(count) < 0.01) * random.random(count)
        return tuple(int(one) for one in np.rint(median_ns * np.exp(logs) * (1 + late)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Simulated:
    """A row to be; every number of it comes from `seed`."""

    seed: int = 0
    name: str = "mnist"
    precision: str = "int8"
    format: str = "tflite"
    target: str = "local"
    threads: int = 1
    median_ns: float = 1e6
    processes: int = 9
    samples: int = 40
    """In each process."""
    starts: int = 5
    size_bytes: int = 110_920
    memory_bytes: float = 3e6
    speed: float = 1.0
    """Of the machine: its own loop takes as much less."""
    noise: Noise = field(default_factory=Noise)
    more: Mapping[str, Any] = field(default_factory=dict)
    """Further fields of `Row`."""

    def row(self) -> Row:
        """The row."""
        random = np.random.default_rng(self.seed)
        factors = self.noise.processes(random, self.processes)
        given: dict[str, Any] = {
            "path": f"models/{self.name}.{self.precision}.{self.format}",
            "name": self.name,
            "sha256": "ab" * 32,
            "size_bytes": self.size_bytes,
            "gzip_bytes": self.size_bytes * 3 // 4,
            "format": self.format,
            "precision": self.precision,
            "target": self.target,
            "threads": self.threads,
            "runtime": "ai-edge-litert 2.3.0",
            "input": InputRecord(source="test.npz", sha256="cd" * 32),
            "samples_ns": tuple(
                self.noise.samples(random, self.median_ns * factor / self.speed, self.samples)
                for factor in factors
            ),
            "reference_ns": tuple(
                tuple(int(90_000 / self.speed * one) for one in np.exp(random.normal(0, 0.01, 10)))
                for _ in factors
            ),
            "starts": tuple(self._start(random) for _ in range(self.starts)),
            "memory_read_from": "VmHWM",
        }
        return Row(**(given | dict(self.more)))

    def _start(self, random: Generator) -> StartRecord:
        page = 4096
        model = round(self.memory_bytes * float(np.exp(random.normal(0, 0.003))) / page) * page
        imported = 30_000_000 // page * page
        return StartRecord(
            import_ns=int(2e8 * float(np.exp(random.normal(0, 0.05)))),
            load_ns=int(1e6 * float(np.exp(random.normal(0, 0.05)))),
            first_inference_ns=int(3 * self.median_ns * float(np.exp(random.normal(0, 0.05)))),
            after_import_bytes=imported,
            after_load_bytes=imported + model // 2,
            peak_memory_bytes=imported + model,
            model_memory_bytes=model,
        )


def simulated(*rows: Simulated, facts: Mapping[str, Any] = FACTS, **more: Any) -> BenchmarkResult:
    """A result with these rows; `more` are further fields of `BenchmarkResult`."""
    made: Sequence[Row] = [one.row() for one in rows]
    given: dict[str, Any] = {
        "started": STARTED,
        "command": ("edgekit", "bench"),
        "targets": {
            row.target: TargetRecord(
                url=row.target, facts=dict(facts), timer_ns=41, empty_call_ns=90
            )
            for row in made
        },
        "rows": tuple(made),
    }
    return BenchmarkResult(**(given | more))
