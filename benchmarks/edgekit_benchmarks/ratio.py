"""How long one takes compared with another, how sure that is, and what may be said of it.

A process is one observation, as in `edgekit_benchmarks.samples`. Two ways, by how it was measured:

- `paired`: both took turns in the same processes. What slows the machine for a while slows both, so
  the ratio is taken within each turn; the median of a process's turns is its observation, and the
  median of these is enclosed by order statistics.
- `unpaired`: in different runs. The ratio is the median over all pairs of one process of each
  (Hodges and Lehmann, on the logarithms), enclosed by inverting the Mann-Whitney test: exact for
  any distribution, if one side's is the other's times a factor. In simulations (1,000 comparisons
  of 9 processes with 9: noise of 1 %, with and without a tail of disturbed processes, or two
  groups 3 % apart) it held 95 to 96 % and showed a slow-down of 3 % in 95, 66 and 47 % of them;
  the bootstrap of the ratio of medians was wider: 96 to 97 %, and 89, 61 and 30 %.

Processes of one run are not independent on a busy machine, whose moods outlast several of them, nor
are two runs that are minutes apart. So an unpaired interval is widened to what any two values of
both medians' intervals give, where either is wider than 10 %; and a verdict needs 3 %, not 1.
"""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Final, Literal

import numpy as np

from edgekit_benchmarks.percentile import CONFIDENCE, nearest_rank, of_medians

Chunks = Sequence[Sequence[float]]
TOO_FEW: Final = "too few processes to tell"
Verdict = Literal["faster", "slower", "no difference shown", "too few processes to tell", "invalid"]

NOISE = 0.01
"""Ratios within one percent of 1 are not told apart, however narrow their interval."""
RUNS_NOISE = 0.03
"""The same of times that were measured in different runs."""
_SCATTERED = 1.1
_TURNS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Ratio:
    """Below 1 is faster (or smaller)."""

    value: float
    low: float
    high: float
    confidence: float
    """Of the interval; below 0.95 where there were too few processes."""
    noise: float = NOISE
    """So far from 1 the whole interval has to be for a verdict."""
    valid: bool = True
    """Whether both measurements may be trusted."""

    @property
    def is_sure(self) -> bool:
        """Whether there were processes enough for an interval of 95 %."""
        return self.confidence >= CONFIDENCE

    @property
    def verdict(self) -> Verdict:
        """Faster or slower only where the interval says so, by more than the noise."""
        if not self.valid:
            return "invalid"
        if not self.is_sure:
            return TOO_FEW
        if self.high < 1 - self.noise:
            return "faster"
        return "slower" if self.low > 1 + self.noise else "no difference shown"


def paired(
    ours: Sequence[Sequence[float]],
    theirs: Sequence[Sequence[float]],
    *,
    chunks: tuple[Chunks, Chunks] | None = None,
    percent: float = 50,
    valid: bool = True,
) -> Ratio:
    """Ours over theirs, which took turns in the same processes.

    Args:
        ours: samples of each process.
        theirs: the same, the processes in the same order.
        chunks: how many samples each turn of ours and of theirs has, for each process; without
            them, or where their number differs, a process is one turn.
        percent: which percentile of each turn.
        valid: whether both may be trusted.

    >>> paired([[2.0]] * 9, [[1.0]] * 9).verdict
    'slower'
    """
    turns = chunks or ([()] * len(ours), [()] * len(theirs))
    found = of_medians(
        [_in_turn(*process, percent) for process in zip(ours, theirs, *turns, strict=True)]
    )
    return Ratio(
        value=found.value,
        low=found.low,
        high=found.high,
        confidence=found.confidence,
        valid=valid,
    )


def _in_turn(
    ours: Sequence[float],
    theirs: Sequence[float],
    our_chunks: Sequence[float],
    their_chunks: Sequence[float],
    percent: float,
) -> float:
    """The ratio in one process: the median of those of its turns."""
    our_turns, their_turns = _cut_up(ours, our_chunks), _cut_up(theirs, their_chunks)
    if len(our_turns) != len(their_turns) or len(our_turns) < _TURNS:
        our_turns, their_turns = [ours], [theirs]
    return statistics.median(
        nearest_rank(mine, percent) / nearest_rank(other, percent)
        for mine, other in zip(our_turns, their_turns, strict=True)
    )


