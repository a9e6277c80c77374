"""``edgekit convert``."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from edgekit.cli.limit_options import limit_options, limits_of
from edgekit.errors import UsageError
from edgekit.quote import escaped
from edgekit.recipe import FORMATS, IOS, PRECISIONS


class Choices(click.ParamType[tuple[str, ...]]):
    """One or several of a closed set, separated by commas."""

    name = "choices"

    def __init__(self, known: tuple[str, ...]) -> None:
        """Keep the set."""
        self.known = known

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:  # noqa: ARG002
        """What help shows."""
        return f"[{'|'.join(self.known)}]"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, ...]:
        """Split and check."""
        names = tuple(name.strip() for name in str(value).split(","))
        for name in names:
            if name not in self.known:
                self.fail(f"unknown {name!r}; there are: {', '.join(self.known)}", param, ctx)
        return names


class Batch(click.ParamType[int]):
    """A number of samples, or ``dynamic``."""

    name = "batch"

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:  # noqa: ARG002
        """What help shows."""
        return "N|dynamic"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """0 stands for ``dynamic``."""
        if value == "dynamic":
            return 0
        try:
            size = int(value)
        except ValueError:
            size = 0
        if size < 1:
            self.fail(f"{value!r} is neither a number from 1 on nor 'dynamic'", param, ctx)
        return size


_OPTIONS: tuple[Callable[[Any], Any], ...] = (
    click.argument("model", type=click.Path(path_type=Path, readable=False)),
    click.option(
        "-o",
        "--out",
        type=click.Path(path_type=Path, readable=False),
        help="Folder for the files, or the file when one is made.  [default: current folder]",
    ),
    click.option(
        "--to",
        "formats",
        type=Choices(FORMATS),
        multiple=True,
        default=("tflite",),
        show_default=True,
        help="Formats; repeat it, or separate by commas.",
    ),
    click.option(
        "-q",
        "--quantize",
        "precisions",
        type=Choices(PRECISIONS),
        multiple=True,
        default=("float32",),
        show_default=True,
        help="Precisions; repeat it, or separate by commas.",
    ),
    click.option(
        "--io",
        type=click.Choice(IOS),
        default="float32",
        show_default=True,
        help="What an int8 model takes and gives.",
    ),
    click.option(
        "--calibrate",
        metavar="DATA",
        help="Typical inputs: FILE.npz[:SPLIT], .npy, .csv, a folder of images or .wav, "
        "package.module:function, or random. int8 and int16x8 need them.",
    ),
    click.option(
        "--calibration-samples",
        type=click.IntRange(min=1),
        default=256,
        show_default=True,
        help="Use at most so many.",
    ),
    click.option(
        "--preprocess",
        multiple=True,
        metavar="[INPUT:]STEPS",
        help="How data becomes input: scale=1/255, mean=…,std=…, -1..1, resize=96x96, none; "
        "with several inputs, repeat it. Stored in the file, for the runtime to do the same.",
    ),
    click.option(
        "--batch", type=Batch(), help="Samples in one call.  [default: the model's, or 1]"
    ),
    click.option(
        "--input-shape",
        "shapes",
        multiple=True,
        metavar="NAME=1,96,96,3",
        help="Fix free dimensions of an input; '?' keeps one free.",
    ),
    click.option(
        "--custom-objects",
        type=click.Path(path_type=Path),
        metavar="FILE.py",
        help="Python file that defines the model's own layers; it is run.",
    ),
    click.option(
        "--trust-model",
        is_flag=True,
        help="Load Lambda layers, that is, run code from the model file.",
    ),
    click.option(
        "--allow-flex",
        is_flag=True,
        help="Allow TensorFlow operators that need the Flex delegate on the device.",
    ),
    click.option(
        "--labels",
        type=click.Path(path_type=Path),
        metavar="FILE",
        help="Class names, one a line, to store in the files.",
    ),
    click.option(
        "--prune",
        metavar="OPTIONS",
        help="Prune the model first, as 'macs=50% data=train.npz epochs=3': options of edgekit "
        "prune without their dashes. NAME.pruned.keras is kept beside the files.",
    ),
    click.option(
        "--tolerance",
        "tolerances",
        multiple=True,
        metavar="NAME=PASSES[:FAILS]",
        help="How far a file may be from the model: relative_error=0.2:0.5, flips=0.02:0.1.",
    ),
    click.option("--no-verify", is_flag=True, help="Do not compare; mark the files unverified."),
    click.option(
        "--no-repair", is_flag=True, help="Do not leave operators in float when a file drifts."
    ),
    click.option("--force", is_flag=True, help="Replace existing files."),
    *limit_options(3600, "Stop any single step after so long."),
    click.option("--json", "as_json", is_flag=True, help="Print one JSON document on stdout."),
    click.option("--verbose", is_flag=True, help="Show what the frameworks print."),
)


def _with_options(function: Callable[..., None]) -> Callable[..., None]:
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


@click.command("convert")
@_with_options
@click.pass_context
def command(ctx: click.Context, /, **given: Any) -> None:
    """Turn a trained MODEL into verified TFLite, ONNX or SavedModel files.

    MODEL is a .keras or .h5 file of Keras 3 or Keras 2, a SavedModel folder, or a float .tflite or
    .onnx file to quantize. Every format is made with every precision, loaded by the runtime of the
    device, and compared with MODEL before it is put in place as NAME.PRECISION.FORMAT.

    Exit code: 0 all made; 1 something could not be made (the rest is); 2 a request that makes no
    sense; 130 interrupted.

    Example: edgekit convert mnist.keras --to tflite,onnx -q float32,int8 --calibrate mnist.npz
    """
    from edgekit.cli.convert_table import print_table
    from edgekit.cli.prune_table import print_table as print_pruned
    from edgekit.conversion import pruning_of, run
    from edgekit.progress import Progress
    from edgekit.pruning import kept_of
    from edgekit.request import ConvertRequest

    request = ConvertRequest(
        source=given["model"],
        out=given["out"],
        formats=_flat(given["formats"]),
        precisions=_flat(given["precisions"]),
        io=given["io"],
        calibrate=given["calibrate"],
        calibration_samples=given["calibration_samples"],
        preprocess=given["preprocess"],
        batch=given["batch"],
        shapes=dict(_shape(text) for text in given["shapes"]),
        custom_objects=given["custom_objects"],
        trust=given["trust_model"],
        allow_flex=given["allow_flex"],
        labels=_labels(given["labels"]),
        prune=given["prune"],
        verify=not given["no_verify"],
        repair=not given["no_repair"],
        tolerances=given["tolerances"],
        force=given["force"],
        limits=limits_of(given),
        verbose=given["verbose"],
    )
    pruning = None if request.prune is None else pruning_of(request)
    steps = request.step_count + (pruning.step_count if pruning else 0)
    try:
        with Progress(total=steps) as progress:
            conversion = run(request, progress)
    except KeyboardInterrupt:
        if pruning is None or not (kept := kept_of(pruning)):
            raise
        told = f"{kept}; the same command with resume in --prune goes on"
        click.echo(f"Interrupted: {told}", err=True)
        ctx.exit(130)
    if given["as_json"]:
        click.echo(json.dumps(conversion.to_dict(), indent=1))
    else:
        if conversion.pruned is not None:
            print_pruned(conversion.pruned, verbose=request.verbose)
            click.echo()
        print_table(conversion)
    for failure in conversion.failures:
        click.echo(
            f"Error: {failure.format} {failure.precision}: {escaped(failure.error)}", err=True
        )
    if conversion.failures:
        ctx.exit(1)


def _flat(groups: tuple[tuple[Any, ...], ...]) -> tuple[Any, ...]:
    names = [name for group in groups for name in ([group] if isinstance(group, str) else group)]
    return tuple(dict.fromkeys(names))


def _shape(text: str) -> tuple[str, tuple[int | None, ...]]:
    name, equals, sizes = text.partition("=")
    parts = [part.strip() for part in sizes.replace("x", ",").split(",")]
    if not equals or not all(part == "?" or (part.isdigit() and int(part) > 0) for part in parts):
        message = f"--input-shape {text}: not NAME=SIZE,SIZE,…; write e.g. image=1,96,96,3"
        raise UsageError(message)
    return name, tuple(None if part == "?" else int(part) for part in parts)


def _labels(file: Path | None) -> tuple[str, ...]:
    if file is None:
        return ()
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8 text"
        message = f"--labels {file}: {reason}; give a text file with one class name a line"
        raise UsageError(message) from error
    labels = tuple(line.strip() for line in lines if line.strip())
    if not labels:
        message = f"--labels {file}: is empty; give one class name a line"
        raise UsageError(message)
    return labels
