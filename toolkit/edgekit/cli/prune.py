"""``edgekit prune``."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgekit.cli.given_path import GivenPath
from edgekit.cli.limit_options import LIMIT_NAMES, limit_options, limits_of
from edgekit.errors import UsageError
from edgekit.prune_choices import CHOICES

if TYPE_CHECKING:
    from edgekit.prune_request import PruneRequest


def _choice(name: str, told: str) -> Callable[[Any], Any]:
    """An option that takes one of a closed set."""
    known = CHOICES[name]
    return click.option(
        f"--{name}", type=click.Choice(known), default=known[0], show_default=True, help=told
    )


_OPTIONS: tuple[Callable[[Any], Any], ...] = (
    click.argument("model", type=GivenPath(), required=False, metavar="MODEL"),
    click.option(
        "-o",
        "--out",
        type=GivenPath(),
        help="The file to make, or a folder for it.  [default: NAME.pruned.keras here]",
    ),
    click.option(
        "--sparsity",
        metavar="SHARE",
        help="Target: so much goes, as 50%: of the channels that can be cut; with another --method "
        "of the weights, which become zero.",
    ),
    click.option(
        "--macs",
        metavar="SHARE|N",
        help="Target: so many multiply-adds are left, as 50% or 12M.",
    ),
    click.option(
        "--size",
        metavar="BYTES|SHARE",
        help="Target: the TFLite file is no larger, as 200KB or 50%.",
    ),
    click.option(
        "--latency",
        metavar="RATIO",
        help="Target: the TFLite file takes so much of the original's time (p50), as 0.6x; it is "
        "measured.",
    ),
    click.option(
        "--on",
        metavar="TARGET",
        help="Where --latency is measured: a name that 'edgekit targets' knows, or "
        "ssh://user@host.  [default: here]",
    ),
    _choice(
        "measure",
        "Which TFLite file --size and --latency speak of.",
    ),
    click.option(
        "--method",
        metavar="METHOD",
        default="structured",
        show_default=True,
        help="structured: whole channels are cut out, the file is smaller and faster. "
        "unstructured: single weights become zero. 2:4: of every 4, 2 are kept (any N:M). 1x4: "
        "blocks of weights become zero. With zeros only the compressed download shrinks.",
    ),
    _choice(
        "scope",
        "Unstructured: compare weights within each layer, or over all of them.",
    ),
    _choice(
        "schedule",
        "While training, with zeros: become sparse step by step, or at once.",
    ),
    _choice(
        "importance",
        "Structured: channels go first that have small weights, or a small batch "
        "normalization scale, or matter least to the loss on --data.",
    ),
    _choice(
        "ratios",
        "Structured: the same share of all layers, or more of those where it hurts less "
        "(needs --data).",
    ),
    click.option(
        "--multiple-of",
        metavar="N",
        default="8",
        show_default=True,
        help="Structured: wide layers keep a multiple of so many channels, which processors like.",
    ),
    click.option(
        "--skip",
        multiple=True,
        metavar="NAME|TYPE",
        help="Leave these layers alone and all that is inside them, by name, path (backbone/conv) "
        "or type (Dense); repeat it, or separate by commas.",
    ),
    click.option(
        "--cluster",
        metavar="N",
        help="Let every kernel hold only so many different numbers; only the compressed download "
        "shrinks. With or without a target.",
    ),
    click.option(
        "--qat",
        is_flag=True,
        help="Quantization-aware training: learn weights and ranges that suit int8. With or "
        "without a target.",
    ),
    click.option(
        "--data",
        metavar="DATA",
        help="Samples with labels to train on: FILE.npz[:SPLIT], .csv, a folder with a sub-folder "
        "for each class, or package.module:function.",
    ),
    click.option(
        "--test",
        metavar="DATA",
        help="Samples with labels to judge by, with or without --data.  [default: 20 % of --data, "
        "not trained on]",
    ),
    click.option(
        "--preprocess",
        multiple=True,
        metavar="[INPUT:]STEPS",
        help="How data becomes input: scale=1/255, mean=…,std=…, -1..1, resize=96x96, none; with "
        "several inputs, repeat it.",
    ),
    click.option(
        "--epochs",
        metavar="N",
        help="Train so long, with --cluster and --qat in each stage; less if 3 epochs in turn "
        "bring no lower loss on the 10 % of --data that validate.  [default: 5 with "
        "--data, else 0]",
    ),
    click.option(
        "--learning-rate",
        metavar="RATE",
        help="At the beginning; it falls to 0.  [default: the compiled model's, else 0.001]",
    ),
    click.option(
        "--optimizer",
        metavar="NAME",
        help="adam, sgd …  [default: the compiled model's, else adam]",
    ),
    click.option(
        "--loss",
        metavar="NAME",
        help="sparse_categorical_crossentropy, mse …  [default: the compiled model's]",
    ),
    click.option(
        "--metric",
        multiple=True,
        metavar="NAME",
        help="Watched while training: accuracy, mae …  [default: the compiled model's]",
    ),
    click.option(
        "--batch-size",
        metavar="N",
        default="32",
        show_default=True,
        help="Samples in one step of training.",
    ),
    click.option(
        "--teacher",
        is_flag=False,
        flag_value="original",
        metavar="[PATH]",
        help="Also learn to answer like this model; without PATH like the original.",
    ),
    click.option(
        "--temperature",
        metavar="T",
        default="4",
        show_default=True,
        help="How much the teacher's answers are softened.",
    ),
    click.option(
        "--resume",
        is_flag=True,
        help="Go on after the last whole epoch of the same command, which is kept in "
        ".OUT.checkpoint, beside OUT.",
    ),
    click.option("--force", is_flag=True, help="Replace an existing file."),
    click.option(
        "--custom-objects",
        type=GivenPath(),
        metavar="FILE.py",
        help="Python file that defines the model's own layers; it is run.",
    ),
    click.option(
        "--trust-model",
        is_flag=True,
        help="Load Lambda layers, that is, run code from the model file.",
    ),
    *limit_options(86_400, "Stop any single step after so long; training is one."),
    click.option("--json", "as_json", is_flag=True, help="Print one JSON document on stdout."),
    click.option(
        "--verbose", is_flag=True, help="Show every layer, and what the frameworks print."
    ),
)


def _with_options(function: Callable[..., None]) -> Callable[..., None]:
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


@click.command("prune")
@_with_options
@click.pass_context
def command(ctx: click.Context, /, **given: Any) -> None:
    """Make a trained Keras MODEL smaller and faster, and say what that cost.

    MODEL is a .keras or .h5 file of Keras 3 or Keras 2. Say how far to go by one target
    (--sparsity, --macs, --size or --latency), or ask for --cluster or --qat, or several of these.
    With --data the smaller model is trained further. The result is an ordinary Keras model; TFLite
    files of both are then compared: size, accuracy, latency.

    Exit code: 0 done; 1 it could not be done; 2 a request that makes no sense; 130 interrupted.

    Example: edgekit prune mnist.keras --macs 50% --data mnist.npz:train --preprocess scale=1/255
    """
    from edgekit.cli.prune_table import print_table
    from edgekit.progress import Progress
    from edgekit.pruning import kept_of, run

    request = _request(given)
    try:
        with Progress(total=request.step_count) as progress:
            pruned = run(request, progress)
    except KeyboardInterrupt:
        if not (kept := kept_of(request)):
            raise
        click.echo(f"Interrupted: {kept}; the same command with --resume goes on", err=True)
        ctx.exit(130)
    if given["as_json"]:
        click.echo(json.dumps(pruned.to_dict(), indent=1, allow_nan=False))
    else:
        print_table(pruned, verbose=given["verbose"])


def _request(given: dict[str, Any]) -> PruneRequest:
    from edgekit.prune_options import request_from

    model: Path | None = given["model"]
    if model is None:
        teacher = given["teacher"]
        if teacher not in (None, "original"):
            message = (
                f"prune: no MODEL, as --teacher takes what follows it ({teacher}); write "
                f"MODEL first, or --teacher=PATH"
            )
            raise UsageError(message)
        message = "Missing argument 'MODEL'."
        raise click.UsageError(message)
    options = {name: value for name, value in given.items() if name not in _NOT_OPTIONS}
    return request_from(
        model,
        given["out"],
        trust=given["trust_model"],
        limits=limits_of(given),
        **options,
    )


_NOT_OPTIONS = LIMIT_NAMES | {"model", "out", "trust_model", "as_json"}
