"""What ``edgekit convert`` shows when it is done."""

from __future__ import annotations

import click

from edgekit.artifact import Artifact, Conversion
from edgekit.cli.table import aligned, size_text


def print_table(conversion: Conversion) -> None:
    """One line a file: size, how far it is from the original, and the verdict."""
    if not conversion.artifacts:
        return
    header = ("file", "size", "gzipped", "rel. error", "same top-1", "verdict")
    for line in aligned([header, *map(_row, conversion.artifacts)], left=(0, 5)):
        click.echo(line)
    for artifact in conversion.artifacts:
        for note in artifact.notes:
            click.echo(f"{artifact.path.name}: {note}")
        if artifact.verification.reason:
            click.echo(f"{artifact.path.name}: {artifact.verification.reason}")


def _row(artifact: Artifact) -> tuple[str, ...]:
    checked = artifact.verification
    agreement = checked.argmax_agreement
    verdict: str = checked.status
    if checked.samples:
        kind = "random samples" if checked.random else "samples"
        if checked.unseen < checked.samples and not checked.random:
            kind += f", {checked.unseen} not calibrated on"
        verdict = f"{checked.status} ({checked.samples} {kind})"
    return (
        str(artifact.path),
        size_text(artifact.size_bytes),
        size_text(artifact.gzip_bytes),
        "-" if checked.relative_error is None else f"{checked.relative_error:.2g}",
        "-" if agreement is None else f"{agreement:.1%}",
        verdict,
    )
