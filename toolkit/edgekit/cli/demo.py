"""``edgekit demo``."""

from __future__ import annotations

import json
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from edgekit.demo import Demo, DemoRow

_STEPS = 1 + 2 + 8 + 6 + 9 + 1


@click.command("demo")
@click.option(
    "-o",
    "--out",
    type=click.Path(path_type=Path),
    help="Keep the files in this folder.  [default: a temporary folder, removed at the end]",
)
@click.option("--force", is_flag=True, help="Replace existing files in that folder.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document on stdout.")
def command(out: Path | None, force: bool, as_json: bool) -> None:
    """Show the whole way on a bundled classifier and real images, offline, in about a minute.

    A Keras model trained on Fashion-MNIST becomes TFLite and ONNX files in four precisions. Each is
    verified against the original, scored on 2,000 test images, and timed on this machine.

    Example: edgekit demo -o demo
    """
    from edgekit import demo
    from edgekit.progress import Progress

    with ExitStack() as stack:
        folder = out or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="edgekit-")))
        with Progress(total=_STEPS) as progress:
            done = demo.run(folder, progress, force=force)
        if as_json:
            click.echo(json.dumps(_as_dict(done), indent=1))
        else:
            _print(done, kept=out)


def _print(done: Demo, *, kept: Path | None) -> None:
    from edgekit.cli.table import aligned

    header = ["", "size", "smaller", "accuracy [95 %]", "changed", "latency [95 %]", "verdict"]
    click.echo(
        f"Fashion-MNIST classifier, {done.evaluation.samples:,} test images; "
        "latency of one image on this machine, one thread"
    )
    for line in aligned([header, *(_row(row, done) for row in done.rows)], left=(0, 6)):
        click.echo(line)
    click.echo(
        "smaller: than the .keras file; changed: predictions that differ from Keras; faster: than\n"
        "float32 of the same format, by the 95 % interval over fresh processes"
    )
    if kept:
        click.echo(f"The files are in {kept}; look into one: edgekit inspect {kept}/*.int8.tflite")


def _row(row: DemoRow, done: Demo) -> list[str]:
    score = row.score
    assert score.accuracy is not None
    low, high = score.accuracy.interval.low, score.accuracy.interval.high
    accuracy = f"{score.accuracy.value:.1%} [{low:.1%}, {high:.1%}]"
    size = f"{score.size_bytes / 1000:.0f} kB"
    artifact, latency = row.artifact, row.latency
    if artifact is None or latency is None:
        return [f"Keras {Path(score.path).name}", size, "", accuracy, "", "", "the original"]
    against = score.against_first
    assert against is not None
    assert against.changed is not None
    assert row.baseline is not None
    whole = done.rows[0].score.size_bytes
    ends = " ".join(f"{end / 1000:.0f}" for end in latency.median_interval_ns())
    return [
        f"{artifact.format} {artifact.precision}",
        size,
        f"{whole / score.size_bytes:.1f}x",
        accuracy,
        f"{against.changed.count}",
        f"{latency.median_ns / 1000:.0f} us [{ends.replace(' ', ', ')}]",
        _verdict(row),
    ]


def _verdict(row: DemoRow) -> str:
    assert row.artifact is not None
    assert row.latency is not None
    assert row.baseline is not None
    status = {"passed": "verified"}.get(
        row.artifact.verification.status, row.artifact.verification.status
    )
    against = row.score.against_first
    if against is not None and against.is_significant:
        status += ", accuracy differs"
    if row.artifact.precision == "float32":
        return status
    ratio = row.latency.ratio_to(row.baseline)
    if ratio.verdict == "no difference shown":
        return f"{status}, no speed-up shown"
    times = 1 / ratio.value if ratio.verdict == "faster" else ratio.value
    return f"{status}, {times:.1f}x {ratio.verdict}"


def _as_dict(done: Demo) -> dict[str, object]:
    return {
        "schema_version": 1,
        "conversion": done.conversion.to_dict(),
        "evaluation": done.evaluation.to_dict(),
        "latency": [
            {
                "path": str(row.artifact.path),
                "threads": 1,
                "p50_ns": row.latency.median_ns,
                "p50_low_ns": row.latency.median_interval_ns()[0],
                "p50_high_ns": row.latency.median_interval_ns()[1],
            }
            for row in done.rows
            if row.artifact is not None and row.latency is not None
        ],
    }
