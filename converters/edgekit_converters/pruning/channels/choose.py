"""Which channels go, so that a target is met: rank once, then plan for as many targets as needed.

ranking = rank(model, trace(model), importance="magnitude")
plan(ranking, Target(kind="macs", amount=0.5)).removed      # a mask, for cut()
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from edgekit.errors import UsageError
from edgekit_converters.pruning.channels.costs import CostKind, Counts, cost
from edgekit_converters.pruning.channels.graph import ChannelGraph, Mask
from edgekit_converters.pruning.channels.importance import Importance, Report, Scores, score
from edgekit_converters.pruning.channels.ratios import (
    Options,
    Ratios,
    allowed,
    candidates,
    sensitive_path,
    uniform_counts,
    uniform_path,
)
from edgekit_converters.pruning.channels.sensitivity import Curve, sensitivity
from edgekit_converters.pruning.training.task_loss import Batch, Loss

_WORDS = {"macs": "multiply-adds", "parameters": "parameters", "sparsity": "channels"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What is asked for.

    Attributes:
        kind: what is counted.
        amount: for "sparsity" the share of the channels that goes, 0 up to and without 1; for the
            others what stays: up to 1 a share, above an absolute number.
    """

    kind: Literal["sparsity", "macs", "parameters"]
    amount: float

    def __post_init__(self) -> None:
        """Check the amount."""
        if self.kind == "sparsity" and not 0 <= self.amount < 1:
            message = f"--sparsity {self.amount:g}: must be at least 0% and below 100%"
            raise UsageError(message)
        if not self.amount >= 0 or (self.kind != "sparsity" and self.amount == 0):
            message = f"--{self.kind} {self.amount:g}: must be above 0; give what is to stay"
            raise UsageError(message)

    def __str__(self) -> str:
        """As a user would have typed it."""
        share = self.kind == "sparsity" or self.amount <= 1
        text = f"{100 * self.amount:.4g}%" if share else f"{self.amount:.0f}"
        return f"--{self.kind} {text}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranking:
    """What all plans for one model start from; `rank` makes it.

    Attributes:
        graph: the channels.
        scores: importance, of shape (channel_count,); compared within a group only.
        options: for each group the numbers of channels that may stay, falling.
        curves: for each group the rise of the loss; None where shares are uniform.
    """

    graph: ChannelGraph
    scores: Scores
    options: Options
    curves: tuple[Curve, ...] | None = None
    found: dict[CostKind, tuple[Counts, NDArray[np.float64]]] = field(
        default_factory=dict, repr=False, compare=False
    )
    """Candidates that were worked out before, by the cost they are for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What goes, and what is left of the model then.

    Attributes:
        removed: mask of shape (channel_count,).
        kept: for each group of the graph how many channels stay.
        shares: for each group the share of its channels that goes.
        macs: multiply-adds that stay.
        parameters: stored numbers that stay.
        channels: channels that stay, of those that can be cut.
    """

    removed: Mask
    kept: tuple[int, ...]
    shares: tuple[float, ...]
    macs: int
    parameters: int
    channels: int


def rank(
    model: Any,
    graph: ChannelGraph,
    *,
    importance: Importance = "magnitude",
    ratios: Ratios = "uniform",
    multiple_of: int = 8,
    batches: Sequence[Batch] = (),
    loss: Loss = None,
    report: Report | None = None,
) -> Ranking:
    """Work out once what every plan needs: importance, and with it the sensitivity.

    Args:
        model: a Keras 3 model; as before when this returns.
        graph: its channels, from `trace`.
        importance: how channels are compared within a group.
        ratios: the same share everywhere, or more where the loss rises less.
        multiple_of: what the width of wide layers stays a multiple of; 1 for any width.
        batches: (x, labels) of the user's data; for "taylor" and "sensitivity".
        loss: instead of the compiled one; for "taylor" and "sensitivity".
        report: told how far it is.

    Raises:
        UsageError: nothing can be cut, or data or a loss is missing.
    """
    if not graph.groups:
        name = getattr(model, "name", "model")
        reasons = "; ".join(f"{left.layer}: {left.reason}" for left in graph.left[:3])
        why = f" ({reasons})" if reasons else ""
        message = f"{name}: no channel can be cut{why}; try --method unstructured"
        raise UsageError(message)
    if multiple_of < 1:
        message = f"--multiple-of {multiple_of}: must be at least 1"
        raise UsageError(message)
    scores = score(importance, model, graph, batches=batches, loss=loss, report=report)
    curves = None
    if ratios == "sensitivity":
        curves = sensitivity(model, graph, scores, batches, loss, report)
    return Ranking(graph=graph, scores=scores, options=_options(graph, multiple_of), curves=curves)


