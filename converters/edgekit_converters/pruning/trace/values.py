"""What is known of a tensor while a model is traced, and which channels belong together."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from edgekit_converters.pruning.channels.graph import Numbers

FIXED = 0
"""The channel that is never removed. While tracing it is a number like the others."""

Axes = tuple[Numbers | None, ...]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Value:
    """A tensor: its shape with the batch, and the channel of each position along each axis.

    None for an axis: no position of it is ever removed.
    """

    shape: tuple[int | None, ...]
    axes: Axes
    dtype: str = "float32"

    @classmethod
    def plain(cls, shape: Sequence[int | None], dtype: str = "float32") -> Value:
        """Returns a tensor that stays as it is."""
        return cls(shape=tuple(shape), axes=(None,) * len(shape), dtype=dtype)

    @property
    def rank(self) -> int:
        """How many axes it has, with the batch."""
        return len(self.shape)

    @property
    def labelled(self) -> list[int]:
        """The axes along which positions may be removed."""
        return [at for at, numbers in enumerate(self.axes) if numbers is not None]

    def numbers(self, axis: int) -> Numbers:
        """Returns the channel of every position along `axis`; its size must be known."""
        found = self.axes[axis]
        if found is not None:
            return found
        return np.full(self.shape[axis] or 0, FIXED, np.intp)

    def of_shape(self, shape: Sequence[int | None], axes: Mapping[int, Numbers | None]) -> Value:
        """Returns a tensor of `shape` with the channels `axes`, negative axes counted from behind.

        An axis that a free dimension or another size makes meaningless is left out.
        """
        wanted: list[Numbers | None] = [None] * len(shape)
        for axis, numbers in axes.items():
            if numbers is not None and shape[axis] == len(numbers):
                wanted[axis] = numbers
        return replace(self, shape=tuple(shape), axes=tuple(wanted))


def positions(shape: Sequence[int | None]) -> int:
    """Returns how many positions there are; a free dimension counts as 1."""
    return math.prod(size or 1 for size in shape)


class Joins:
    """Channel numbers, those that must go together, and those that must stay."""

    def __init__(self) -> None:
        self._count = 1
        self._edges: list[Numbers] = []
        self._fixed: list[tuple[Numbers, str]] = []

    def new(self, count: int) -> Numbers:
        """Returns `count` channels that did not exist before."""
        self._count += count
        return np.arange(self._count - count, self._count)

    def join(self, one: Numbers, other: Numbers, reason: str) -> None:
        """Makes each channel of `one` go with that of `other` in the same place.

        Where one of the two stays, the other stays, for `reason`; all do if there are not as many
        of one as of the other, or it is not known how many.
        """
        if one is other:
            return
        if len(one) != len(other):
            self.fix(np.concatenate([one, other]), reason)
            return
        free = (one != FIXED) & (other != FIXED)
        self._edges.append(np.stack([one[free], other[free]]))
        self.fix(np.where(one == FIXED, other, one)[~free], reason)

    def fix(self, numbers: Numbers, reason: str, *, foremost: bool = False) -> None:
        """Makes channels stay; the first reason is told, or the foremost one."""
        meant = np.unique(numbers[numbers != FIXED])
        if len(meant):
            self._fixed.insert(0 if foremost else len(self._fixed), (meant, reason))

    def resolve(self) -> tuple[Numbers, dict[int, str]]:
        """Returns for each number the least one it goes with, and why those that stay do."""
        parent = list(range(self._count))

        def root(number: int) -> int:
            while parent[number] != number:
                parent[number] = parent[parent[number]]
                number = parent[number]
            return number

        if self._edges:
            pairs = np.concatenate(self._edges, axis=1)
            for one, other in zip(*np.unique(pairs, axis=1).tolist(), strict=True):
                first, second = sorted((root(one), root(other)))
                parent[second] = first
        roots = np.array([root(number) for number in range(self._count)], np.intp)
        reasons: dict[int, str] = {}
        for numbers, reason in self._fixed:
            for number in np.unique(roots[numbers]).tolist():
                reasons.setdefault(number, reason)
        return roots, reasons
