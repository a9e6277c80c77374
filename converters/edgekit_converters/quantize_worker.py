"""Served in a child process without TensorFlow: quantize, repair, describe, embed."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

from edgekit import check_worker, onnx_file, source_kind, tflite_file
from edgekit.child_main import tell
from edgekit.compare import Comparison, compare
from edgekit.errors import (
    ConversionError,
    EdgekitError,
    SourceError,
    UsageError,
    VerificationError,
)
from edgekit.graph import Graph
from edgekit.recipe import CALIBRATED
from edgekit.tensors import TensorSpec
from edgekit.tolerance import Bounds, Tolerance
from edgekit_converters import (
    onnx_quantize,
    onnx_rewrite,
    repair,
    samples,
    tflite_manifest,
    tflite_quantize,
)
from edgekit_converters.learned_ranges import Learned

_NAMED = 2
_INTEGERS_TAKE = {"float16": 0.5, "int4": 0.875}
"""Share of a float32 weight that a precision saves; three quarters unless named."""


def warm_up(*, formats: list[str]) -> None:
    """Import what quantizing to `formats` takes, while others are still busy."""
    if "tflite" in formats:
        import ai_edge_quantizer  # noqa: F401
    if "onnx" in formats:
        import onnxruntime.quantization  # noqa: F401


def quantize(
    *,
    format: str,  # noqa: A002 - the word of the recipe
    source: str,
    out: str,
    precision: Any,
    data: str,
    io: Any,
    keep_float: list[str],
    learned: str | None = None,
) -> list[str]:
    """Make the quantized file `out` from the float file `source`; returns notes on how.

    `learned` is a file that `Learned.save` has written: ranges to take instead of calibrated ones.
    """
    flex = describe(format=format, path=source)["flex"] if format == "tflite" else []
    if flex:
        message = (
            f"holds {', '.join(flex)}, which no runtime here runs, so a quantized file could not "
            "be calibrated or checked; keep float32, or change the layers that make them"
        )
        raise VerificationError(message)
    is_calibrated = precision in CALIBRATED
    left = _engine(format, source, data if is_calibrated else None, learned)(
        Path(out), precision, io, frozenset(keep_float)
    )
    known = _calibrated(format, source, data, learned).learned.notes() if is_calibrated else []
    return [*known, *_summary(left)]


def repaired(
    *,
    format: str,  # noqa: A002
    source: str,
    out: str,
    precision: Any,
    data: str,
    io: Any,
    verify: str,
    reference: str,
    bounds: list[list[float]],
    time_s: float,
    learned: str | None = None,
) -> list[dict[str, Any]] | None:
    """Try to bring a drifted file back; writes `out` and names the operators left in float."""
    engine = _engine(format, source, data, learned)
    expected = samples.load(Path(reference))
    trial = Path(out).with_suffix(f".trial{Path(out).suffix}")
    tolerance = Tolerance(
        passed=Bounds(relative_error=bounds[0][0], flips=bounds[0][1]),
        failed=Bounds(relative_error=bounds[1][0], flips=bounds[1][1]),
    )

    def attempt(keep: frozenset[str]) -> Comparison | None:
        try:
            # integers outside change what an int8 TFLite file computes inside
            engine(trial, precision, io if format == "tflite" else "float32", keep)
            given = check_worker.outputs_of(str(trial), verify)
        except EdgekitError:
            return None
        return compare(check_worker.merge_batch(expected), check_worker.merge_batch(given))

    attempt(frozenset())
    saved = Path(source).stat().st_size - (trial.stat().st_size if trial.exists() else 0)
    share = _INTEGERS_TAKE.get(precision, 0.75)
    found = repair.find_culprits(
        [
            repair.Operator(
                identifier=one.identifier,
                kind=one.operator,
                cost_bytes=int(one.weight_bytes * share),
            )
            for one in _operators(format, source)
        ],
        attempt,
        tolerance=tolerance,
        budget_bytes=max(repair.SHARE_OF_SAVING * saved, 1024),
        time_s=time_s,
    )
    trial.unlink(missing_ok=True)
    if not found:
        return None
    engine(Path(out), precision, io, frozenset(one.identifier for one in found))
    return [{"identifier": one.identifier, "operator": one.kind} for one in found]


def describe(*, format: str, path: str) -> dict[str, Any]:  # noqa: A002
    """Inputs and outputs with quantization, Flex and other custom operators of a file."""
    graph = _graph(Path(path))
    inputs, outputs = graph.inputs, graph.outputs
    if format == "onnx":
        known = onnx_quantize.io_quantization(Path(path))
        inputs, outputs = (_quantized(specs, known) for specs in (inputs, outputs))
    custom = sorted({op.name for op in graph.operators if op.is_custom and format == "tflite"})
    return {
        "inputs": [spec.to_dict() for spec in inputs],
        "outputs": [spec.to_dict() for spec in outputs],
        "flex": [name for name in custom if name.startswith("Flex")],
        "custom": [name for name in custom if not name.startswith("Flex")],
    }


def embed(*, format: str, path: str, out: str, manifest: str) -> None:  # noqa: A002
    """Write the file `path` with `manifest` inside to `out`."""
    write = tflite_manifest.embed if format == "tflite" else onnx_rewrite.embed_manifest
    write(Path(path), Path(out), manifest.encode())


def prepare(
    *,
    path: str,
    workspace: str,
    data: str | None,
    count: int,
    preprocess: list[str],
    batch: int | None,
    shapes: dict[str, list[int | None]],
) -> dict[str, Any]:
    """For a float .tflite or .onnx source: samples, reference outputs, and what it is."""
    if batch is not None or shapes:
        message = (
            f"{path}: its shapes are fixed in the file; "
            "--batch and --input-shape work on Keras models only"
        )
        raise UsageError(message)
    kind = source_kind.sniff(path)
    graph = _graph(Path(path))
    integers = sorted(
        {t.dtype for t in graph.tensors.values() if t.quantization or t.dtype == "float16"}
    )
    if integers:
        message = (
            f"{path}: is quantized already ({', '.join(integers)}); give the float32 file it was "
            "made from"
        )
        raise SourceError(message)
    folder = Path(workspace)
    tell("reading samples")
    made = samples.prepare(
        data,
        graph.inputs,
        folder,
        count=count,
        preprocess=preprocess,
        integer_bounds={s.name: 2 for s in graph.inputs if "int" in s.dtype},
    )
    tell("running the original")
    specs = check_worker.run(path, str(folder / "verify.npz"), str(folder / "reference.npz"))
    return specs | {
        "framework": kind,
        "framework_version": "",
        "states": [],
        "recurrent": False,
        "samples": made.count,
        "unseen": made.unseen,
        "random": made.is_random,
        "warnings": list(made.warnings),
        "preprocess": {name: steps.to_dict() for name, steps in made.preprocess.items()},
    }


def _summary(left: tuple[Any, ...]) -> list[str]:
    """A line for each kind of operator and reason; the operators by name while they are few."""
    groups: dict[tuple[str, str], list[str]] = {}
    for one in left:
        groups.setdefault((one.operator, one.reason), []).append(one.identifier)
    return [
        f"{operator} left in float: {reason}: "
        + (", ".join(names) if len(names) <= _NAMED else f"{len(names)} of them")
        for (operator, reason), names in groups.items()
    ]


# ---- one engine a format --------------------------------------------------------------------


def _engine(
    format: str,  # noqa: A002
    source: str,
    data: str | None,
    learned: str | None,
) -> Callable[[Path, Any, Any, frozenset[str]], tuple[Any, ...]]:
    if format not in {"tflite", "onnx"}:
        message = f"{format}: has no quantizer; there are: onnx, tflite"
        raise ConversionError(message)
    module: Any = tflite_quantize if format == "tflite" else onnx_quantize
    ranges = _calibrated(format, source, data, learned) if data else None

    def run(out: Path, precision: Any, io: Any, keep: frozenset[str]) -> tuple[Any, ...]:
        left: tuple[Any, ...] = module.quantize(
            Path(source), out, precision, samples=ranges, io=io, keep_float=keep
        )
        return left

    return run


@lru_cache(maxsize=4)
def _calibrated(format: str, source: str, data: str, learned: str | None) -> Any:  # noqa: A002
    tell("calibrating")
    started = time.monotonic()
    module: Any = tflite_quantize if format == "tflite" else onnx_quantize
    ranges = module.calibrate(
        Path(source),
        samples.load(Path(data)),
        learned=Learned.load(Path(learned)) if learned else None,
    )
    tell(f"calibrated in {time.monotonic() - started:.1f} s")
    return ranges


def _operators(format: str, source: str) -> Any:  # noqa: A002
    module: Any = tflite_quantize if format == "tflite" else onnx_quantize
    return module.operators(Path(source))


def _graph(path: Path) -> Graph:
    return tflite_file.read(path) if source_kind.sniff(path) == "tflite" else onnx_file.read(path)


def _quantized(specs: tuple[TensorSpec, ...], known: dict[str, Any]) -> tuple[TensorSpec, ...]:
    return tuple(
        TensorSpec(name=s.name, shape=s.shape, dtype=s.dtype, quantization=known.get(s.name))
        for s in specs
    )
