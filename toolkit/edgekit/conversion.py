"""Convert a trained model; the work is done by a plug-in of the group ``edgekit.converters``."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from edgekit.artifact import Artifact, Conversion, IncompleteConversionError
from edgekit.child import Limits
from edgekit.data_name import data_name
from edgekit.errors import EdgekitError, MissingDependencyError, UsageError
from edgekit.progress import Progress
from edgekit.prune_request import TIME_LIMIT_S, PruneRequest
from edgekit.recipe import FORMATS, IOS, PRECISIONS
from edgekit.request import DEFAULT_SAMPLES, ConvertRequest


def convert(
    source: Any,
    out: str | os.PathLike[str] | None = None,
    *,
    to: str | Sequence[str] = ("tflite",),
    quantize: str | Sequence[str] = ("float32",),
    io: str = "float32",
    calibrate: str | os.PathLike[str] | None = None,
    calibration_samples: int = DEFAULT_SAMPLES,
    preprocess: str | Sequence[str] = (),
    batch: int | None = None,
    input_shapes: Mapping[str, tuple[int | None, ...]] | None = None,
    custom_objects: str | os.PathLike[str] | None = None,
    trust_model: bool = False,
    allow_flex: bool = False,
    labels: Sequence[str] = (),
    prune: str | None = None,
    verify: bool = True,
    repair: bool = True,
    tolerances: Sequence[str] = (),
    force: bool = False,
    limits: Limits | None = None,
) -> tuple[Artifact, ...]:
    """Make a verified file of every format in `to` with every precision in `quantize`.

        edgekit.convert("mnist.keras", to=["tflite", "onnx"], quantize="int8", calibrate="t.npz")

    Args:
        source: path of a ``.keras``, ``.h5``, ``.tflite`` or ``.onnx`` file or of a SavedModel
            folder, or a Keras 3 or tf_keras model object.
        out: a folder, or a file when one artifact is made; the current folder by default.
        to: formats: ``tflite``, ``onnx``, ``savedmodel``.
        quantize: precisions: ``float32 float16 dynamic int8 int16x8 int4``.
        io: what int8 models take and give: ``float32``, ``int8`` or ``uint8``.
        calibrate: a data source as on the command line; int8 and int16x8 need one.
        calibration_samples: at most so many samples of it are used.
        preprocess: how data becomes the model's input: ``"scale=1/255"``, ``"image:-1..1"``.
        batch: samples in one call; 0 for a free batch; by default the model's own, else 1.
        input_shapes: whole shapes by input name; None in one keeps that dimension free.
        custom_objects: a Python file that defines the model's own layers.
        trust_model: also load models that hold Lambda layers, that is, arbitrary code.
        allow_flex: allow TensorFlow operators that need the Flex delegate.
        labels: class names, stored in the file.
        prune: prune the model first: options of `edgekit.prune`, as
            ``"macs=50% data=train.npz epochs=3"``. ``NAME.pruned.keras`` is kept beside the files.
        verify: compare every file with the original; without it files are marked unverified.
        repair: leave one or two operators in float where that undoes the damage of int8.
        tolerances: changes to `edgekit.tolerance`, as ``relative_error=0.2:0.5``.
        force: replace existing files.
        limits: time for one step, and memory of one child process.

    Raises:
        IncompleteConversionError: some could not be made; it holds those that were.
        EdgekitError: nothing could be made; the message says why and what to do.
    """
    request = ConvertRequest(
        source=source,
        out=None if out is None else Path(out),
        formats=_chosen("to", to, FORMATS),
        precisions=_chosen("quantize", quantize, PRECISIONS),
        io=_chosen("io", io, IOS)[0],
        calibrate=None if calibrate is None else data_name("calibrate", calibrate),
        calibration_samples=calibration_samples,
        preprocess=(preprocess,) if isinstance(preprocess, str) else tuple(preprocess),
        batch=batch,
        shapes=dict(input_shapes or {}),
        custom_objects=None if custom_objects is None else Path(custom_objects),
        trust=trust_model,
        allow_flex=allow_flex,
        labels=tuple(labels),
        prune=prune,
        verify=verify,
        repair=repair,
        tolerances=tuple(tolerances),
        force=force,
        limits=limits or Limits(),
    )
    conversion = run(request, Progress(total=1, enabled=False))
    if conversion.failures:
        raise IncompleteConversionError(conversion)
    return conversion.artifacts


def run(request: ConvertRequest, progress: Progress) -> Conversion:
    """Do what `request` says; failures of single combinations are part of the result.

    Raises:
        EdgekitError: nothing could be made at all.
        MissingDependencyError: no converter is installed.
    """
    if request.prune is not None:
        return _pruned_first(request, progress)
    found = sorted(entry_points(group="edgekit.converters"), key=lambda entry: entry.name)
    if not found:
        message = "edgekit: no converter is installed; run: pip install '.[convert]'"
        raise MissingDependencyError(message)
    converter: Callable[[ConvertRequest, Progress], Conversion] = found[0].load()
    return converter(request, progress)


def _pruned_first(request: ConvertRequest, progress: Progress) -> Conversion:
    """Prune, then convert what came of it; nothing is written if either cannot be.

    Raises:
        EdgekitError: as `edgekit.prune`, and as `run`.
    """
    from edgekit import pruning

    wanted = pruning_of(request)
    target = wanted.output()
    later = replace(request, source=target, prune=None)
    later.outputs()  # a file in the way is found before hours of training
    try:
        pruned = pruning.run(wanted, progress)
    except EdgekitError as error:  # which speaks to `edgekit prune`; here --resume is a word
        told = str(error).replace("add --resume", "add resume to --prune")
        error.args = (told.replace("--resume", "resume in --prune"),)
        raise
    return replace(run(replace(later, source=pruned.path), progress), pruned=pruned)


def pruning_of(request: ConvertRequest) -> PruneRequest:
    """What `request` asks for before the conversion.

    Raises:
        UsageError: its options of prune make no sense.
    """
    from edgekit.prune_options import from_words

    out = request.out
    return from_words(
        request.prune or "",
        request.source,
        out=out.parent if out is not None and out.suffix and not out.is_dir() else out,
        preprocess=request.preprocess,
        custom_objects=request.custom_objects,
        trust=request.trust,
        force=request.force,
        limits=replace(request.limits, time_s=max(request.limits.time_s, TIME_LIMIT_S)),
        verbose=request.verbose,
    )


def _chosen(option: str, given: str | Sequence[str], known: Sequence[Any]) -> tuple[Any, ...]:
    names = given.split(",") if isinstance(given, str) else list(given)
    chosen = tuple(dict.fromkeys(name.strip() for name in names))
    for name in chosen:
        if name not in known:
            message = f"{option}: unknown {name!r}; there are: {', '.join(known)}"
            raise UsageError(message)
    if not chosen:
        message = f"{option}: nothing chosen; there are: {', '.join(known)}"
        raise UsageError(message)
    return chosen
