"""This machine as a place to measure on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from edgekit.child import Child, Limits
from edgekit_benchmarks.samples import PROCESSES, Samples


class LocalHost:
    """Measures in a fresh child process on this machine."""

    name = "local"

    def latency(
        self,
        files: Sequence[Path],
        samples: Path,
        *,
        count: int = 6,
        threads: int = 1,
        limits: Limits | None = None,
        on_event: Callable[[str], None] | None = None,
    ) -> dict[Path, Samples]:
        """Latency of one inference of each file, taken in turn in each of several fresh processes.

        Args:
            files: .tflite and .onnx files that take the same inputs.
            samples: .npz with an array for each input, shape (n, *input shape).
            count: values for each file in each process.
            threads: of the runtime.
            limits: of the child process.
            on_event: told about the progress.

        Raises:
            EdgekitError: a file does not load or run.
        """
        runs = [
            self._run(files, samples, count, threads, limits, on_event) for _ in range(PROCESSES)
        ]
        return {file: Samples(tuple(tuple(run[str(file)]) for run in runs)) for file in files}

    def _run(
        self,
        files: Sequence[Path],
        samples: Path,
        count: int,
        threads: int,
        limits: Limits | None,
        on_event: Callable[[str], None] | None,
    ) -> dict[str, list[float]]:
        with Child("edgekit_benchmarks.latency_worker", limits=limits, on_event=on_event) as child:
            values: dict[str, list[float]] = child.call(
                "latency",
                paths=[str(file) for file in files],
                samples=str(samples),
                count=count,
                threads=threads,
            )
        return values
