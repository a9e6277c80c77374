"""What became of the weights of a model, told in plain data."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from edgekit_converters.pruning.training.history import History
from edgekit_converters.pruning.zeros.kernels import Kernel

_MOST_CLUSTERS = 1 << 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Compression:
    """A model after all stages."""

    model: Any
    notes: tuple[str, ...] = ()
    sparsity: float | None = None
    """Share of zeros in the kernels that were pruned."""
    zeros: tuple[Mapping[str, Any], ...] = ()
    """Of each kernel ``layer``, ``weights``, ``zeros``, ``clusters``."""
    left: tuple[Mapping[str, str], ...] = ()
    """Kernels that were not pruned though nobody said so: ``layer``, ``reason``."""
    history: tuple[Mapping[str, Any], ...] = ()
    """Each epoch as it tells itself, with its ``stage``; stages one after the other."""
    best: int | None = None
    """The epoch of the last stage whose weights the model has; None without training."""
    stopped: str = ""
    warnings: tuple[str, ...] = ()
    ranges: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    """Of activations, by layer, where they were learned."""


def collected(
    model: Any,
    histories: Sequence[tuple[str, History]],
    *,
    notes: Sequence[str] = (),
    kernels: Sequence[Kernel] = (),
    pruned: Callable[[Kernel], bool] | None = None,
    reason: str = "",
    clusters: bool = False,
    ranges: Mapping[str, tuple[float, float]] | None = None,
) -> Compression:
    """Put together what the stages gave.

    Args:
        model: as it is now.
        histories: by stage.
        notes: of the stages; those of the histories are added.
        kernels: that were to be pruned or put into clusters.
        pruned: whether one of them was pruned; None where none was to be.
        reason: why others were not; empty where `notes` tell.
        clusters: whether they were put into clusters.
        ranges: of activations.
    """
    told = {kernel.path: _kernel(kernel, clusters=clusters) for kernel in kernels}
    taken = {kernel.path for kernel in kernels if pruned is not None and pruned(kernel)}
    weights = sum(told[path]["weights"] for path in taken)
    zeros = sum(told[path]["zeros"] for path in taken)
    left = told.keys() - taken if pruned is not None and reason else ()
    stopped = [f"{stage}: {history.stopped}" for stage, history in histories if history.stopped]
    all_notes = [*notes, *(note for _, history in histories for note in history.notes)]
    for stage, history in histories:
        if history.best == 0 and history.epochs:
            all_notes.append(f"{stage}: training made it no better, so its weights are as before")
    return Compression(
        model=model,
        notes=tuple(dict.fromkeys(all_notes)),
        sparsity=zeros / weights if weights else None,
        zeros=tuple(one for path, one in told.items() if clusters or path in taken),
        left=tuple({"layer": path, "reason": reason} for path in told if path in left),
        history=tuple(
            {**epoch.to_dict(), "stage": stage}
            for stage, history in histories
            for epoch in (history.before, *history.epochs)
        ),
        best=histories[-1][1].best if histories else None,
        stopped="; ".join(stopped),
        warnings=tuple(
            f"{stage}: {history.stopped}" for stage, history in histories if history.is_lost
        ),
        ranges=ranges or {},
    )


def _kernel(kernel: Kernel, *, clusters: bool) -> dict[str, Any]:
    values = kernel.read()
    different = len(np.unique(values)) if clusters else None
    return {
        "layer": kernel.path,
        "weights": int(values.size),
        "zeros": int(np.count_nonzero(values == 0)),
        "clusters": different if different is not None and different < _MOST_CLUSTERS else None,
    }
