"""Prune, cluster and quantize the Keras 2 model of a job, training it where there are data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edgekit_converters.pruning.job import Job
from edgekit_converters.pruning.keras2.compress import compress as compress_by_tfmot
from edgekit_converters.pruning.keras2.prune import prunable
from edgekit_converters.pruning.keras2.settings import Keras2Settings, Stage
from edgekit_converters.pruning.training.history import History
from edgekit_converters.pruning.training.stage import steps_of, train
from edgekit_converters.pruning.zeros.compression import Compression, collected
from edgekit_converters.pruning.zeros.kernels import find_kernels


def compress(job: Job, folder: Path, digest: str) -> Compression:
    """All stages, by tensorflow-model-optimization.

    Raises:
        SourceError: it cannot; the message names the layer.
        EdgekitError: as `fine_tune`.
    """
    request = job.request
    trains = request.epochs_to_train > 0
    prunes = request.prunes and not request.method.is_structured
    settings = Keras2Settings(
        name=job.name,
        sparsity=request.share_of_zeros if prunes and request.method.kind != "n:m" else None,
        method=str(request.method) if prunes else "unstructured",
        scope=request.scope,
        schedule=request.schedule,
        has_zeros=job.has_zeros,
        clusters=request.cluster,
        quantize=request.qat,
        skip=request.skip,
        steps=steps_of(job) if trains else 0,
    )

    def fit(model: Any, projections: list[Any], *, stage: Stage) -> History:
        return train(job, model, stage, projections=projections, folder=folder, digest=digest)

    made = compress_by_tfmot(job.model, settings, fit if trains else None)
    histories = [(stage, told) for stage, told in made.trained.items() if isinstance(told, History)]
    pruned = prunable(made.model, settings) if prunes and not request.qat else frozenset()
    return collected(
        made.model,
        histories,
        notes=made.notes,
        kernels=() if request.qat else find_kernels(made.model, request.skip),
        clusters=request.cluster is not None,
        pruned=(lambda kernel: id(kernel.variable) in pruned) if prunes else None,
    )
