"""`edgekit inspect`: what a model file is, takes, gives, weighs and was made from."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import click

from edgekit.cli.given_path import GivenPath
from edgekit.cli.table import size_text
from edgekit.inspection import Inspection, SealState, inspect
from edgekit.optimization_wrappers import is_wrapper, short
from edgekit.quote import escaped
from edgekit.support import TARGETS, Target
from edgekit.tensors import TensorSpec

_KINDS = {
    "tflite": "TFLite",
    "onnx": "ONNX",
    "keras": "Keras archive",
    "h5": "Keras HDF5",
    "savedmodel": "TensorFlow SavedModel",
}
_SHOWN_OPERATORS = 12
_SEALS: dict[SealState, str] = {
    "intact": "intact, not signed",
    "signed": "intact, signed; by whom, only edgekit.load(…, public_key=…) can tell",
    "damaged": "DAMAGED: the file is not what it was when it was made; copy or convert it again",
}


@click.command()
@click.argument("file", type=GivenPath())
@click.option(
    "--target",
    "targets",
    multiple=True,
    type=click.Choice(TARGETS),
    help="Also tell which operators would not run there; may be repeated.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON document on standard output.")
@click.pass_context
def command(ctx: click.Context, /, file: Path, targets: tuple[str, ...], as_json: bool) -> None:
    """Tell what a model is: inputs, outputs, weights, operators, how it was made.

    FILE is a .tflite, .onnx, .keras or .h5 file, or a SavedModel folder. Nothing in it is run.

    Exit code: 0 fine; 1 it is no model, or not what it was when it was made.

    Example: edgekit inspect mnist.int8.tflite --target tflite-micro
    """
    found = inspect(file, targets=cast("tuple[Target, ...]", targets))
    if as_json:
        import json

        click.echo(json.dumps(found.to_dict(), indent=2))
    else:
        click.echo("\n".join(lines(found)))
    if found.golden_cases is None:
        message = (
            f"Error: {found.path}: the golden cases of its self-test are damaged; convert it again"
        )
        click.echo(escaped(message), err=True)
    if found.seal == "damaged" or found.golden_cases is None:
        ctx.exit(1)


def lines(found: Inspection) -> list[str]:
    """The report, one line a fact."""
    rows: list[tuple[str, str]] = []
    rows += _interface("inputs", found.inputs) + _interface("outputs", found.outputs)
    rows += _weight_rows(found) + _compute_rows(found)
    for title, counts in (("layers", found.layers), ("operators", found.operators)):
        if counts:
            rows.append((title, _counts(counts)))
    if found.custom_operators:
        rows.append(("custom", ", ".join(found.custom_operators)))
    wrappers = [name for name in found.custom_classes if is_wrapper(name)]
    if wrappers:
        told = ", ".join(dict.fromkeys(map(short, wrappers)))
        rows.append(("needs", f"tensorflow-model-optimization, for {told}"))
    own = [name for name in found.custom_classes if name not in wrappers]
    if own:
        rows.append(("needs code", f"{', '.join(own)} (--custom-objects)"))
    if found.lambda_layers:
        rows.append(("runs code", f"stored in the file: {', '.join(found.lambda_layers)}"))
    if found.pruned is not None:
        rows.append(("pruned", _pruned(found.pruned)))
    rows += _manifest_rows(found)
    rows += [("note", note) for note in found.notes]
    rows += _target_rows(found)
    width = max(len(title) for title, _ in rows) + 2 if rows else 0
    shown, last = [_headline(found)], ""
    for title, text in rows:
        shown.append(f"  {'' if title == last else title:<{width}}{text}".rstrip())
        last = title
    return [_printable(line) for line in shown]


def _printable(text: str) -> str:
    """Names come from the file: nothing in them may steer the terminal."""
    return text if text.isprintable() else "".join(c if c.isprintable() else "?" for c in text)


def _pruned(story: Mapping[str, Any]) -> str:
    """What `edgekit prune` wrote into the file: the method, the target, and of what model."""
    told = [str(story[name]) for name in ("method", "target") if story.get(name)]
    sparsity, clusters = story.get("sparsity"), story.get("clusters")
    told += [f"{sparsity:.1%} zeros"] if isinstance(sparsity, int | float) and sparsity else []
    told += [f"{clusters} clusters"] if clusters else []
    told += ["quantization-aware training"] if story.get("qat") else []
    source = story.get("source")
    name = source.get("name") if isinstance(source, Mapping) else None
    origin = f"from {name}, " if name else ""
    return f"{', '.join(told)} ({origin}by edgekit {story.get('edgekit')})"


def _headline(found: Inspection) -> str:
    told = [_KINDS[found.kind]]
    if found.class_name:
        told.append(f"({found.class_name})")
    if found.kind != "onnx" and "keras" in found.versions:
        told.append(f"written by Keras {found.versions['keras']}")
    if found.kind == "onnx":
        opset = found.versions.get("opset ai.onnx")
        told.append(f"operator set {opset}" if opset else f"version {found.versions.get('ir')}")
        if "producer" in found.versions:
            told.append("by " + " ".join(found.versions["producer"].split()[:2]))
    share = found.gzip_bytes / found.size_bytes if found.size_bytes else 1.0
    return (
        f"{found.path}: {' '.join(told)}, {size_text(found.size_bytes)} "
        f"({found.size_bytes:,} bytes), gzipped {size_text(found.gzip_bytes)} ({share:.0%})"
    )


def _interface(title: str, specs: tuple[TensorSpec, ...]) -> list[tuple[str, str]]:
    widths = [max((len(spec.name) for spec in specs), default=0)]
    widths.append(max((len(spec.dtype) for spec in specs), default=0))
    return [(title, _spec(spec, *widths)) for spec in specs]


def _spec(spec: TensorSpec, name_width: int, dtype_width: int) -> str:
    shape = ", ".join("?" if dimension is None else str(dimension) for dimension in spec.shape)
    told = f"{spec.name:<{name_width}}  {spec.dtype:<{dtype_width}}  ({shape})"
    quantization = spec.quantization
    if quantization is None:
        return told
    if len(quantization.scale) > 1:
        return f"{told}  {len(quantization.scale)} scales along axis {quantization.axis}"
    zero = quantization.zero_point[0]
    sign = "+" if zero < 0 else "-"
    inner = f"(stored {sign} {abs(zero)})" if zero else "stored"
    return f"{told}  real = {quantization.scale[0]:.6g} * {inner}"


def _weight_rows(found: Inspection) -> list[tuple[str, str]]:
    weights = found.weights
    if weights is None:
        return []
    told = f"{weights.parameters:,} parameters"
    if weights.by_dtype:
        parts = [
            f"{count:,} {dtype}{' per channel' if dtype in weights.per_channel else ''}"
            for dtype, count in weights.by_dtype.items()
        ]
        told += f": {', '.join(parts)}" if len(parts) > 1 else f", all {parts[0].split(' ', 1)[1]}"
    if weights.size_bytes:
        told += f"; {size_text(weights.size_bytes)}"
    if weights.sparsity is not None:
        told += f"; {weights.sparsity:.1%} are zero"
    return [("weights", told)]


def _compute_rows(found: Inspection) -> list[tuple[str, str]]:
    compute = found.compute
    if compute is None or not (compute.arithmetic or compute.uncounted_operators):
        return []
    told = f"{compute.multiply_adds:,} multiply-adds per inference"
    batches = {spec.shape[0] for spec in found.inputs if spec.shape}
    if len(batches) == 1 and (batch := next(iter(batches))) and batch > 1:
        told += f" of a batch of {batch}"
    if compute.multiply_adds_per_loop_step:
        told += f", and {compute.multiply_adds_per_loop_step:,} per step of its loops"
    if compute.uncounted_operators:
        told += f"; shapes unknown, not counted: {_counts(compute.uncounted_operators)}"
    kinds = ", ".join(f"{kind} in {count}" for kind, count in compute.arithmetic.items())
    return [("compute", told), ("arithmetic", f"{kinds} operators (activations x weights)")]


def _counts(counts: dict[str, int]) -> str:
    """The most frequent first, the rest as a number; ``3 Conv, 1 Softmax``."""
    shown = [f"{count} {name}" for name, count in list(counts.items())[:_SHOWN_OPERATORS]]
    rest = len(counts) - _SHOWN_OPERATORS
    tail = f", and {rest} more kind{'s' if rest > 1 else ''}" if rest > 0 else ""
    return f"{sum(counts.values())}: {', '.join(shown)}{tail}"


def _manifest_rows(found: Inspection) -> list[tuple[str, str]]:
    manifest = found.manifest
    if manifest is None:
        return []
    rows: list[tuple[str, str]] = []
    source, recipe = _part(manifest, "source"), _part(manifest, "recipe")
    if source:
        framework = f"{source.get('framework', '')} {source.get('framework_version', '')}".strip()
        hashed = str(source.get("sha256", ""))[:12]
        rows.append(("made from", f"{source.get('name')} ({framework}, sha256 {hashed}…)"))
    if recipe:
        told = f"{recipe.get('precision')}, by edgekit {manifest.get('edgekit')}"
        calibration = _part(recipe, "calibration")
        if calibration:
            kind = "random numbers" if calibration.get("random") else "samples"
            told += f", calibrated on {calibration.get('samples')} {kind}"
        rows.append(("recipe", told))
    rows.append(("checked", _checked(_part(manifest, "verification"), recipe)))
    rows += _seal_rows(found)
    for name, steps in _part(manifest, "preprocess").items():
        rows.append(("prepared by", f"{name}: {_steps(steps)}"))
    states = manifest.get("states")
    for state in states if isinstance(states, list) else ():
        if isinstance(state, dict):
            told = f"{state.get('output')} becomes the next {state.get('input')}"
            rows.append(("states", f"{told}; start with zeros"))
    labels = manifest.get("labels")
    if isinstance(labels, list) and labels:
        shown = ", ".join(map(str, labels[:5])) + (", …" if len(labels) > 5 else "")
        rows.append(("labels", f"{len(labels)}: {shown}"))
    return rows


def _seal_rows(found: Inspection) -> list[tuple[str, str]]:
    """What the device can check by itself."""
    rows = []
    if found.seal is not None:
        rows.append(("seal", _SEALS[found.seal]))
    if found.golden_cases != 0:
        told = f"{found.golden_cases} golden cases" if found.golden_cases else "damaged"
        rows.append(("self-test", told))
    return rows


def _checked(verification: dict[str, object], recipe: dict[str, object]) -> str:
    """How far the file was compared with its original, as its manifest has it."""
    status, samples = verification.get("status"), verification.get("samples")
    if not verification or status == "unverified":
        reason = verification.get("reason")
        return f"not verified ({reason})" if reason else "not verified"
    told = f"{status} on {samples} samples"
    told += " of random numbers" if verification.get("random") else ""
    unseen = verification.get("unseen")
    if isinstance(unseen, int) and _part(recipe, "calibration"):
        told += f", {unseen} not calibrated on"
    error = verification.get("relative_error")
    if isinstance(error, float):
        told += f", relative error {error:.3g}"
    return f"{told}, by {verification.get('runtime')}"


def _steps(stored: object) -> str:
    """The steps of one input, as `--preprocess` takes them."""
    from edgekit.errors import EdgekitError
    from edgekit.preprocess import Preprocess  # imports numpy, which few files are worth

    try:
        return str(Preprocess.from_dict(stored)) if isinstance(stored, dict) else "damaged"
    except (EdgekitError, OverflowError) as error:
        return f"damaged ({error})"


def _part(data: dict[str, object], name: str) -> dict[str, object]:
    found = data.get(name)
    return found if isinstance(found, dict) else {}


def _target_rows(found: Inspection) -> list[tuple[str, str]]:
    rows: list[tuple[str, str]] = []
    for target, stopped in found.targets.items():
        if not stopped:
            rows.append((target, "nothing known that would stop it"))
        rows += [(target, str(obstacle)) for obstacle in stopped]
    return rows
