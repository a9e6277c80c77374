"""Ranges learned in training, and the tensors of a float file they belong to: found by value.

Names and order of a file's tensors are the converter's, and operators are joined; what a tensor
holds for a sample is not. Two tensors are the same where they have as many numbers, and the same
ones when sorted: so a transposed or reshaped one is found too, whose range is the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Range = tuple[float, float]

SAMPLES = 2
"""Samples on which tensors are compared."""
_POINTS = 512
"""Of the sorted numbers of a tensor, so many are kept, evenly spaced."""
_TOLERANCE = 2e-4
"""Largest difference of two equal tensors, of the largest number in them: kernels differ."""
_NAMED = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Fingerprint:
    """What is kept of a tensor to know it again."""

    size: int
    points: NDArray[np.float32]
    """Of the sorted numbers, ``(512,)``."""

    @classmethod
    def of(cls, values: Sequence[NDArray[Any]]) -> Fingerprint:
        """The fingerprint of one tensor; `values` are what it holds for each sample."""
        numbers = np.sort(np.concatenate([np.ravel(one) for one in values]).astype(np.float32))
        if not numbers.size:
            return cls(size=0, points=np.full(_POINTS, np.nan, np.float32))
        places = np.linspace(0, numbers.size - 1, _POINTS).round().astype(np.intp)
        return cls(size=numbers.size, points=numbers[places])

    def difference(self, other: Fingerprint) -> float:
        """Largest difference, relative to the largest number; infinite where it says nothing."""
        largest = float(np.abs(self.points).max())
        is_constant = self.points[0] == self.points[-1]
        if self.size != other.size or not np.isfinite(largest) or is_constant:
            return np.inf
        return float(np.abs(self.points - other.points).max()) / largest


@dataclass(frozen=True, slots=True, kw_only=True)
class Learned:
    """Learned ranges, each with the fingerprint of the tensor it is of."""

    ranges: Mapping[str, Range]
    fingerprints: Mapping[str, Fingerprint]
    """Of those that are still in the model."""

    @property
    def sizes(self) -> frozenset[int]:
        """How many numbers the tensors have, over all samples."""
        return frozenset(one.size for one in self.fingerprints.values())

    def save(self, path: Path) -> None:
        """Write everything to the ``.npz`` file `path`."""
        found = [self.fingerprints.get(name) for name in self.ranges]
        nothing = np.full(_POINTS, np.nan, np.float32)
        np.savez(
            path,
            names=np.array(list(self.ranges), np.str_),
            ranges=np.array(list(self.ranges.values()), np.float64),
            sizes=np.array([one.size if one else 0 for one in found], np.int64),
            points=np.array([one.points if one else nothing for one in found], np.float32),
        )

    @classmethod
    def load(cls, path: Path) -> Learned:
        """Read what `save` has written."""
        with np.load(path, allow_pickle=False) as stored:
            names = [str(name) for name in stored["names"]]
            ranges, sizes, points = stored["ranges"], stored["sizes"], stored["points"]
        return cls(
            ranges={n: (float(r[0]), float(r[1])) for n, r in zip(names, ranges, strict=True)},
            fingerprints={
                name: Fingerprint(size=int(size), points=one)
                for name, size, one in zip(names, sizes, points, strict=True)
                if size
            },
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Matched:
    """Which tensors of a file have learned ranges."""

    ranges: Mapping[str, Range]
    """By the name of a tensor in the file."""
    used: tuple[str, ...] = ()
    unused: tuple[str, ...] = ()
    """Layers whose ranges belong to no tensor of the file."""

    def notes(self) -> list[str]:
        """What a user is to know of it."""
        if not self.used and not self.unused:
            return []
        count = len(self.used)
        found = [f"ranges of {count} tensor{'' if count == 1 else 's'} learned in training"]
        if self.unused:
            named = ", ".join(self.unused[:_NAMED])
            more = f" and {len(self.unused) - _NAMED} more" if len(self.unused) > _NAMED else ""
            found.append(
                f"learned ranges of {named}{more} belong to no tensor of the float file, and are "
                "not used"
            )
        return found


NOTHING = Matched(ranges={})


def match(learned: Learned, tensors: Mapping[str, Sequence[NDArray[Any]]]) -> Matched:
    """Find the learned ranges of the tensors of a float file.

    Args:
        learned: the ranges, and what they are of.
        tensors: by name what each tensor holds for each of the first `SAMPLES` samples.
    """
    ranges: dict[str, Range] = {}
    used = set()
    sizes = learned.sizes
    for tensor, values in tensors.items():
        if sum(one.size for one in values) not in sizes:
            continue
        seen = Fingerprint.of(values)
        differences = {
            name: one.difference(seen)
            for name, one in learned.fingerprints.items()
            if one.size == seen.size
        }
        equal = [name for name, difference in differences.items() if difference <= _TOLERANCE]
        if equal:
            ranges[tensor] = learned.ranges[min(equal, key=lambda name: differences[name])]
            used.update(equal)
    return Matched(
        ranges=ranges,
        used=tuple(name for name in learned.ranges if name in used),
        unused=tuple(name for name in learned.ranges if name not in used),
    )
