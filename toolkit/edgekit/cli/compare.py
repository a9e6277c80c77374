"""``edgekit compare``."""

from __future__ import annotations

import json
from collections.abc import Sequence
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, Protocol

import click

from edgekit.errors import MissingDependencyError
from edgekit.outputs import check_outputs


class Compared(Protocol):
    """What the plug-in of the group ``edgekit.benchmarks`` called ``compare`` returns."""

    exit_code: int
    lines: tuple[str, ...]
    warnings: tuple[str, ...]

    def write_junit(self, path: Path, *, force: bool) -> None:
        """JUnit XML."""

    def write_markdown(self, path: Path, *, force: bool) -> None:
        """A comment for a pull request."""

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""


class CompareFiles(Protocol):
    """That plug-in."""

    def __call__(
        self,
        before: Path,
        after: Path,
        *,
        max_regress: Sequence[str],
        allow_other_machine: bool,
    ) -> Compared:
        """Read two results, compare them, and apply the gate."""


@click.command("compare")
@click.argument("before", metavar="A.json", type=click.Path(path_type=Path))
@click.argument("after", metavar="B.json", type=click.Path(path_type=Path))
@click.option(
    "--max-regress",
    multiple=True,
    metavar="METRIC=LIMIT",
    help="Fail when B is worse by more: p50=5%, p90, p99, load, first, memory, peak, size, gzip; "
    "accuracy=0.5pt. Repeat it, or separate by commas.",
)
@click.option(
    "--junit", type=click.Path(path_type=Path), metavar="FILE", help="Write JUnit XML for CI."
)
@click.option(
    "--markdown",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write a comment for a pull request.",
)
@click.option(
    "--allow-other-machine",
    is_flag=True,
    help="Compare although the machines, their settings or the runtimes differ.",
)
@click.option("--force", is_flag=True, help="Replace existing files.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document on stdout.")
@click.pass_context
def command(
    ctx: click.Context,
    before: Path,
    after: Path,
    max_regress: tuple[str, ...],
    junit: Path | None,
    markdown: Path | None,
    allow_other_machine: bool,
    force: bool,
    as_json: bool,
) -> None:
    """Compare two results of edgekit bench, A.json the earlier, statistically.

    Rows are matched by model, precision, format, target and threads. A difference is shown only
    where the 95 % interval of the ratio says so, by more than 3 % for times and 1 % for memory.

    Exit code: 0 fine; 1 a limit is broken; 2 usage, and results of different machines; 3 a
    measurement must not be trusted, or too little was measured to decide.

    Example: edgekit compare main.json branch.json --max-regress p50=5%,size=1%
    """
    check_outputs([path for path in (junit, markdown) if path is not None], [before, after])
    compared = _plug_in()(
        before, after, max_regress=max_regress, allow_other_machine=allow_other_machine
    )
    if junit is not None:
        compared.write_junit(junit, force=force)
    if markdown is not None:
        compared.write_markdown(markdown, force=force)
    if as_json:
        click.echo(json.dumps(compared.to_dict(), indent=1, allow_nan=False))
    else:
        for line in compared.lines:
            click.echo(line)
    for warning in compared.warnings:
        click.echo(f"Note: {warning}", err=True)
    ctx.exit(compared.exit_code)


def _plug_in() -> CompareFiles:
    found = list(entry_points(group="edgekit.benchmarks", name="compare"))
    if not found:
        message = "edgekit: the benchmarks are not installed; run: pip install '.[bench]'"
        raise MissingDependencyError(message)
    plug_in: CompareFiles = found[0].load()
    return plug_in
