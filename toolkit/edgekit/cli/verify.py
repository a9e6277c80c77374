"""``edgekit verify``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from edgekit.cli.amount import Amount
from edgekit.quote import escaped


@click.command("verify")
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--on",
    multiple=True,
    metavar="TARGET",
    help="Compare with what they give there: a name that 'edgekit targets' knows, "
    "ssh://user@host. Repeat it for several.  [default: only the golden cases, here]",
)
@click.option(
    "--data",
    metavar="DATA",
    help="Real inputs: FILE.npz[:SPLIT], .npy, .csv, a folder of images or .wav, or "
    "package.module:function.  [default: random numbers from a fixed seed]",
)
@click.option(
    "--preprocess",
    multiple=True,
    metavar="[INPUT:]STEPS",
    help="How DATA becomes input: scale=1/255, mean=…,std=…, -1..1, resize=96x96, none.  "
    "[default: what the files store]",
)
@click.option(
    "--samples",
    type=click.IntRange(min=1),
    metavar="N",
    help="Of DATA or random ones.  [default: 32]",
)
@click.option(
    "--threads",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    metavar="N",
    help="How many threads the runtimes may use.",
)
@click.option(
    "--time-limit",
    "limit_s",
    type=Amount(),
    default=3600,
    show_default=True,
    metavar="SECONDS",
    help="Stop a file that takes longer in one place.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document on stdout.")
@click.pass_context
def command(ctx: click.Context, /, **given: Any) -> None:
    """Whether .tflite and .onnx FILES give on other devices what they give here.

    Runs the golden cases that a file carries, here and on every TARGET, and compares with what it
    gave where it was made. Runs them and further samples here and there, and says for each output
    how many numbers have the same bits, and by how much the others differ. Accepted is what the
    file's own tolerance accepts, else the one of its precision.

    Exit code: 0 everything agrees; 1 something does not, or did not run; 2 a request that makes no
    sense.

    Example: edgekit verify mnist.int8.tflite --on pi5
    """
    from edgekit.benchmarking import plug_in
    from edgekit.cli.verify_table import lines
    from edgekit.progress import Progress

    as_json = given.pop("as_json")
    asked = {name: value or None for name, value in given.items()}
    total = len(given["files"]) * (1 + len(set(given["on"]) - {"local"}))
    with Progress(total=total) as progress:
        report = plug_in("verify")(asked, progress)
    told = report.to_dict()
    if as_json:
        click.echo(json.dumps(told, indent=1))
    else:
        for line in lines(told):
            click.echo(line)
    for note in report.notes:
        click.echo(f"Note: {escaped(note)}", err=True)
    for error in report.errors:
        click.echo(f"Error: {escaped(error)}", err=True)
    ctx.exit(0 if report.agrees else 1)