def plan(ranking: Ranking, target: Target) -> Plan:
    """Choose what goes: no more than `target` stays, and as near to it as the rounding allows.

    With uniform shares, "sparsity" takes at least that share of each group; every other target is
    for the model as a whole. A harder target never leaves more.

    Raises:
        UsageError: even with one channel left in every group more stays than asked for.
    """
    graph = ranking.graph
    if target.kind == "sparsity" and ranking.curves is None:
        return _uniform_plan(ranking, target)
    limit = _limit(graph, target)
    rows, costs = _candidates(ranking, "channels" if target.kind == "sparsity" else target.kind)
    start = int(np.searchsorted(-costs, -limit * (1 + 1e-12)))
    for row in rows[start:]:
        made = _plan(ranking, row.astype(np.intp))
        if _stays(made, target) <= limit:
            return made
    raise _out_of_reach(ranking, target)


def _uniform_plan(ranking: Ranking, target: Target) -> Plan:
    """That share of every group; more where groups too narrow for it hold the total back."""
    steps = {1 - int(count) / int(counts[0]) for counts in ranking.options for count in counts}
    limit = _limit(ranking.graph, target)
    for share in (target.amount, *sorted(step for step in steps if step > target.amount)):
        counts = uniform_counts(ranking.options, share)
        if counts.sum() <= limit:
            return _plan(ranking, counts)
    raise _out_of_reach(ranking, target)


def least_share(ranking: Ranking, kind: Literal["macs", "parameters"]) -> float:
    """The smallest share that a target can ask for: with one channel left in every group."""
    target = Target(kind=kind, amount=1)
    whole = _whole(ranking.graph, target)
    stays = _stays(_plan(ranking, np.ones(len(ranking.options), np.intp)), target)
    return min(1.0, stays / whole * (1 + 1e-9)) if whole else 1.0


def choose(graph: ChannelGraph, scores: Scores, kept: Sequence[int] | NDArray[np.intp]) -> Mask:
    """The mask that leaves the `kept` most important channels of each group, but at least one.

    Of equally important channels the first stay.

    Args:
        graph: the channels.
        scores: of shape (channel_count,).
        kept: for each group how many stay.
    """
    removed = graph.nothing_removed()
    for group, count in zip(graph.groups, kept, strict=True):
        order = np.argsort(-scores[group.channels], kind="stable")
        removed[group.channels[order[max(1, int(count)) :]]] = True
    return removed


def _options(graph: ChannelGraph, multiple_of: int) -> Options:
    return tuple(
        allowed(len(group.channels), 1 if group.kind == "heads" else multiple_of)
        for group in graph.groups
    )


def _candidates(ranking: Ranking, kind: CostKind) -> tuple[Counts, NDArray[np.float64]]:
    if kind not in ranking.found:
        price = cost(ranking.graph, kind)
        if ranking.curves is None:
            path = uniform_path(ranking.options)
        else:
            path = sensitive_path(ranking.options, price, ranking.curves)
        ranking.found[kind] = candidates(path, ranking.options, price)
    return ranking.found[kind]


def _plan(ranking: Ranking, kept: NDArray[np.intp]) -> Plan:
    graph = ranking.graph
    removed = choose(graph, ranking.scores, kept)
    return Plan(
        removed=removed,
        kept=tuple(int(count) for count in kept),
        shares=tuple(
            1 - int(count) / len(group.channels)
            for group, count in zip(graph.groups, kept, strict=True)
        ),
        macs=graph.macs(removed),
        parameters=graph.parameters(removed),
        channels=int(kept.sum()),
    )


def _stays(made: Plan, target: Target) -> int:
    if target.kind == "sparsity":
        return made.channels
    return made.macs if target.kind == "macs" else made.parameters


def _whole(graph: ChannelGraph, target: Target) -> int:
    if target.kind == "sparsity":
        return sum(len(group.channels) for group in graph.groups)
    return graph.macs() if target.kind == "macs" else graph.parameters()


def _limit(graph: ChannelGraph, target: Target) -> float:
    """What may stay at most."""
    whole = _whole(graph, target)
    if target.kind == "sparsity":
        return whole * (1 - target.amount) + 1e-9
    return whole * target.amount if target.amount <= 1 else target.amount


def _out_of_reach(ranking: Ranking, target: Target) -> UsageError:
    least = _plan(ranking, np.ones(len(ranking.options), np.intp))
    whole, stays = _whole(ranking.graph, target), _stays(least, target)
    what = _WORDS[target.kind]
    if target.kind == "sparsity":
        most = f"{math.floor(10_000 * (1 - stays / whole)) / 100:g}%"  # what can be asked for
        return UsageError(
            f"{target}: even with one channel left everywhere only {most} go; ask for less"
        )
    share = f"{math.ceil(10_000 * stays / whole) / 100:g}% of the"
    left = share if target.amount <= 1 else f"{stays:,}"
    meant = f", or did you mean {target.amount:g}%?" if 1 < target.amount < 100 else ""
    return UsageError(
        f"{target}: even with one channel left everywhere {left} {what} remain; ask for more{meant}"
    )
