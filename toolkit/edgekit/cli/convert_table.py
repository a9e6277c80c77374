"""What ``edgekit convert`` shows when it is done."""

from __future__ import annotations

import click

from edgekit.artifact import Artifact, Conversion

_STYLE = {"passed": "green", "drifted": "yellow", "unverified": "yellow"}


def print_table(conversion: Conversion) -> None:
    """One line a file: size, how far it is from the original, and the verdict."""
    if not conversion.artifacts:
        return
    rows: list[tuple[str, ...]] = [
        ("file", "size", "gzipped", "rel. error", "same top-1", "verdict")
    ]
    rows += [_row(artifact) for artifact in conversion.artifacts]
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for number, row in enumerate(rows):
        cells = [
            row[0].ljust(widths[0]),
            *(c.rjust(w) for c, w in zip(row[1:5], widths[1:5], strict=True)),
        ]
        verdict = row[5]
        if number:
            status = conversion.artifacts[number - 1].verification.status
            verdict = click.style(verdict, fg=_STYLE.get(status))
        click.echo("  ".join([*cells, verdict]).rstrip())
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
        verdict = f"{checked.status} ({checked.samples} {kind}, {checked.runtime})"
    return (
        str(artifact.path),
        _size(artifact.size_bytes),
        _size(artifact.gzip_bytes),
        "-" if checked.relative_error is None else f"{checked.relative_error:.2g}",
        "-" if agreement is None else f"{agreement:.1%}",
        verdict,
    )


def _size(size_bytes: int) -> str:
    if size_bytes < 10_000:
        return f"{size_bytes} B"
    return f"{size_bytes / 1000:,.0f} kB" if size_bytes < 1e7 else f"{size_bytes / 1e6:,.1f} MB"
