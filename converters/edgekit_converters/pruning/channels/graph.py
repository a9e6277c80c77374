"""Which numbers of a model belong to which channel, and what it costs without some of them.

A *channel* is what can only be removed as a whole: one filter of a convolution with its bias, the
numbers of the normalisations behind it, the slices of every layer that reads it, and, where
branches are added, the filters of the other branches that are added to it. Channels have numbers 0,
1, ... `channel_count - 1`; a set of channels to remove is a mask of that length. `trace` makes the
graph, `cut` carries out a mask.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Role = Literal["kernel", "depthwise", "recurrent", "bias", "scale", "offset", "statistic", "other"]
Numbers = NDArray[np.intp]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class Weight:
    """One variable of the model, and whom its numbers belong to.

    Attributes:
        path: its key in `variables_by_path(model)`; unique.
        shape: its shape before the cut.
        axes: for each axis None (nothing is ever removed along it), or the channel number of every
            index of
            that axis, -1 where that index stays.
        output_axes: the axes along which the layer *makes* channels (the last one of a
            convolution's kernel);
            along the others it reads them.
        uses: how often each stored number is multiplied in one inference of batch 1; 0 for biases,
            for
            normalisations and for tables.
        layer: name of the layer, with those of the models around it: `backbone/block1_conv`.
        role: what the numbers do.
    """

    path: str
    shape: tuple[int, ...]
    axes: tuple[Numbers | None, ...]
    output_axes: tuple[int, ...] = ()
    uses: float = 0.0
    layer: str
    role: Role
    trainable: bool = True

    def kept(self, removed: Mask) -> tuple[Numbers, ...]:
        """Returns the indices that stay, one sorted array an axis; `numpy.ix_` takes them."""
        return tuple(
            np.arange(size) if numbers is None else np.flatnonzero(kept_positions(numbers, removed))
            for size, numbers in zip(self.shape, self.axes, strict=True)
        )

    def count(self, removed: Mask | None = None) -> int:
        """Returns how many numbers are stored."""
        total = 1
        for size, numbers in zip(self.shape, self.axes, strict=True):
            if numbers is None or removed is None:
                total *= size
            else:
                total *= int(np.count_nonzero(kept_positions(numbers, removed)))
        return total


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Channels made by the same layers: alike in cost, and compared with each other.

    At least one channel of every group has to stay.

    Attributes:
        name: the first layer, in the order of the calls, that makes them; unique: of the groups
            that one layer begins, the later ones are told apart (`attention:features`).
        layers: all layers that make them; they are joined where branches are added or multiplied.
        kind: what one channel is in the first layer: "filters", "units", "heads", "features".
        channels: their numbers, ascending.
    """

    name: str
    layers: tuple[str, ...]
    kind: str
    channels: Numbers


@dataclass(frozen=True, slots=True, kw_only=True)
class Left:
    """Something that is not cut, and why, in a user's words."""

    layer: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """Multiply-adds between activations (attention): `uses` for each position along the axes."""

    axes: tuple[Numbers, ...]
    uses: float
    layer: str

    def count(self, removed: Mask | None = None) -> float:
        """Returns the multiply-adds of one inference."""
        total = self.uses
        for numbers in self.axes:
            kept = len(numbers) if removed is None else kept_positions(numbers, removed).sum()
            total *= float(kept)
        return total


@dataclass(frozen=True, slots=True, kw_only=True)
class Edit:
    """An entry of the model's config that counts channels.

    Attributes:
        keys: the way to it from the model's config; in a list, a layer's name or a position.
        numbers: the channel of every position that is counted.
    """

    keys: tuple[str | int, ...]
    numbers: Numbers


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelGraph:
    """What can be cut out of a model.

    Attributes:
        groups: the channels that can be removed; every channel number is in exactly one of them.
        weights: every variable of the model but the states of random generators.
        left: what stays whole, and why.
        channel_count: length of a mask.
        work: multiply-adds between activations.
        edits: what changes in the model's config.
        uncounted: layers that multiply, and nobody knows how often.
    """

    groups: tuple[Group, ...]
    weights: tuple[Weight, ...]
    left: tuple[Left, ...]
    channel_count: int
    work: tuple[Work, ...] = ()
    edits: tuple[Edit, ...] = ()
    uncounted: tuple[str, ...] = ()

    def macs(self, removed: Mask | None = None) -> int:
        """Returns the multiply-adds without `removed`, of one sample; free dimensions are 1."""
        total = sum(weight.uses * weight.count(removed) for weight in self.weights if weight.uses)
        return round(total + sum(work.count(removed) for work in self.work))

    def parameters(self, removed: Mask | None = None) -> int:
        """Returns how many numbers are stored without `removed`, as `model.count_params()` does."""
        return sum(weight.count(removed) for weight in self.weights)

    def shapes(self, removed: Mask) -> dict[str, tuple[int, ...]]:
        """Returns the shape of every variable without `removed`, by its path."""
        return {
            weight.path: tuple(len(kept) for kept in weight.kept(removed))
            for weight in self.weights
        }

    def nothing_removed(self) -> Mask:
        """Returns the mask that removes nothing, to be filled in."""
        return np.zeros(self.channel_count, np.bool_)


def kept_positions(numbers: Numbers, removed: Mask) -> Mask:
    """Returns which positions of an axis stay: those of no channel (-1) or of a kept one.

    >>> kept_positions(np.array([0, 0, -1, 1]), np.array([True, False]))
    array([False, False,  True,  True])
    """
    if not len(removed):
        return np.ones(len(numbers), np.bool_)
    kept: Mask = (numbers < 0) | ~removed[numbers]
    return kept


def variables_by_path(model: Any) -> dict[str, Any]:
    """Returns the variables of `model`, each once, by its path.

    Keras does not keep paths apart in nested models: the second `dense/kernel` is `dense/kernel#2`.
    """
    found: dict[str, Any] = {}
    for variable in model.variables:
        path, count = variable.path, 1
        while path in found:
            count += 1
            path = f"{variable.path}#{count}"
        found[path] = variable
    return found
