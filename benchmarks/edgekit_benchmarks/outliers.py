"""Samples that are unlike most: counted, told, and never dropped, for they were measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edgekit_benchmarks.percentile import nearest_rank

_MILD = 1.5
_FAR = 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Outliers:
    """How many samples lie beyond Tukey's fences.

    The fences are 1.5 and 3 times the distance between the quartiles away from them.
    """

    far_low: int
    low: int
    high: int
    far_high: int

    @classmethod
    def of(cls, samples: Sequence[float]) -> Outliers:
        """Classify every sample.

        >>> Outliers.of([10, 11, 12, 13, 14, 15, 16, 17, 25, 99])
        Outliers(far_low=0, low=0, high=1, far_high=1)
        """
        ordered = sorted(samples)
        first, third = nearest_rank(ordered, 25), nearest_rank(ordered, 75)
        between = third - first
        far_low = sum(sample < first - _FAR * between for sample in ordered)
        far_high = sum(sample > third + _FAR * between for sample in ordered)
        return cls(
            far_low=far_low,
            low=sum(sample < first - _MILD * between for sample in ordered) - far_low,
            high=sum(sample > third + _MILD * between for sample in ordered) - far_high,
            far_high=far_high,
        )

    def to_dict(self) -> dict[str, int]:
        """Plain data."""
        return {name: getattr(self, name) for name in self.__slots__}
