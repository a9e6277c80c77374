"""What a model costs with so many channels left in each group, for many such numbers at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from edgekit_converters.pruning.channels.graph import ChannelGraph, Numbers

CostKind = Literal["macs", "parameters", "channels"]
Counts = NDArray[np.float64]
"""Channels that stay, of shape (groups,) or (many, groups)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """A sum of products: ``cost = fixed + sum over t of factor_t * product over axes of length``.

    The length of an axis is linear in the channels left, as if those of a group stood on it equally
    often; where they do not, `ChannelGraph.macs` is the truth and this is close to it.
    """

    fixed: float
    factors: NDArray[np.float64]
    """Shape (terms,)."""
    first_axis: NDArray[np.intp]
    """Shape (terms,): where the axes of a term begin; every term has at least one."""
    offsets: NDArray[np.float64]
    """Shape (axes,): positions that always stay."""
    slopes: NDArray[np.float64]
    """Shape (axes, groups): positions that one channel of a group has on the axis."""

    def of(self, counts: Counts) -> NDArray[np.float64]:
        """The cost of each row of `counts`: shape () or (many,)."""
        lengths = counts @ self.slopes.T + self.offsets
        if not len(self.factors):
            return np.full(lengths.shape[:-1], self.fixed)
        products = np.multiply.reduceat(lengths, self.first_axis, axis=-1)
        total: NDArray[np.float64] = self.fixed + products @ self.factors
        return total

    def savings(self, counts: Counts) -> NDArray[np.float64]:
        """What one channel less saves, in each group: shape (groups,), from counts (groups,)."""
        lengths = counts @ self.slopes.T + self.offsets
        if not len(self.factors):
            return np.zeros(len(counts))
        products = self.factors * np.multiply.reduceat(lengths, self.first_axis)
        sizes = np.diff(np.append(self.first_axis, len(lengths)))
        per_axis = np.repeat(products, sizes) / np.maximum(lengths, 1e-9)
        result: NDArray[np.float64] = per_axis @ self.slopes
        return result


def cost(graph: ChannelGraph, kind: CostKind) -> Cost:
    """The cost of that kind: multiply-adds, stored numbers, or channels that can be cut."""
    groups = _group_of_channel(graph)
    count = len(graph.groups)
    terms: list[tuple[float, Sequence[Numbers | None], Sequence[int]]] = []
    if kind == "macs":
        terms += [(w.uses, w.axes, w.shape) for w in graph.weights if w.uses]
        terms += [(w.uses, w.axes, [len(a) for a in w.axes]) for w in graph.work]
    elif kind == "parameters":
        terms += [(1.0, w.axes, w.shape) for w in graph.weights]
    fixed = 0.0
    factors: list[float] = []
    first: list[int] = []
    offsets: list[float] = []
    slopes: list[NDArray[np.float64]] = []
    if kind == "channels":
        for index in range(count):
            factors.append(1.0)
            first.append(len(offsets))
            offsets.append(0.0)
            slopes.append(np.eye(count)[index])
    for factor, axes, shape in terms:
        begin = len(offsets)
        for numbers, size in zip(axes, shape, strict=True):
            if numbers is None or not np.any(numbers >= 0):
                factor *= size  # noqa: PLW2901 - the axes that never change are part of the factor
                continue
            offsets.append(float(np.count_nonzero(numbers < 0)))
            per_group = np.bincount(groups[numbers[numbers >= 0]], minlength=count)
            slopes.append(per_group / [len(group.channels) for group in graph.groups])
        if len(offsets) > begin:
            factors.append(factor)
            first.append(begin)
        else:
            fixed += factor
    return Cost(
        fixed=fixed,
        factors=np.array(factors),
        first_axis=np.array(first, np.intp),
        offsets=np.array(offsets),
        slopes=np.array(slopes).reshape(-1, count),
    )


def _group_of_channel(graph: ChannelGraph) -> Numbers:
    groups = np.zeros(graph.channel_count, np.intp)
    for index, group in enumerate(graph.groups):
        groups[group.channels] = index
    return groups
