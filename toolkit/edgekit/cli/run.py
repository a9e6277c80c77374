"""``edgekit run``."""

from __future__ import annotations

import json
import sys
from typing import Any

import click

from edgekit.cli.amount import Amount
from edgekit.cli.given_path import GivenPath
from edgekit.input_numbers import parse_numbers
from edgekit.quote import escaped


class _Command(click.Command):
    """Takes -1,2 for numbers, where no option before it wants a value."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse; a blank in front makes numbers look like no option, and changes none."""
        options = [one for one in self.params if isinstance(one, click.Option) and not one.is_flag]
        wanting = {name for option in options for name in option.opts}
        for i in range(1, len(args)):
            if args[i].startswith("-") and args[i - 1] not in wanting and parse_numbers(args[i]):
                args[i] = f" {args[i]}"
        return super().parse_args(ctx, args)


def _inputs(_ctx: click.Context, _param: click.Parameter, words: tuple[str, ...]) -> list[str]:
    return [word[1:] if word.startswith(" -") else word for word in words]


def _providers(ctx: click.Context, param: click.Parameter, text: str | None) -> tuple[str, ...]:
    if text is None:
        return ()
    names = tuple(name.strip() for name in text.split(","))
    if not all(names):
        message = f"{text!r} has an empty name; separate names by commas"
        raise click.BadParameter(message, ctx, param)
    return names


@click.command("run", cls=_Command)
@click.argument("file", type=GivenPath())
@click.argument("inputs", metavar="INPUT...", nargs=-1, required=True, callback=_inputs)
@click.option(
    "--on",
    metavar="TARGET",
    help="Run it there: a name that 'edgekit targets' knows, or ssh://user@host.  [default: here]",
)
@click.option(
    "--top",
    type=click.IntRange(min=1),
    metavar="N",
    help="Show the N likeliest classes, also of a file without labels.  "
    "[default: 5, or 2 in a table]",
)
@click.option(
    "--labels",
    type=GivenPath(),
    metavar="FILE",
    help="Names of the classes, one a line.  [default: those in the file]",
)
@click.option(
    "--preprocess",
    multiple=True,
    metavar="[INPUT:]STEPS",
    help="How data becomes input: scale=1/255, mean=…,std=…, -1..1, resize=96x96, none.  "
    "[default: what the file stores]",
)
@click.option(
    "--threads",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    metavar="N",
    help="How many threads the runtime may use.",
)
@click.option(
    "--backend",
    type=click.Choice(["auto", "litert", "tflite-runtime", "onnxruntime"]),
    default="auto",
    show_default=True,
    help="The runtime; auto takes the first that is installed.",
)
@click.option(
    "--providers",
    callback=_providers,
    metavar="NAME,…",
    help="ONNX Runtime's execution providers, the preferred one first.  "
    "[default: CPUExecutionProvider]",
)
@click.option("--signature", metavar="NAME", help="Which signature of a TFLite file to run.")
@click.option(
    "--self-test",
    is_flag=True,
    help="Refuse a file whose results here differ from those where it was made.",
)
@click.option(
    "--public-key",
    type=GivenPath(),
    metavar="FILE",
    help="Refuse a file that was not signed with the private key of this one (edgekit sign).",
)
@click.option(
    "--save",
    type=GivenPath(),
    metavar="OUT.npz",
    help="Save all outputs, an array for each by its name, a row for each sample.",
)
@click.option("--force", is_flag=True, help="Replace OUT.npz if it is there already.")
@click.option(
    "--time-limit",
    type=Amount(),
    default=3600,
    show_default=True,
    metavar="SECONDS",
    help="Stop when loading, or one inference, takes longer.",
)
@click.option(
    "--memory-limit",
    type=Amount(),
    metavar="GIB",
    help="Stop when it uses more.  [default: 90 % of what there is]",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document on stdout.")
@click.option("--verbose", is_flag=True, help="Show what the runtime prints.")
@click.pass_context
def command(ctx: click.Context, /, **given: Any) -> None:
    """Run a .tflite or .onnx FILE on each INPUT, and show what it gives.

    An INPUT is an image, a .npy or .npz of arrays (named after the inputs, or x; FILE.npz:SPLIT), a
    .wav, a .csv, a text file of numbers or ids, or the numbers themselves (12,7,9 or -1,2).
    Several samples in a file are run one by one. For a model with several inputs, write NAME=INPUT
    for each, or give a .npz. Data is prepared as the file says, or as --preprocess says.

    Every sample is run for itself: the state of models that keep one is zero before each.

    Exit code: 0 all done; 1 an INPUT could not be run (the rest is); 2 a request that makes no
    sense.

    Example: edgekit run mnist.int8.tflite seven.png
    """
    from edgekit.child import Limits
    from edgekit.cli.run_table import lines
    from edgekit.progress import Progress
    from edgekit.running import RunRequest, run

    memory = given["memory_limit"]
    limits = {"memory_bytes": int(memory * 2**30)} if memory else {}
    request = RunRequest(
        file=given["file"],
        inputs=tuple(given["inputs"]),
        top=given["top"],
        threads=given["threads"],
        backend=given["backend"],
        providers=given["providers"],
        signature=given["signature"],
        preprocess=given["preprocess"],
        labels=given["labels"],
        self_test=given["self_test"],
        public_key=given["public_key"],
        save=given["save"],
        force=given["force"],
        limits=Limits(time_s=given["time_limit"], **limits),
        verbose=given["verbose"],
        on=given["on"],
    )
    with Progress(
        total=1 + len(request.inputs) + (request.on is not None), enabled=sys.stderr.isatty()
    ) as progress:
        report = run(request, progress)
    if given["as_json"]:
        click.echo(json.dumps(report.to_dict(), indent=1))
    else:
        for line in lines(report, most=request.top or 2):
            click.echo(line)
        if report.target is not None:
            kind = ", an emulated board" if report.emulated else ""
            click.echo(f"Run by {report.backend} on {report.target}{kind}.", err=True)
    for note in report.notes:
        click.echo(f"Note: {escaped(note)}", err=True)
    for failure in report.failures:
        click.echo(f"Error: {escaped(failure.error)}", err=True)
    if report.failures:
        ctx.exit(1)
