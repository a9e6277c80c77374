"""``edgekit bench``."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import click

from edgekit.cli.amount import Amount
from edgekit.quote import escaped

_FILE = click.Path(path_type=Path, dir_okay=False)


class Counts(click.ParamType[tuple[int, ...]]):
    """Numbers from 1 on, separated by commas."""

    name = "counts"

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:  # noqa: ARG002
        """What help shows."""
        return "N,…"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, ...]:
        """Split and check."""
        if isinstance(value, tuple):
            return value
        try:
            return tuple(int(one) for one in str(value).split(","))
        except ValueError:
            self.fail(f"{value!r}: no numbers separated by commas, as 1,2,4", param, ctx)


@click.command("bench")
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--on",
    multiple=True,
    metavar="TARGET",
    help="Measure there: local, a name that 'edgekit targets' knows, ssh://user@host. Repeat it "
    "for several at the same time.  [default: local]",
)
@click.option(
    "--threads", type=Counts(), default="1", show_default=True, help="Measure with each of these."
)
@click.option(
    "--input",
    metavar="DATA",
    help="Real inputs: FILE.npz[:SPLIT], .npy, .csv, a folder of images or .wav, or "
    "package.module:function.  [default: golden inputs in the files, else random numbers]",
)
@click.option(
    "--preprocess",
    multiple=True,
    metavar="[INPUT:]STEPS",
    help="How DATA becomes input: scale=1/255, mean=…,std=…, -1..1, resize=96x96, none.  "
    "[default: what the files store]",
)
@click.option(
    "--accuracy",
    metavar="DATA",
    help="Also score the files on labelled samples, as edgekit evaluate does.",
)
@click.option(
    "--processes", type=click.IntRange(min=1), metavar="N", help="Fresh processes.  [default: 9]"
)
@click.option(
    "--time",
    "seconds",
    type=Amount(),
    metavar="SECONDS",
    help="Of samples for each file and number of threads, over all processes.  [default: 5]",
)
@click.option(
    "--sustained", is_flag=True, help="Heat up first, and measure what lasts, throttled or not."
)
@click.option(
    "--replicate", is_flag=True, help="Measure all five times; pass if medians are within 5 %."
)
@click.option("--resume", is_flag=True, help="Go on where the same command was cut off.")
@click.option("--operators", is_flag=True, help="Also time the operators of each file.")
@click.option(
    "--count",
    is_flag=True,
    help="Count instructions instead of taking times; emulated targets always do.",
)
@click.option("-o", "--output", "json", type=_FILE, metavar="FILE.json", help="Write the result.")
@click.option("--html", type=_FILE, metavar="FILE", help="Write a page with plots.")
@click.option("--csv", type=_FILE, metavar="FILE", help="Write a line for each row.")
@click.option("--samples", type=_FILE, metavar="FILE.csv", help="Write a line for each sample.")
@click.option("--markdown", type=_FILE, metavar="FILE", help="Write a table.")
@click.option("--baseline", type=_FILE, metavar="A.json", help="Compare with this earlier result.")
@click.option(
    "--max-regress",
    multiple=True,
    metavar="METRIC=LIMIT",
    help="Fail when worse than the baseline by more: p50=5%, memory=10%, size=0%, accuracy=0.5pt, "
    "instructions=0.5%.",
)
@click.option("--force", is_flag=True, help="Replace existing files.")
@click.option("--json", "as_json", is_flag=True, help="Print the result on stdout.")
@click.pass_context
def command(ctx: click.Context, /, **given: Any) -> None:
    """Measure latency and memory of model FILES, here and on devices.

    FILES are any mix of .tflite, .onnx and, as the reference, .keras. Every file with every number
    of threads is a row; all rows take turns, in several fresh processes. Ratios come with 95 %
    intervals, and whatever speaks against a number stands beside it.

    Exit code: 0 fine; 1 something could not be measured, or a limit is broken; 2 a request that
    makes no sense; 3 a measurement is INVALID.

    Example: edgekit bench mnist.float32.tflite mnist.int8.tflite --on pi5 --threads 1,4
    """
    from edgekit.benchmarking import plug_in
    from edgekit.progress import Progress

    asked = {name: given[name] or None for name in _ASKED} | {"command": tuple(sys.argv)}
    done = plug_in("bench")(
        asked,
        lambda total: Progress(total=total),
        outputs={kind: given[kind] for kind in ("json", "html", "csv", "samples", "markdown")},
        force=given["force"],
        baseline=given["baseline"],
        max_regress=given["max_regress"],
    )
    if given["as_json"]:
        click.echo(json.dumps(done.result.to_dict(), allow_nan=False))
    else:
        for line in done.lines:
            click.echo(line)
    for failure in done.result.failures:
        known = not failure.path or Path(failure.path).name in failure.error
        told = f"{'' if known else f'{failure.path}: '}{failure.error}"
        click.echo(f"Error: {escaped(told)}", err=True)
    for text in done.unwritten:
        click.echo(f"Error: {escaped(text)}", err=True)
    ctx.exit(done.exit_code)


_ASKED = (
    "files",
    "on",
    "threads",
    "input",
    "preprocess",
    "accuracy",
    "processes",
    "seconds",
    "sustained",
    "replicate",
    "resume",
    "operators",
    "count",
)
