"""How the removal is shared out among the groups: one order of steps, from the whole to the least.

Every step takes one group from one allowed number of channels to the next smaller one. A target is
met by going along the steps until it is, so that a harder target never removes less.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from edgekit_converters.pruning.channels.costs import Cost, Counts
from edgekit_converters.pruning.channels.sensitivity import Curve

Ratios = Literal["uniform", "sensitivity"]
Options: TypeAlias = tuple[NDArray[np.intp], ...]
"""For each group the numbers of channels that may stay, falling from all of them to 1."""

_EVEN = 0.1
_MOST_ROWS = 200_000
_FEWEST_STEPS = 4
_NARROWEST = 4
"""No quarter of `multiple_of`, or less, is taken for a step below this."""


def allowed(size: int, multiple_of: int = 8) -> NDArray[np.intp]:
    """How many of `size` channels may stay, falling from `size` to 1.

    Runtimes work on several channels at once, so the width stays a multiple: of the largest that
    goes into the layer at least four times, out of `multiple_of`, its half, and on down to 4; of
    narrower layers any number. Under the first multiple come its half, its quarter, … and 1.

    >>> allowed(32).tolist(), allowed(20).tolist(), allowed(3).tolist()
    ([32, 24, 16, 8, 4, 2, 1], [20, 16, 12, 8, 4, 2, 1], [3, 2, 1])
    >>> allowed(48, 16).tolist(), allowed(24, 16).tolist()
    ([48, 40, 32, 24, 16, 8, 4, 2, 1], [24, 20, 16, 12, 8, 4, 2, 1])
    """
    steps = [multiple_of, multiple_of // 2]
    while steps[-1] >= 2 * _NARROWEST:
        steps.append(steps[-1] // 2)
    step = next((step for step in steps if 1 < step <= size // _FEWEST_STEPS), 1)
    counts = {size, *range(step, size, step)}
    while step > 1:
        step //= 2
        counts.add(step)
    return np.array(sorted(counts, reverse=True), np.intp)


def uniform_counts(options: Options, share: float) -> NDArray[np.intp]:
    """Channels that stay when at least `share` of every group goes; 1 stays where that is all."""
    kept = []
    for counts in options:
        most = counts[0] * (1 - share) + 1e-9
        kept.append(next((count for count in counts if count <= most), counts[-1]))
    return np.array(kept, np.intp)


def uniform_path(options: Options) -> Counts:
    """The steps in order of the share of its group that is gone after each: (steps + 1, groups)."""
    steps = [
        (1 - after / counts[0], index, after)
        for index, counts in enumerate(options)
        for after in counts[1:]
    ]
    return _walk(options, [(index, after) for _, index, after in sorted(steps)])


def sensitive_path(options: Options, cost: Cost, curves: Sequence[Curve]) -> Counts:
    """The steps by the least rise of the loss for what they save: (steps + 1, groups).

    What is minimised is ``sum over groups of hull_g(share_g)`` for a given cost, as if rises added
    up; ``hull`` is the lower convex hull of the measured curve, so that the greedy order is the
    best one where savings do not change. A little of ``share**2`` is added, to share out evenly
    what the data cannot tell apart.
    """
    even = _EVEN * float(np.mean([curve.at(np.array(0.5)) for curve in curves])) + 1e-9
    losses = []
    for counts, curve in zip(options, curves, strict=True):
        shares = 1 - counts / counts[0]
        losses.append(_hull(curve, shares) + even * shares**2)
    position = np.zeros(len(options), np.intp)
    order: list[tuple[int, int]] = []
    now = np.array([float(counts[0]) for counts in options])
    for _ in range(sum(len(counts) - 1 for counts in options)):
        savings = cost.savings(now)
        best, best_price = -1, np.inf
        for index, counts in enumerate(options):
            at = position[index]
            if at + 1 == len(counts):
                continue
            rise = losses[index][at + 1] - losses[index][at]
            price = rise / max(1e-9, float(savings[index]) * (counts[at] - counts[at + 1]))
            if best < 0 or price < best_price:
                best, best_price = index, price
        position[best] += 1
        now[best] = options[best][position[best]]
        order.append((best, int(now[best])))
    return _walk(options, order)


def candidates(path: Counts, options: Options, cost: Cost) -> tuple[Counts, NDArray[np.float64]]:
    """The points of a path, and those with one group put back by a step; dearest first.

    The second kind comes closer to a target where steps are coarse; it is left out where there are
    so many steps that they are fine.

    Returns:
        Counts of shape (many, groups), and the cost of each row.
    """
    rows = [path]
    if len(path) * (path.shape[1] + 1) <= _MOST_ROWS:
        for index, counts in enumerate(options):
            before = {int(after): int(count) for count, after in pairwise(counts)}
            lower = path[path[:, index] < counts[0]].copy()
            lower[:, index] = [before[int(count)] for count in lower[:, index]]
            rows.append(lower)
    together = np.concatenate(rows)
    costs = np.concatenate([cost.of(part) for part in np.array_split(together, 64)])
    order = np.argsort(-costs, kind="stable")
    return together[order], costs[order]


def _walk(options: Options, order: Sequence[tuple[int, int]]) -> Counts:
    path = np.empty((len(order) + 1, len(options)))
    path[0] = [counts[0] for counts in options]
    for row, (index, after) in enumerate(order, start=1):
        path[row] = path[row - 1]
        path[row, index] = after
    return path


def _hull(curve: Curve, shares: NDArray[np.float64]) -> NDArray[np.float64]:
    """The lower convex hull of a curve, at `shares`; the last slope goes on."""
    points: list[tuple[float, float]] = []
    for point in zip(curve.shares, curve.rises, strict=True):
        while len(points) > 1 and _slope(points[-1], point) <= _slope(points[-2], points[-1]):
            points.pop()
        points.append(point)
    x = np.array([share for share, _ in points])
    y = np.array([rise for _, rise in points])
    result: NDArray[np.float64] = np.interp(shares, x, y)
    if len(points) > 1:
        result += np.maximum(0, shares - x[-1]) * _slope(points[-2], points[-1])
    return result


def _slope(left: tuple[float, float], right: tuple[float, float]) -> float:
    return (right[1] - left[1]) / (right[0] - left[0])
