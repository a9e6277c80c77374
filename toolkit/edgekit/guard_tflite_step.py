"""One operator of a TFLite file, as the guard's rules see it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from edgekit.flatbuffer_check import Values


@dataclass(frozen=True, slots=True)
class TensorFacts:
    """What rules need to know of a tensor."""

    shape: tuple[int, ...]
    dtype: str
    at: int
    """Where its constant bytes begin in the file; 0 where it has none."""
    is_variable: bool
    free: tuple[int, ...]
    """The dimensions that are known only when the model runs."""
    scales: int
    """How many scales it has; 0 where it is not quantized."""
    axis: int
    scale: float
    """The first scale; 0 where it is not quantized."""
    largest_scale: float
    numbers: tuple[int, ...] | None
    """Its values, where it is a short constant of int32 or int64."""
    number: float | None
    """Its value, where it is a constant of one number."""

    @property
    def is_free(self) -> bool:
        """Whether a dimension is known only when the model runs."""
        return bool(self.free)


@dataclass(frozen=True, slots=True)
class Step:
    """One operator in its place."""

    name: str
    inputs: list[TensorFacts | None]
    outputs: list[TensorFacts]
    options: Values

    def option(self, field: int, default: int = 0) -> int:
        """A number of its options."""
        value: int | None = self.options[field] if self.options else None
        return default if value is None else value

    def constant(self, index: int) -> tuple[int, ...] | None:
        """The numbers of an input that the file fixes."""
        tensor = self.inputs[index] if index < len(self.inputs) else None
        return None if tensor is None else tensor.numbers


Rule = Callable[[Step], str | None]
"""Says what is wrong with an operator, or None."""
