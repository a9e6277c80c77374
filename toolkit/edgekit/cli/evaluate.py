"""``edgekit evaluate``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, get_args

import click

from edgekit.cli.amount import Amount
from edgekit.quote import escaped
from edgekit.task import Task


@click.command("evaluate")
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--data",
    required=True,
    metavar="DATA",
    help="Labelled samples: FILE.npz[:SPLIT], .npy, .csv, a folder of images or .wav, or "
    "package.module:function. Without labels only changed predictions are counted.",
)
@click.option(
    "--preprocess",
    multiple=True,
    metavar="[INPUT:]STEPS",
    help="How data becomes input: scale=1/255, mean=…,std=…, -1..1, resize=96x96, none.  "
    "[default: what the first .tflite or .onnx file stores]",
)
@click.option(
    "--top-k",
    type=click.IntRange(min=1),
    metavar="K",
    help="Also count how often the right class is among the K highest scores.",
)
@click.option(
    "--task", type=click.Choice(get_args(Task)), help="[default: guessed from labels and outputs]"
)
@click.option("--output", metavar="NAME", help="Score this output, where there are several.")
@click.option(
    "--limit",
    type=click.IntRange(min=1),
    metavar="N",
    help="Use N samples, of every class its share, the same ones each time.",
)
@click.option(
    "--on",
    multiple=True,
    metavar="TARGET",
    help="Run .tflite and .onnx files there: local, a name that 'edgekit targets' knows, "
    "ssh://user@host. Repeat it for a row for each.  [default: here]",
)
@click.option(
    "--custom-objects",
    type=click.Path(path_type=Path),
    metavar="FILE.py",
    help="Python file that defines a Keras model's own layers; it is run.",
)
@click.option(
    "--trust-model", is_flag=True, help="Load Lambda layers, that is, run code from model files."
)
@click.option(
    "--time-limit",
    type=Amount(),
    default=3600,
    show_default=True,
    metavar="SECONDS",
    help="Stop a file that takes longer.",
)
@click.option(
    "--memory-limit",
    type=Amount(),
    metavar="GIB",
    help="Stop a file that uses more.  [default: 90 % of what there is]",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document on stdout.")
@click.option("--verbose", is_flag=True, help="Show what the frameworks print.")
@click.pass_context
def command(ctx: click.Context, /, **given: Any) -> None:
    """Score model FILES on the same labelled data, side by side.

    FILES are any mix of .keras, .h5, SavedModel, .tflite and .onnx. Accuracies come with Wilson
    intervals, errors with bootstrap intervals. Every file is compared with the first one, sample by
    sample: how many predictions changed, and whether the data show a difference (McNemar's test).

    Exit code: 0 all scored; 1 a file could not be scored (the rest is); 2 a request that makes no
    sense.

    Example: edgekit evaluate mnist.keras mnist.int8.tflite --data mnist.npz:test
    """
    from edgekit.child import Limits
    from edgekit.cli.evaluate_table import print_table
    from edgekit.evaluate_request import EvaluateRequest
    from edgekit.progress import Progress
    from edgekit.scoring import run

    memory = given["memory_limit"]
    limits = {"memory_bytes": int(memory * 2**30)} if memory else {}
    request = EvaluateRequest(
        files=given["files"],
        data=given["data"],
        preprocess=given["preprocess"],
        top_k=given["top_k"],
        task=given["task"],
        output=given["output"],
        limit=given["limit"],
        custom_objects=given["custom_objects"],
        trust=given["trust_model"],
        limits=Limits(time_s=given["time_limit"], **limits),
        verbose=given["verbose"],
        on=given["on"],
    )
    with Progress(total=len(request.files) * max(1, len(request.on))) as progress:
        evaluation = run(request, progress)
    if given["as_json"]:
        click.echo(json.dumps(evaluation.to_dict(), indent=1))
    else:
        print_table(evaluation)
    for note in evaluation.notes:
        click.echo(f"Note: {escaped(note)}", err=True)
    for file in evaluation.files:
        if file.error:
            click.echo(f"Error: {escaped(file.error)}", err=True)
    if any(file.error for file in evaluation.files):
        ctx.exit(1)
