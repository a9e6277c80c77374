"""Weight clustering: every kernel ends with a few different values, and zeros stay zeros."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.errors import UsageError
from edgekit.prune_request import MOST_CLUSTERS
from edgekit_converters.pruning.zeros.holding import stored
from edgekit_converters.pruning.zeros.kernels import Kernel, find_kernels

Array = NDArray[Any]
_ROUNDS = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Grouped:
    """One kernel in clusters: its weights are ``centroids[members]``."""

    members: NDArray[np.int32]
    centroids: NDArray[np.float32]
    zero: int | None
    """The cluster whose centroid is zero for good."""


def centroids(values: Array, count: int) -> NDArray[np.float64]:
    """At most `count` centres of one-dimensional `values`, by k-means (Lloyd's algorithm).

    The first centres are evenly spaced from the smallest to the largest value, which keeps the rare
    large weights (Han, Mao and Dally, 2016).

    Args:
        values: any shape, not empty.
        count: of clusters.

    >>> centroids(np.array([0.0, 0.1, 0.9, 1.0]), 2).round(2).tolist()
    [0.05, 0.95]
    """
    ordered = np.sort(np.asarray(values, np.float64).reshape(-1))
    different = np.unique(ordered)
    if different.size <= count:
        return different
    centres = np.linspace(ordered[0], ordered[-1], count)
    sums = np.concatenate([[0.0], np.cumsum(ordered)])
    for _ in range(_ROUNDS):
        edges = np.searchsorted(ordered, (centres[1:] + centres[:-1]) / 2)
        bounds = np.concatenate([[0], edges, [ordered.size]])
        sizes = np.diff(bounds)
        means = np.diff(sums[bounds]) / np.maximum(sizes, 1)
        moved = np.where(sizes > 0, means, centres)
        if np.array_equal(moved, centres):
            break
        centres = moved
    return np.asarray(centres[sizes > 0])


def group(weights: Array, count: int) -> Grouped:
    """Put every weight into one of at most `count` clusters.

    Where there are zeros, one cluster is zero for good, and weights nearer to it than to any other
    join them. Weights that have no more than `count` values already are left exactly as they are.
    """
    flat = np.asarray(weights).astype(np.float32)
    zeros = flat == 0
    if not np.any(zeros):
        centres = centroids(flat, count)
        zero = None
    elif np.all(zeros):
        centres, zero = np.zeros(1), 0
    else:
        others = centroids(flat[~zeros], count - 1)
        zero = int(np.searchsorted(others, 0.0))
        centres = np.insert(others, zero, 0.0)
    members = np.searchsorted((centres[1:] + centres[:-1]) / 2, flat)
    return Grouped(
        members=members.astype(np.int32), centroids=centres.astype(np.float32), zero=zero
    )


class Clusters:
    """Hold the weights of every kernel in clusters while a model is trained.

    Who is with whom is decided once. After each batch a centroid moves by the mean of what the
    optimizer did to its members, so that the training goes on, with few different weights.

    Args:
        count: different values that a kernel may have, zero included; from 2.
        skip: names, paths or types of layers to leave alone, with all that is inside them.

    Raises:
        UsageError: a count out of range.
    """

    def __init__(self, count: int, *, skip: Sequence[str] = ()) -> None:
        if not 2 <= count <= MOST_CLUSTERS:
            message = f"cluster {count}: must be from 2 to {MOST_CLUSTERS}; 16 or 32 are usual"
            raise UsageError(message)
        self.count = count
        self.kernels: tuple[Kernel, ...] = ()
        self._skip = tuple(skip)
        self._centroids: list[Any] = []

    def begin(self, model: Any, steps: int) -> None:  # noqa: ARG002  # as all projections
        """Take hold of `model`, built, of Keras 3 (TensorFlow backend) or tf_keras.

        Raises:
            SourceError: it has no kernels.
            UsageError: a layer to skip that is not there.
        """
        self.kernels = find_kernels(model, self._skip)
        self._hold([group(kernel.read(), self.count) for kernel in self.kernels])
        self._settle()

    def after_batch(self, step: int) -> None:  # noqa: ARG002  # as all projections
        """Move the centroids, and put every weight back onto its own."""
        self._follow()

    def finish(self) -> None:
        """Leave the model with at most `count` values in each kernel."""
        self._settle()

    def progress(self) -> str:
        """What is held: ``16 clusters``."""
        return f"{self.count} clusters"

    def state(self) -> Mapping[str, Array]:
        """All that `restore` needs in another process."""
        arrays: dict[str, Array] = {}
        for number, centres in enumerate(self._centroids):
            made = self._grouped[number]
            arrays[f"members{number}"] = made.members
            arrays[f"centroids{number}"] = centres.numpy()
            arrays[f"zero{number}"] = np.array(-1 if made.zero is None else made.zero)
        return arrays

    def restore(self, state: Mapping[str, Array]) -> None:
        """Go back to where `state` was taken; after `begin`."""
        self._hold(
            [
                Grouped(
                    members=np.asarray(state[f"members{number}"], np.int32),
                    centroids=np.asarray(state[f"centroids{number}"], np.float32),
                    zero=int(state[f"zero{number}"]) if state[f"zero{number}"] >= 0 else None,
                )
                for number in range(len(self.kernels))
            ]
        )

    def _hold(self, grouped: list[Grouped]) -> None:
        self._grouped = grouped
        self._centroids, self._follow, self._settle = _compile(self.kernels, grouped)


def _compile(
    kernels: Sequence[Kernel], grouped: Sequence[Grouped]
) -> tuple[list[Any], Callable[[], Any], Callable[[], Any]]:
    """Centroids as variables; the step after a batch; and the one that only puts weights back."""
    import tensorflow as tf

    held = [
        (
            stored(kernel.variable),
            tf.constant(made.members),
            tf.Variable(made.centroids),
            tf.constant([number != made.zero for number in range(made.centroids.size)], tf.float32),
        )
        for kernel, made in zip(kernels, grouped, strict=True)
    ]

    def settle() -> None:
        for variable, members, centres, _ in held:
            variable.assign(tf.cast(tf.gather(centres, members), variable.dtype))

    def follow() -> None:
        for variable, members, centres, moves in held:
            moved = tf.cast(variable, tf.float32) - tf.gather(centres, members)
            means = tf.math.unsorted_segment_mean(moved, members, centres.shape[0])
            centres.assign_add(means * moves)
        settle()

    return [centres for _, _, centres, _ in held], tf.function(follow), tf.function(settle)
