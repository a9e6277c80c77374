"""Whether model files give on other devices what they give here; a plug-in does the work."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, Protocol

from edgekit.benchmarking import AnyPath, plug_in, several
from edgekit.progress import Progress


class VerifyReport(Protocol):
    """What was found; see docs/json.md and `edgekit_benchmarks.verified`."""

    files: tuple[Any, ...]
    """Of each file ``path``, ``targets``, ``agrees``, ``error``."""
    notes: tuple[str, ...]

    @property
    def agrees(self) -> bool:
        """Whether everything ran, and is within the tolerances."""

    @property
    def errors(self) -> tuple[str, ...]:
        """What did not run, in words."""

    def to_dict(self) -> dict[str, Any]:
        """Plain data, as ``edgekit verify --json`` prints it."""


def verify(
    files: AnyPath | Sequence[AnyPath],
    *,
    on: str | Sequence[str] = (),
    data: AnyPath | None = None,
    preprocess: str | Sequence[str] = (),
    samples: int | None = None,
    threads: int = 1,
) -> VerifyReport:
    """Run files here and on targets, and compare what they give, bit by bit.

        report = edgekit.verify("mnist.int8.tflite", on="pi5")
        assert report.agrees

    Everywhere, the golden cases in a file are run and compared with what it gave where it was made.
    On targets, they and further samples are compared with what the file gives here. A difference
    is accepted within the tolerance that the file stores, or that follows from its precision.

    Args:
        files: ``.tflite`` and ``.onnx``.
        on: targets, as of `edgekit.bench`.
        data: where samples come from, a data source as on the command line; by default they are
            random numbers from a fixed seed.
        preprocess: how data becomes input; by default what the files say.
        samples: how many; 32 by default.
        threads: of the runtimes.

    Returns:
        The report; what failed on a target is in it.

    Raises:
        UsageError: a request that makes no sense; nothing to compare with.
        EdgekitError: the only file cannot be used.
    """
    given = {
        "files": several(files),
        "on": several(on),
        "data": None if data is None else os.fspath(data),
        "preprocess": several(preprocess),
        "samples": samples,
        "threads": threads,
    }
    report: VerifyReport = plug_in("verify")(given, Progress(total=1, enabled=False))
    return report
