"""Random samples, for those who ask for them by name: ``random`` or ``random:N``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.data_fit import sample_dtype
from edgekit.data_source import Source
from edgekit.errors import UsageError
from edgekit.tensors import TensorSpec

Array = NDArray[Any]

DEFAULT_COUNT = 100
FREE_SIZE = 32
"""What a free dimension of the input becomes."""
_MOST = 1_000_000


class RandomColumn:
    """Seeded samples: the same sample for the same index, however they are asked for."""

    def __init__(
        self, count: int, spec: TensorSpec, *, stream: int, low: float, high: float
    ) -> None:
        """Draw from ``[low, high)``; `stream` keeps the inputs of a model apart."""
        self.count = count
        self.shape = tuple(FREE_SIZE if size is None else size for size in spec.shape[1:])
        self.dtype = sample_dtype(spec)
        self.stream, self.low, self.high = stream, low, high
        self.prepared = True

    def __len__(self) -> int:
        return self.count

    def take(self, indices: NDArray[np.intp]) -> Array:
        """The samples at `indices`, in the dtype of the input."""
        made = np.empty((len(indices), *self.shape), self.dtype)
        for row, index in enumerate(indices):
            draw = np.random.default_rng([self.stream, int(index)])
            if self.dtype.kind == "f":
                made[row] = draw.uniform(self.low, self.high, self.shape)
            else:
                made[row] = draw.integers(int(self.low), int(self.high), self.shape)
        return made


def read_random(
    text: str,
    inputs: Sequence[TensorSpec],
    integer_bounds: Mapping[str, int],
    float_bounds: Mapping[str, tuple[float, float]],
) -> Source:
    """Samples as ``random:N`` asks for: floats from [0, 1), integers from [0, bound).

    Without a bound, integers are 0 or 1, and 8-bit unsigned ones any byte. No preparation runs on
    them: they are what goes into the model.

    Raises:
        UsageError: `text` is not ``random`` or ``random:N`` with N from 1 to a million.
    """
    _, colon, number = text.partition(":")
    if colon and not (number.isascii() and number.isdigit() and 1 <= int(number) <= _MOST):
        message = f"{text}: {number!r} is no count from 1 to {_MOST}; write for example random:100"
        raise UsageError(message)
    count = int(number) if colon else DEFAULT_COUNT
    columns = {}
    for stream, spec in enumerate(inputs):
        dtype = sample_dtype(spec)
        low, high = 0.0, float(integer_bounds.get(spec.name, 256 if dtype == np.uint8 else 2))
        if dtype.kind == "f":
            low, high = float_bounds.get(spec.name, (0.0, 1.0))
        columns[spec.name] = RandomColumn(count, spec, stream=stream, low=low, high=high)
    return Source(columns=columns, is_random=True)