def _cut_up(samples: Sequence[float], sizes: Sequence[float]) -> list[Sequence[float]]:
    """The samples of each turn; nothing where the sizes are not theirs."""
    ends = list(itertools.accumulate(map(int, sizes)))
    if not ends or ends[-1] != len(samples) or min(sizes) < 1:
        return []
    return [samples[end - int(size) : end] for end, size in zip(ends, sizes, strict=True)]


def unpaired(
    ours: Sequence[Sequence[float]],
    theirs: Sequence[Sequence[float]],
    *,
    percent: float = 50,
    valid: bool = True,
) -> Ratio:
    """Ours over theirs, measured in other processes, at another time.

    Args:
        ours: samples of each process.
        theirs: the same, of any number of processes.
        percent: which percentile of each process.
        valid: whether both may be trusted.
    """
    return unpaired_values(
        [nearest_rank(run, percent) for run in ours],
        [nearest_rank(run, percent) for run in theirs],
        noise=RUNS_NOISE,
        valid=valid,
    )


def unpaired_values(
    ours: Sequence[float],
    theirs: Sequence[float],
    *,
    noise: float = NOISE,
    valid: bool = True,
    widen: bool = True,
) -> Ratio:
    """The same of one positive value a process.

    Args:
        ours: the values.
        theirs: those it is compared with.
        noise: so far from 1 the interval has to be for a verdict.
        valid: whether both may be trusted.
        widen: the interval, where the processes scatter.

    >>> unpaired_values([3.0, 3.0, 3.0, 3.0], [2.0, 2.0, 2.0, 2.0])
    Ratio(value=1.5, low=1.5, high=1.5, confidence=0.9714286, noise=0.01, valid=True)
    """
    pairs = sorted(mine / other for mine in ours for other in theirs)
    cut, confidence = _cut(*sorted((len(ours), len(theirs))))
    low, high = pairs[cut], pairs[-1 - cut]
    mine, other = of_medians(ours), of_medians(theirs)
    if widen and max(mine.high / mine.low, other.high / other.low) > _SCATTERED:
        low, high = min(low, mine.low / other.high), max(high, mine.high / other.low)
    return Ratio(
        value=statistics.median(pairs),
        low=low,
        high=high,
        confidence=confidence,
        noise=noise,
        valid=valid,
    )


def can_compare(ours: int, theirs: int) -> bool:
    """Whether results of so many processes can be compared with 95 %.

    All values of one side are above all of the other by chance with a probability of 2 in all the
    ways to choose which processes are whose.

    >>> can_compare(3, 3), can_compare(4, 4), can_compare(2, 9)
    (False, True, True)
    """
    return _cut(*sorted((ours, theirs)))[1] >= CONFIDENCE


def enough_to_compare() -> int:
    """How many processes either of two results needs to be compared.

    >>> enough_to_compare()
    4
    """
    return next(count for count in range(1, 64) if can_compare(count, count))


_EXACT_UP_TO = 60


@cache
def _cut(smaller: int, larger: int) -> tuple[int, float]:
    """How many of the sorted pairs to leave out at either end, and the confidence that is left.

    The number of pairs below the true ratio is distributed as Mann and Whitney's U.
    """
    if larger > _EXACT_UP_TO:
        return _normal_cut(smaller, larger)
    below = np.cumsum(_orders(smaller, larger)) / math.comb(smaller + larger, smaller)
    allowed = int(np.searchsorted(below, (1 - CONFIDENCE) / 2, side="right"))
    cut = max(0, allowed - 1)
    return cut, round(max(0.0, 1 - 2 * float(below[cut])), 7)


def _orders(smaller: int, larger: int) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """In how many orders of both sides U is 0, 1, 2 …: the Gaussian binomial coefficient.

    It is the product over i up to `smaller` of ``(1 - x**(larger + i)) / (1 - x**i)``.
    """
    counts = np.zeros(smaller * larger + 1, dtype=object)
    counts[0] = 1
    for i in range(1, smaller + 1):
        step = larger + i
        counts[step:] = counts[step:] - counts[:-step]
        for start in range(i, len(counts)):
            counts[start] += counts[start - i]
    return counts


def _normal_cut(smaller: int, larger: int) -> tuple[int, float]:
    """Near enough from some sixty processes on."""
    pairs = smaller * larger
    spread = math.sqrt(pairs * (smaller + larger + 1) / 12)
    normal = statistics.NormalDist(pairs / 2, spread)
    cut = max(0, math.floor(normal.inv_cdf((1 - CONFIDENCE) / 2) - 0.5))
    return cut, 1 - 2 * normal.cdf(cut + 0.5)
