"""What an observer of a model is told of each call."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edgekit.lane import Lane
    from edgekit.serving import Serving


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


def tell(
    observers: Iterable[Observer],
    serving: Serving,
    lane: Lane,
    arrays: Sequence[Any],
    outputs: Mapping[str, NDArray[Any]],
    latency_ns: int,
) -> None:
    """Tell `observers` of a call, in the order in which they came.

    Args:
        observers: what they raise passes.
        serving: the file that was called.
        lane: the one of its lanes that computed.
        arrays: what it was given, for `serving.inputs` or, states and all, for the session's.
        outputs: what it gave, by name.
        latency_ns: how long it took.
    """
    every = len(arrays) != len(serving.inputs)
    specs = lane.session.inputs if every else serving.inputs
    seen = Observation(
        inputs=dict(zip((spec.name for spec in specs), arrays, strict=True)),
        outputs=outputs,
        latency_ns=latency_ns,
    )
    for observer in observers:
        observer(seen)
