"""One opened file, ready for calls from many threads: its lanes, and what it says of itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from edgekit.lane import Lane
from edgekit.tensors import TensorSpec
from edgekit.turns import Turns

if TYPE_CHECKING:
    from edgekit.preprocess import Preprocess


@dataclass(frozen=True, kw_only=True, eq=False)
class Serving:
    """The lanes of one file. Whoever takes one has it alone until it is given back."""

    name: str
    """What messages call the file."""
    lanes: tuple[Lane, ...]
    manifest: dict[str, Any]
    inputs: tuple[TensorSpec, ...]
    """Without those that only carry state."""
    outputs: tuple[TensorSpec, ...]
    states: tuple[tuple[int, int], ...]
    """Input and output of the session that belong together, by their numbers."""
    labels: tuple[str, ...]
    preprocess: Mapping[str, Preprocess]
    idle: Turns[Lane | None] = field(default_factory=Turns)
    """Lanes that nobody uses; None once there will be no more."""

    is_plain: bool = field(init=False)
    """Whether there is one output, and no state."""

    def __post_init__(self) -> None:
        """Offer all lanes."""
        object.__setattr__(self, "is_plain", len(self.outputs) == 1 and not self.states)
        for lane in self.lanes:
            self.idle.put(lane)

    def retire(self) -> None:
        """Wait until all lanes are back, close them, and turn away whoever comes now."""
        for _ in self.lanes:
            lane = self.idle.get()
            if lane is None:  # somebody else retires it
                self.idle.put(None)
                return
            lane.close()
        self.idle.put(None)
