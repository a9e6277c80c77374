"""Prune, cluster and quantize the Keras 3 model of a job, training it where there are data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edgekit_converters.pruning.job import Job
from edgekit_converters.pruning.qat.model import qat_begin, qat_finish
from edgekit_converters.pruning.skipped_names import layers_within
from edgekit_converters.pruning.training.fine_tune import Projection
from edgekit_converters.pruning.training.history import History
from edgekit_converters.pruning.training.stage import train
from edgekit_converters.pruning.zeros.clusters import Clusters
from edgekit_converters.pruning.zeros.compression import Compression, collected
from edgekit_converters.pruning.zeros.holding import Masks, Zeros, one_shot
from edgekit_converters.pruning.zeros.kernels import Kernel, find_kernels
from edgekit_converters.pruning.zeros.pattern import pattern_of


def compress(job: Job, folder: Path, digest: str) -> Compression:
    """All stages; what one brought about is held by those after it.

    Raises:
        SourceError: nothing can be pruned, clustered or quantized so.
        UsageError: ``--skip`` names no layer.
        EdgekitError: as `fine_tune`.
    """
    return _Stages(job, folder, digest).run()


def check(job: Job) -> None:
    """Refuse at once what a later stage would refuse, after hours in those before it.

    Raises:
        SourceError: the model cannot be clustered, or not be trained for int8.
        UsageError: ``--skip`` names no layer.
    """
    request = job.request
    if request.cluster is not None:
        find_kernels(job.model, request.skip)
    if request.qat and (request.prunes or request.cluster is not None):
        qat_begin(job.model, request.skip)


class _Stages:
    def __init__(self, job: Job, folder: Path, digest: str) -> None:
        self.job = job
        self.request = job.request
        self.skip = job.request.skip
        self.folder = folder
        self.digest = digest
        self.model = job.model
        self.histories: list[tuple[str, History]] = []
        self.notes: list[str] = []

    @property
    def trains(self) -> bool:
        return self.request.epochs_to_train > 0

    @property
    def zeros(self) -> bool:
        """Whether single weights are to be zero."""
        return self.request.prunes and not self.request.method.is_structured

    def run(self) -> Compression:
        request = self.request
        if self.zeros:
            self._prune()
        elif self.trains and request.prunes:
            self._train("prune", self.model, self._earlier_zeros(self.skip))
        if request.cluster is not None:
            self._cluster(request.cluster)
        ranges: dict[str, tuple[float, float]] = {}
        if request.qat:
            ranges = self._quantize()
        kernels: tuple[Kernel, ...] = ()
        pattern = pattern_of(str(request.method)) if self.zeros else None
        if self.zeros or request.cluster is not None:
            kernels = find_kernels(self.model, self._still_there(self.skip))
        return collected(
            self.model,
            self.histories,
            notes=self.notes,
            kernels=kernels,
            pruned=None if pattern is None else lambda kernel: pattern.takes(kernel.layout),
            reason=f"{request.method} is along the inputs of a kernel, and it has none",
            clusters=request.cluster is not None,
            ranges=ranges,
        )

    def _train(self, stage: str, model: Any, projections: tuple[Projection, ...] = ()) -> None:
        history = train(
            self.job,
            model,
            stage,
            projections=projections,
            folder=self.folder,
            digest=self.digest,
        )
        self.histories.append((stage, history))

    def _prune(self) -> None:
        request = self.request
        how = {"method": str(request.method), "scope": request.scope, "skip": self.skip}
        if not self.trains:
            one_shot(self.model, request.share_of_zeros, **how)  # type: ignore[arg-type]
            return
        held = Masks(request.share_of_zeros, schedule=request.schedule, **how)  # type: ignore[arg-type]
        self._train("prune", self.model, (held,))

    def _cluster(self, count: int) -> None:
        held = Clusters(count, skip=self.skip)
        if self.trains:
            self._train("cluster", self.model, (held,))
        else:
            held.begin(self.model, 1)
            held.finish()

    def _quantize(self) -> dict[str, tuple[float, float]]:
        qat = qat_begin(self.model, self.skip)
        self.skip = tuple(sorted(qat.skipped))  # a layer may be two in training, or have moved
        self.notes += qat.notes
        held: list[Projection] = [qat.projection()]
        if self.request.cluster is not None:
            held.append(
                Clusters(self.request.cluster, skip=self._still_there(self.skip, qat.model))
            )
        elif self.zeros:
            held.append(Zeros(skip=self._still_there(self.skip, qat.model)))
        else:
            held += self._earlier_zeros(self._still_there(self.skip, qat.model))
        self._train("quantize", qat.model, tuple(held))
        self.model, ranges = qat_finish(qat)
        return ranges

    def _earlier_zeros(self, skip: tuple[str, ...]) -> tuple[Projection, ...]:
        """What holds the zeros that the model came with, where an earlier call made them."""
        if not self.job.has_zeros:
            return ()
        self.notes.append("zeros that an earlier call made are kept")
        return (Zeros(skip=skip),)

    def _still_there(self, skip: tuple[str, ...], model: Any = None) -> tuple[str, ...]:
        """Those of `skip` that the model still has: folding takes batch normalisations away."""
        layers = layers_within(self.model if model is None else model)
        names = {name for placed in layers for name in placed.names}
        return tuple(one for one in skip if one in names)
