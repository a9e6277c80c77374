"""What an observer of a model is told of each call."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """One call that succeeded. The arrays are the caller's own: look, do not write."""

    inputs: Mapping[str, Any]
    """By name, as they were given."""
    outputs: Mapping[str, NDArray[Any]]
    """By name, as they were returned."""
    latency_ns: int
    """From encoding the inputs to decoding the outputs, without waiting for an idle instance."""


Observer = Callable[[Observation], object]
