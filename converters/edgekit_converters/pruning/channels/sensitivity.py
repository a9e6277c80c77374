"""How much the loss rises when the least important channels of one group are taken away."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.errors import UsageError
from edgekit_converters.pruning.channels.graph import ChannelGraph, Mask, Weight, variables_by_path
from edgekit_converters.pruning.channels.importance import Report, Scores
from edgekit_converters.pruning.training.task_loss import Batch, Loss, mean_loss, task_loss

SHARES = (0.25, 0.5, 0.75, 1.0)
"""Shares of a group that are tried; of 1.0 one channel is left."""
_WORST_RISE = 1e6


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """The rise of the loss over the share of a group that is removed.

    Attributes:
        shares: ascending, from 0.
        rises: at those shares, never falling, 0 at share 0; in units of the loss.
    """

    shares: tuple[float, ...]
    rises: tuple[float, ...]

    def at(self, shares: NDArray[np.float64]) -> NDArray[np.float64]:
        """The rise at each of `shares`, straight lines between what was measured."""
        return np.interp(shares, self.shares, self.rises)


def sensitivity(
    model: Any,
    graph: ChannelGraph,
    scores: Scores,
    batches: Sequence[Batch],
    loss: Loss = None,
    report: Report | None = None,
) -> tuple[Curve, ...]:
    """Measure one curve for each group, the other groups left whole.

    Channels are taken away by setting all their weights to zero in place; the model is as before
    when this returns or raises. Runs the data through the model ``1 + 4 * groups`` times.

    Args:
        model: a Keras 3 model, compiled if `loss` is None.
        graph: its channels.
        scores: of shape (channel_count,); the channels with the least of a group go first.
        batches: of the user's data with labels, some hundred samples of all classes.
        loss: instead of the compiled one.
        report: told which group comes next.

    Raises:
        UsageError: no data, no loss, or the loss of the whole model is not a number.
    """
    if not batches:
        message = "--ratios sensitivity: needs data with labels; give --data, or --ratios uniform"
        raise UsageError(message)
    measure = mean_loss(task_loss(model, loss), batches)
    whole = measure()
    if not np.isfinite(whole):
        message = (
            f"--ratios sensitivity: the loss of the model on this data is {whole}; "
            "look for NaN in the data, or use --ratios uniform"
        )
        raise UsageError(message)
    variables = variables_by_path(model)
    curves = []
    for number, group in enumerate(graph.groups, start=1):
        if report is not None:
            report(f"sensitivity: {group.name}, group {number} of {len(graph.groups)}")
        size = len(group.channels)
        order = group.channels[np.argsort(scores[group.channels], kind="stable")]
        counts = sorted({min(size - 1, round(share * size)) for share in SHARES} - {0})
        losses = []
        for count in counts:
            removed = graph.nothing_removed()
            removed[order[:count]] = True
            losses.append(_loss_without(variables, graph.weights, removed, measure))
        rises = np.array([0.0, *losses]) - [0.0, *[whole] * len(losses)]
        rises = np.nan_to_num(rises, nan=_WORST_RISE, posinf=_WORST_RISE)
        rises = np.maximum.accumulate(np.minimum(rises, _WORST_RISE))
        curves.append(
            Curve(
                shares=(0.0, *(count / size for count in counts)),
                rises=tuple(float(rise) for rise in rises),
            )
        )
    return tuple(curves)


def _loss_without(
    variables: dict[str, Any],
    weights: Sequence[Weight],
    removed: Mask,
    measure: Callable[[], float],
) -> float:
    """The loss with the weights of the removed channels set to zero; they are put back after."""
    changed: list[tuple[Any, NDArray[Any]]] = []
    try:
        for weight in weights:
            if weight.role == "statistic":
                continue  # scale and offset, or whoever reads the channel, are zero already
            gone = [
                np.zeros(size, np.bool_) if numbers is None else (numbers >= 0) & removed[numbers]
                for size, numbers in zip(weight.shape, weight.axes, strict=True)
            ]
            if not any(mask.any() for mask in gone):
                continue
            variable = variables[weight.path]
            original = np.asarray(variable.numpy())
            values = original.copy()
            for axis, mask in enumerate(gone):
                values[(slice(None),) * axis + (mask,)] = 0
            changed.append((variable, original))
            variable.assign(values)
        return measure()
    finally:
        for variable, original in changed:
            variable.assign(original)
