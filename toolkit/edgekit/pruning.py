"""Make a Keras model smaller; the work is done by a plug-in of the group ``edgekit.pruners``."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import entry_points
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

from edgekit import benchmarking
from edgekit.child import Limits
from edgekit.errors import MissingDependencyError, SourceError, UsageError
from edgekit.progress import Progress
from edgekit.prune_choices import Importance, Measure, Ratios, Schedule, Scope
from edgekit.prune_method import DOWNLOAD_ONLY
from edgekit.prune_options import request_from
from edgekit.prune_request import (
    BATCH_SIZE,
    MULTIPLE_OF,
    TEMPERATURE,
    PruneRequest,
)
from edgekit.pruned import Pruned
from edgekit.source_kind import READABLE, SourceKind, sniff

ONE_SHOT = (
    "nothing is trained after pruning, which may cost much accuracy; give data with labels to make "
    "up for it (--data DATA)"
)
TRAINING = "training.npz"
"""The file of a training's state, in a checkpoint."""
PLAN = "plan.npz"
"""The file that tells which channels were chosen, in a checkpoint."""
AnyPath = str | os.PathLike[str]
_OTHERS: Mapping[SourceKind, str] = MappingProxyType(
    {"tflite": "a TFLite model", "onnx": "an ONNX model", "savedmodel": "a SavedModel"}
)


def prune(
    source: Any,
    out: AnyPath | None = None,
    *,
    sparsity: str | float | None = None,
    macs: str | float | None = None,
    size: str | float | None = None,
    latency: str | float | None = None,
    on: str | None = None,
    measure: Measure = "float32",
    method: str = "structured",
    scope: Scope = "layer",
    schedule: Schedule = "polynomial",
    importance: Importance = "magnitude",
    ratios: Ratios = "uniform",
    multiple_of: int = MULTIPLE_OF,
    skip: str | Sequence[str] = (),
    cluster: int | None = None,
    qat: bool = False,
    data: AnyPath | None = None,
    test: AnyPath | None = None,
    preprocess: str | Sequence[str] = (),
    epochs: int | None = None,
    learning_rate: float | None = None,
    optimizer: str | None = None,
    loss: str | None = None,
    metric: str | Sequence[str] = (),
    batch_size: int = BATCH_SIZE,
    teacher: AnyPath | Literal["original"] | bool = False,
    temperature: float = TEMPERATURE,
    resume: bool = False,
    custom_objects: AnyPath | None = None,
    trust_model: bool = False,
    force: bool = False,
    limits: Limits | None = None,
) -> Pruned:
    """Make a smaller model of `source`, train it further on `data`, and say what that changed.

        edgekit.prune("mnist.keras", macs="50%", data="mnist.npz", epochs=3)

    Args:
        source: path of a ``.keras`` or ``.h5`` file, or a Keras 3 or tf_keras model object.
        out: the file to make, or a folder; ``NAME.pruned.keras`` in the current one by default.
        sparsity: share of the channels that can be cut, of every group; with another `method`
            share of the weights that become zero: ``"50%"`` or ``0.5``.
        macs: multiply-adds that are left: ``"50%"``, ``0.5``, ``"12M"``.
        size: of the TFLite file: ``"200KB"``, ``204800``, or a share of the original's.
        latency: p50 of the TFLite file, as a ratio to the original's: ``"0.6x"``.
        on: the target that measures it, as of `edgekit.bench`; this machine by default.
        measure: which TFLite file `size` and `latency` speak of.
        method: ``"structured"`` cuts whole channels; ``"unstructured"`` makes single weights zero,
            ``"2:4"`` (N of every M are kept) and ``"1x4"`` (blocks) in patterns.
        scope: unstructured: compare weights within each layer, or over all of them.
        schedule: unstructured, while training: grow the sparsity, or have it from the start.
        importance: structured: which channels go first.
        ratios: structured: the same share of every group, or more where it hurts less.
        multiple_of: structured: wide layers keep a multiple of so many channels.
        skip: names, paths or types of layers to leave alone, with all that is inside them.
        cluster: let each kernel hold only so many different numbers.
        qat: quantization-aware training: learn weights and ranges that suit int8.
        data: a data source with labels, as on the command line, to train on.
        test: another one to judge by; by default 20 % of `data` are set aside.
        preprocess: how data becomes the model's input: ``"scale=1/255"``.
        epochs: of training; 5 with `data`, none without.
        learning_rate: by default the compiled model's, as are the next three.
        optimizer: name of a Keras optimizer.
        loss: name of a Keras loss.
        metric: names of Keras metrics.
        batch_size: samples in one step of training.
        teacher: also learn what this model says: a path; True for the original.
        temperature: how much the teacher's answers are softened.
        resume: go on where an earlier call with the same arguments was cut off.
        custom_objects: a Python file that defines the model's own layers.
        trust_model: also load models that hold Lambda layers, that is, arbitrary code.
        force: replace an existing file.
        limits: time for one step (training is one), and memory of a child process.

    Raises:
        UsageError: the request makes no sense.
        EdgekitError: nothing could be made; the message says why and what to do.
    """
    given = {name: value for name, value in locals().items() if name not in _NOT_OPTIONS}
    request = request_from(source, out, trust=trust_model, **given)
    return run(request, Progress(total=1, enabled=False))


_NOT_OPTIONS = frozenset({"source", "out", "trust_model"})


