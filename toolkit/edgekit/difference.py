"""Arithmetic of two arrays of outputs, piece by piece: they may be larger than spare memory."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

_ZERO = 1e-12
_FLOOR = 1e-6
_LEAST = 0.1
_CONSTANT = 0.01
_STEADY = 1e-6
_PIECE = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """How far `given` is from `expected`, over the numbers that are finite in both."""

    max_abs_error: float
    relative_error: float
    cosine: float
    nan_count: int
    inf_count: int
    expected_nan_count: int
    is_constant: bool


def measure(expected: NDArray[Any], given: NDArray[Any]) -> Difference:
    """Compare two arrays of one shape, ``(samples, numbers)``, of any numeric dtype.

    The relative error is RMS(given - expected) over the size of what is expected: the RMS of its
    variation over the samples, but at least a tenth of its whole RMS. An output that is 20 give or
    take 1 must be met in the 1. Of a single sample it is the whole RMS; where the expected numbers
    are zero throughout, a millionth. NaN and infinity count where they do not stand in both arrays.
    `given` is constant when its numbers vary less over the samples than 1 % of what the expected
    ones do; it takes two samples, and expected numbers that vary, to tell.
    """
    sums = _Sums(expected[:1], given[:1])
    step = max(1, _PIECE // max(1, expected.shape[1]))
    for start in range(0, len(expected), step):
        sums.add(expected[start : start + step], given[start : start + step])
    count = max(1, sums.finite)
    error, whole, other = (
        math.sqrt(total / count) for total in (sums.error, sums.expected, sums.given)
    )
    size = sums.expected_size(len(expected), whole)
    return Difference(
        max_abs_error=sums.max_abs_error,
        relative_error=error / (size if size > _ZERO else _FLOOR),
        cosine=_cosine(sums.product / count, whole, other),
        nan_count=sums.nan,
        inf_count=sums.inf,
        expected_nan_count=sums.expected_nan,
        is_constant=sums.is_constant(len(expected)),
    )


class _Sums:
    """Sums over all pieces so far."""

    def __init__(self, expected_first: NDArray[Any], given_first: NDArray[Any]) -> None:
        self.finite = self.nan = self.inf = self.expected_nan = 0
        self.error = self.expected = self.given = self.product = self.max_abs_error = 0.0
        self._expected = _Variation(expected_first)
        self._given = _Variation(given_first)

    def add(self, expected: NDArray[Any], given: NDArray[Any]) -> None:
        a, b = expected.astype(np.float64), given.astype(np.float64)
        self._expected.add(a)
        self._given.add(b)
        finite = np.isfinite(a) & np.isfinite(b)
        if not finite.all():
            same = (a == b) | (np.isnan(a) & np.isnan(b))
            self.nan += int((np.isnan(b) & ~same).sum())
            self.inf += int((np.isinf(b) & ~same).sum())
            self.expected_nan += int((~np.isfinite(a) & ~same).sum() + np.isnan(a).sum())
            a, b = np.where(finite, a, 0.0), np.where(finite, b, 0.0)
        error = b - a
        self.finite += int(finite.sum())
        self.max_abs_error = max(self.max_abs_error, float(np.abs(error).max(initial=0.0)))
        self.error += float(np.square(error).sum())
        self.expected += float(np.square(a).sum())
        self.given += float(np.square(b).sum())
        self.product += float((a * b).sum())

    def expected_size(self, samples: int, whole: float) -> float:
        varies = self._expected.total(samples)
        if samples < 2 or not math.isfinite(varies):
            return whole
        return max(math.sqrt(varies / max(1, self.finite)), _LEAST * whole)

    def is_constant(self, samples: int) -> bool:
        varies, given = self._expected.total(samples), self._given.total(samples)
        if samples < 2 or not math.isfinite(varies + given):
            return False
        if varies <= _STEADY**2 * self.expected:
            return False  # what is expected hardly varies itself
        return given < _CONSTANT**2 * varies


class _Variation:
    """Sum of squared distances from the mean over samples, of each number.

    Summed about the first row, so that it is exactly 0 where an output does not vary at all.
    """

    def __init__(self, first: NDArray[Any]) -> None:
        self._first = first.astype(np.float64)
        self._sum: NDArray[np.float64] = np.zeros(first.shape[1:])
        self._squares = 0.0

    def add(self, rows: NDArray[np.float64]) -> None:
        with np.errstate(invalid="ignore"):
            apart = rows - self._first
        self._sum += apart.sum(axis=0)
        self._squares += float(np.square(apart).sum())

    def total(self, samples: int) -> float:
        return max(0.0, self._squares - float(np.square(self._sum).sum()) / max(1, samples))


def _cosine(product: float, size: float, other: float) -> float:
    if 0.0 in (size, other):
        return 1.0 if size == other else 0.0
    return min(1.0, max(-1.0, product / size / other))
