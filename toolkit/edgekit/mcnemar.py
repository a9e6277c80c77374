"""Whether two models that saw the same samples differ in accuracy, or may well be equally good."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.intervals import CONFIDENCE, Interval


@dataclass(frozen=True, slots=True, kw_only=True)
class PairedAccuracy:
    """Two models on the same samples: they differ where one is right and the other is wrong."""

    samples: int
    only_first: int
    """Samples that only the first model gets right."""
    only_second: int
    """Samples that only the second model gets right."""

    @classmethod
    def of(cls, first: NDArray[Any], second: NDArray[Any]) -> PairedAccuracy:
        """Count from two boolean arrays, true where the model is right: ``(samples,)`` each."""
        assert first.shape == second.shape
        return cls(
            samples=len(first),
            only_first=int((first & ~second).sum()),
            only_second=int((second & ~first).sum()),
        )

    @property
    def difference(self) -> float:
        """Accuracy of the second minus that of the first."""
        return (self.only_second - self.only_first) / self.samples

    @property
    def p_value(self) -> float:
        """How often chance alone makes equally good models differ this much (`exact_mcnemar`)."""
        return exact_mcnemar(self.only_first, self.only_second)

    def interval(self, *, confidence: float = CONFIDENCE) -> Interval:
        """Where the difference of accuracies lies (Bonett and Price, 2012).

        Wald's interval with one sample added to each of the two counts, which holds its confidence
        also where few samples differ: ``d ± z·sqrt((p + q - (p - q)²) / (n + 2))``.
        """
        z = NormalDist().inv_cdf((1 + confidence) / 2)
        total = self.samples + 2
        p, q = (self.only_first + 1) / total, (self.only_second + 1) / total
        half = z * math.sqrt(max(0.0, p + q - (p - q) ** 2) / total)
        return Interval(low=max(-1.0, q - p - half), high=min(1.0, q - p + half))


def exact_mcnemar(only_first: int, only_second: int) -> float:
    """The two-sided p-value of McNemar's test, exact for any number of samples.

    If the models were equally good, each sample on which just one is right would go either way
    with probability 1/2: the p-value is twice the smaller tail of Binomial(n, 1/2), at most 1.

    >>> round(exact_mcnemar(8, 2), 6)
    0.109375
    """
    total = only_first + only_second
    smaller = min(only_first, only_second)
    if only_first == only_second:
        return 1.0
    counts = np.arange(smaller + 1)
    logs = _log_choose(total, counts) - total * math.log(2.0)
    return min(1.0, 2.0 * float(np.exp(logs).sum()))


def _log_choose(total: int, counts: NDArray[Any]) -> NDArray[np.float64]:
    """The logarithm of C(total, k) for k = 0, 1, 2, …: C(n, k) = C(n, k - 1) · (n - k + 1) / k."""
    k = counts[1:].astype(np.float64)
    return np.concatenate([[0.0], np.cumsum(np.log(total - k + 1) - np.log(k))])
