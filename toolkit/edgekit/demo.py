"""The whole way on a bundled model: convert, verify, score on real images, time, one table.

The classifier and the images come with edgekit; nothing is downloaded. See
``demo_files/README.md`` for what they are and their licence.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from edgekit import check_worker, conversion, data, scoring
from edgekit.artifact import Artifact, Conversion
from edgekit.child import Limits
from edgekit.errors import EdgekitError
from edgekit.evaluate_request import EvaluateRequest
from edgekit.evaluation import Evaluation, FileScore
from edgekit.host import Latency, host
from edgekit.preprocess import Preprocess
from edgekit.progress import Progress
from edgekit.recipe import Format, Precision
from edgekit.request import ConvertRequest
from edgekit.tensors import TensorSpec

FILES = Path(__file__).with_name("demo_files")
MODEL = FILES / "fashion.keras"
DATA = FILES / "fashion.npz"
LABELS = FILES / "labels.txt"
PREPROCESS = "scale=1/255"
FORMATS: tuple[Format, ...] = ("tflite", "onnx")
PRECISIONS: tuple[Precision, ...] = ("float32", "float16", "dynamic", "int8")

_TIMED_IMAGES = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoRow:
    """One file of the demo: the original (no artifact, not timed), or one made from it."""

    score: FileScore
    artifact: Artifact | None = None
    latency: Latency | None = None
    baseline: Latency | None = None
    """Of the float32 file of the same format."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Demo:
    """Everything the demo found out."""

    rows: tuple[DemoRow, ...]
    conversion: Conversion
    evaluation: Evaluation


def run(out: Path, progress: Progress, *, force: bool = False) -> Demo:
    """Convert the bundled model into the folder `out`, score and time every file.

    Raises:
        EdgekitError: something does not work on this machine; the message says what.
    """
    converted = conversion.run(
        ConvertRequest(
            source=MODEL,
            out=out,
            formats=FORMATS,
            precisions=PRECISIONS,
            calibrate=f"{DATA}:calibrate",
            preprocess=(PREPROCESS,),
            labels=tuple(LABELS.read_text(encoding="utf-8").splitlines()),
            force=force,
        ),
        progress,
    )
    if converted.failures:
        first = converted.failures[0]
        message = f"demo: {first.format} {first.precision}: {first.error}"
        raise EdgekitError(message)
    files = [artifact.path for artifact in converted.artifacts]
    evaluation = scoring.run(
        EvaluateRequest(
            files=(MODEL, *files),
            data=f"{DATA}:test",
            preprocess=(PREPROCESS,),
            limits=Limits(),
        ),
        progress,
    )
    progress.step("time the files in turn, one thread")
    latencies = _latencies(files, converted.artifacts[0].inputs[0], out, progress.detail)
    rows = [DemoRow(score=evaluation.files[0])]
    for artifact, score in zip(converted.artifacts, evaluation.files[1:], strict=True):
        baseline = out / f"{MODEL.stem}.float32.{artifact.format}"
        rows.append(
            DemoRow(
                score=score,
                artifact=artifact,
                latency=latencies[artifact.path],
                baseline=latencies[baseline],
            )
        )
    return Demo(rows=tuple(rows), conversion=converted, evaluation=evaluation)


def _latencies(
    files: list[Path], spec: TensorSpec, out: Path, on_event: Callable[[str], None]
) -> dict[Path, Latency]:
    dataset = data.open_data(
        f"{DATA}:test", [spec], preprocess={spec.name: Preprocess.parse(PREPROCESS)}
    )
    images = dataset.batch(np.arange(_TIMED_IMAGES))[spec.name]
    samples = out / ".demo-samples.npz"
    try:
        check_worker.save_arrays(str(samples), {spec.name: images[:, np.newaxis]})
        return dict(host("local").latency(files, samples, on_event=on_event))
    finally:
        samples.unlink(missing_ok=True)
