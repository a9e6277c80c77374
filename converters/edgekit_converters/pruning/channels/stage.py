"""Cut channels out of a model: rank them once, plan as often as needed, cut."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from edgekit.child_main import tell
from edgekit.errors import EdgekitError, UsageError
from edgekit_converters.pruning.channels.choose import (
    Plan,
    Ranking,
    Target,
    least_share,
    plan,
    rank,
)
from edgekit_converters.pruning.channels.cut import cut
from edgekit_converters.pruning.channels.graph import ChannelGraph, Mask
from edgekit_converters.pruning.job import Job
from edgekit_converters.pruning.trace.trace import trace
from edgekit_converters.pruning.training.compiled import goal
from edgekit_converters.pruning.training.labels import fit_labels
from edgekit_converters.pruning.training.stage import settings_of
from edgekit_converters.pruning.training.task_loss import Batch
from edgekit_converters.pruning.zeros.kernels import find_kernels

Kind = Literal["sparsity", "macs", "parameters"]

RANKED_ON = 512
"""So many training samples tell which channels matter, and how sensitive a group is."""
_RANKED_AT_ONCE = 32
_REASONS = 3
_OVERSHOOT = 0.1
"""Of all multiply-adds; less is not worth a word."""


@dataclass(slots=True, kw_only=True)
class ChannelStage:
    """What can be cut from the model of a job, and what was chosen."""

    job: Job
    graph: ChannelGraph
    ranking: Ranking | None = None

    @classmethod
    def open(cls, job: Job) -> ChannelStage:
        """Find the channels.

        Raises:
            SourceError: the model's layers cannot be seen.
            UsageError: ``--skip`` names no layer, or nothing can be cut.
        """
        tell("finding the channels")
        graph = trace(job.model, job.request.skip)
        if not graph.groups:
            raise _nothing_to_cut(job, graph)
        if graph.uncounted:
            target = job.request.macs is not None
            (job.warnings if target else job.notes).append(_uncounted(graph.uncounted))
        if any(None in spec.shape[1:] for spec in job.loaded.inputs):
            job.notes.append(
                "multiply-adds are counted with one element along axes that the inputs leave free; "
                "--size and --latency measure the file"
            )
        return cls(job=job, graph=graph)

    def plan(self, kind: Kind, amount: float) -> Plan:
        """What goes for a target.

        Raises:
            UsageError: it cannot be met, nothing can be cut, or data or a loss is missing.
        """
        return plan(self._ranked(), Target(kind=kind, amount=amount))

    def least_share(self, kind: Literal["macs", "parameters"]) -> float:
        """The smallest share that can be left.

        Raises:
            UsageError: data or a loss is missing.
        """
        return least_share(self._ranked(), kind)

    def _ranked(self) -> Ranking:
        request = self.job.request
        if self.ranking is None:
            tell("ranking the channels")
            needs_data = request.importance == "taylor" or request.ratios == "sensitivity"
            self.ranking = rank(
                self.job.model,
                self.graph,
                importance=request.importance,
                ratios=request.ratios,
                multiple_of=request.multiple_of,
                report=tell,
                **(self._data() if needs_data else {}),
            )
        return self.ranking

    def note_overshoot(self, kind: Kind, amount: float, removed: Mask) -> None:
        """Say so where much more multiply-adds go than a target asked for."""
        multiple, whole = self.job.request.multiple_of, self.graph.macs()
        if kind != "macs" or multiple == 1:
            return
        asked = amount if amount <= 1 else amount / whole
        left = self.graph.macs(removed) / whole
        if asked - left > _OVERSHOOT:
            self.job.notes.append(
                f"{left:.0%} of the multiply-adds stay, where {asked:.0%} would have done: widths "
                "are multiples of a few channels; --multiple-of 1 comes closer"
            )

    def cut(self, removed: Mask) -> Any:
        """The model without the channels `removed`."""
        tell("cutting")
        return cut(self.job.model, self.graph, removed)

    def cuts(self, removed: Mask) -> list[dict[str, Any]]:
        """Groups as they were and are, for the result."""
        return [
            {
                "name": group.name,
                "layers": list(group.layers),
                "kind": group.kind,
                "before": len(group.channels),
                "after": int(np.count_nonzero(~removed[group.channels])),
            }
            for group in self.graph.groups
        ]

    def _data(self) -> dict[str, Any]:
        """Batches of training data, and the loss, as `rank` takes them."""
        data = self.job.data
        assert data is not None
        aim = goal(
            self.job.model, settings_of(self.job.request), self.job.keras, name=self.job.name
        )
        chosen = np.random.default_rng(0).permutation(data.train)[:RANKED_ON]
        output = self.job.model.outputs[aim.output]
        labels = fit_labels(data.labels, aim.family, tuple(output.shape), source=data.text)
        batches: list[Batch] = []
        for start in range(0, len(chosen), _RANKED_AT_ONCE):
            rows = np.sort(chosen[start : start + _RANKED_AT_ONCE])
            arrays = data.samples(rows)
            batches.append((arrays[0] if len(arrays) == 1 else list(arrays), labels[rows]))
        outputs = range(len(self.job.model.outputs))
        return {
            "batches": batches,
            "loss": [aim.loss if output == aim.output else None for output in outputs],
        }


def _uncounted(names: Sequence[str]) -> str:
    """What to say of layers that the multiply-adds leave out."""
    more = f" and {len(names) - _REASONS} more" if len(names) > _REASONS else ""
    return (
        f"multiply-adds are without those of {', '.join(names[:_REASONS])}{more}, which edgekit "
        "cannot count; --size and --latency measure the file"
    )


def _nothing_to_cut(job: Job, graph: ChannelGraph) -> UsageError:
    """Why, and what may be done instead; of kernels single weights can become zero."""
    reasons = "; ".join(f"{left.layer}: {left.reason}" for left in graph.left[:_REASONS])
    why = f" ({reasons})" if reasons else ""
    try:
        find_kernels(job.model, job.request.skip)
    except EdgekitError:
        advice = "it has no weights that pruning could take"
    else:
        advice = "try --method unstructured --sparsity 50%"
    if job.request.skip:
        advice = "leave out --skip, or some of it"
    return UsageError(f"{job.name}: no channel can be cut{why}; {advice}")
