"""This machine as a place to measure on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from edgekit.child import Child, Limits
from edgekit_benchmarks.samples import Samples


class LocalHost:
    """Measures in a fresh child process on this machine."""

    name = "local"

    def latency(
        self,
        files: Sequence[Path],
        samples: Path,
        *,
        count: int = 60,
        threads: int = 1,
        limits: Limits | None = None,
        on_event: Callable[[str], None] | None = None,
    ) -> dict[Path, Samples]:
        """Latency of one inference of each file, the files measured in turn in one process.

        Args:
            files: .tflite and .onnx files that take the same inputs.
            samples: .npz with an array for each input, shape (n, *input shape).
            count: values for each file.
            threads: of the runtime.
            limits: of the child process.
            on_event: told about the progress.

        Raises:
            EdgekitError: a file does not load or run.
        """
        with Child("edgekit_benchmarks.latency_worker", limits=limits, on_event=on_event) as child:
            values = child.call(
                "latency",
                paths=[str(file) for file in files],
                samples=str(samples),
                count=count,
                threads=threads,
            )
        return {file: Samples(tuple(values[str(file)])) for file in files}