def run(request: PruneRequest, progress: Progress) -> Pruned:
    """Do what `request` says.

    Raises:
        EdgekitError: nothing could be made.
        MissingDependencyError: no pruner is installed.
    """
    if isinstance(request.source, str | os.PathLike):
        check_source(request.source)  # what is no Keras model is refused before anything starts
    if isinstance(request.teacher, Path):
        check_teacher(request.teacher)
    if request.on is not None:
        _check_target(request.on)
    if not request.qat:  # whose result may have another suffix
        request.output()
    pruner: Callable[[PruneRequest, Progress], Pruned] = _plug_in("keras")
    return pruner(request, progress)


def pruning_callback(
    sparsity: float | None = None,
    *,
    method: str = "unstructured",
    scope: Scope = "layer",
    schedule: Schedule = "polynomial",
    begin_epoch: float | None = None,
    end_epoch: float | None = None,
    begin_step: int | None = None,
    end_step: int | None = None,
    frequency: int | None = None,
    skip: str | Sequence[str] = (),
) -> Any:
    """A callback that makes weights zero while ``model.fit`` trains, and holds them there.

        model.fit(x, y, epochs=4, callbacks=[edgekit.pruning_callback(0.8)])

    Nothing has to be removed afterwards: the model stays an ordinary one. Only its compressed file
    is smaller for it; `prune` makes files that are smaller and faster.

    Args:
        sparsity: share of zeros to reach, above 0 and below 1; 0.8 by default.
        method: ``"unstructured"``, ``"2:4"`` (N of every M are kept), or ``"1x4"`` (blocks).
        scope: compare weights within each layer, or over all of them (``"global"``).
        schedule: ``"polynomial"`` grows from begin to end; ``"constant"`` is there at once.
        begin_epoch: epochs to train before the first zeros; 0 by default. May be a fraction.
        end_epoch: how many epochs until the full sparsity; three quarters of all by default.
        begin_step: the same, as the number of a batch, from 1.
        end_step: the same, as a number of batches.
        frequency: batches from one choice of zeros to the next.
        skip: names, paths or types of layers to leave alone, with all that is inside them.

    Returns:
        A ``keras.callbacks.Callback``.

    Raises:
        UsageError: options that make no sense.
        MissingDependencyError: no pruner, or no Keras, is installed.
    """
    given = dict(locals())
    given["skip"] = (skip,) if isinstance(skip, str) else tuple(skip)
    return _plug_in("callback")(**given)


def check_source(path: AnyPath) -> None:
    """See that there is a Keras model.

    Raises:
        SourceError: it cannot be read, or is a model of another kind.
    """
    kind = _kind(path)
    if kind in _OTHERS:
        message = (
            f"{path}: {_OTHERS[kind]}, whose layers are not there any more; "
            "prune the .keras or .h5 file it was made from, then convert"
        )
        raise SourceError(message)


def check_teacher(path: AnyPath) -> None:
    """See that there is a Keras model to learn from.

    Raises:
        SourceError: it cannot be read, or is a model of another kind.
    """
    try:
        kind = _kind(path)
    except SourceError as error:
        message = f"--teacher {error}"
        raise SourceError(message) from None
    if kind in _OTHERS:
        message = (
            f"--teacher {path}: {_OTHERS[kind]}, which cannot teach; "
            "give the .keras or .h5 file it was made from"
        )
        raise SourceError(message)


def _kind(path: AnyPath) -> SourceKind:
    """As `sniff`, whose messages offer more than can be pruned."""
    try:
        return sniff(path)
    except SourceError as error:
        told = str(error).replace(READABLE, "a .keras or .h5 file")
        raise SourceError(re.sub(",? without saved_model.pb", ", not a model", told)) from None


def warnings_of(request: PruneRequest) -> tuple[str, ...]:
    """What is to be known of what was asked for; the pruner says it before it trains for long."""
    told = []
    if request.prunes and not request.method.is_structured:
        told.append(f"--method {request.method}: {DOWNLOAD_ONLY}")
    if request.epochs_to_train == 0 and (request.prunes or request.cluster is not None):
        told.append(ONE_SHOT)
    return tuple(told)


def checkpoint_of(path: AnyPath) -> Path:
    """Where checkpoints of a call whose result goes to `path` are kept, until it is there."""
    path = Path(path)
    return path.with_name(f".{path.name}.checkpoint")


def kept_of(request: PruneRequest) -> str:
    """What a call that was cut off has left for one that resumes; empty where there is nothing.

    Raises:
        UsageError: the result has the name of something else than a model.
    """
    folders = [checkpoint_of(path) for path in request.possible_outputs()]
    if any(any(folder.rglob(TRAINING)) for folder in folders):
        return "what was trained so far is kept"
    if any(any(folder.rglob(PLAN)) for folder in folders):
        return "nothing was trained yet; which channels are to be cut is kept"
    return ""


def _check_target(name: str) -> None:
    """See that `name` is a target; whether it answers shows when it measures."""
    try:
        benchmarking.plug_in("targets").find_target(name)
    except UsageError as error:
        message = f"--on {name}: {error}"
        raise UsageError(message) from None


def _plug_in(name: str) -> Any:
    found = list(entry_points(group="edgekit.pruners", name=name))
    if not found:
        message = (
            "edgekit: nothing here prunes Keras models; "
            "run: pip install '.[convert]' in the edgekit checkout"
        )
        raise MissingDependencyError(message)
    return found[0].load()
