"""One opened file, ready for calls from many threads: its lanes, and what it says of itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from edgekit.lane import Lane
from edgekit.tensors import TensorSpec
from edgekit.turns import Turns

if TYPE_CHECKING:
    from edgekit.preprocess import Preprocess


class Serving:
    """The lanes of one file. Whoever takes one has it alone until it is given back."""

    def __init__(
        self,
        *,
        name: str,
        lanes: tuple[Lane, ...],
        inputs: tuple[TensorSpec, ...],
        outputs: tuple[TensorSpec, ...],
        states: tuple[tuple[int, int], ...],
        labels: tuple[str, ...] | None,
        preprocess: Mapping[str, Preprocess] | None,
    ) -> None:
        """Offer all lanes.

        Args:
            name: what messages call the file.
            lanes: one for each call that can run at the same time.
            inputs: without those that only carry state.
            outputs: without those that only carry state.
            states: input and output of the session that belong together, by their numbers.
            labels: of the classes; None for those in the manifest.
            preprocess: by the input's name; None for what is in the manifest.
        """
        self.name, self.lanes = name, lanes
        self.inputs, self.outputs, self.states = inputs, outputs, states
        self._labels, self._preprocess = labels, preprocess
        self.input_names = [spec.name for spec in inputs]
        self.is_plain = len(outputs) == 1 and not states
        """Whether there is one output, and no state."""
        self.idle: Turns[Lane | None] = Turns()
        """Lanes that nobody uses; None once there will be no more."""
        for lane in lanes:
            self.idle.put(lane)

    @property
    def manifest(self) -> dict[str, Any]:
        """What edgekit wrote into the file."""
        return self.lanes[0].session.manifest

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the classes.

        Raises:
            SourceError: the manifest is damaged.
        """
        if self._labels is None:
            from edgekit import told

            self._labels = told.labels_of(self.manifest, self.name)
        return self._labels

    @property
    def preprocess(self) -> Mapping[str, Preprocess]:
        """How pictures are prepared for each input.

        Raises:
            SourceError: the manifest is damaged.
        """
        if self._preprocess is None:
            from edgekit import told

            self._preprocess = told.preprocess_of(self.manifest, self.name)
        return self._preprocess

    def retire(self) -> None:
        """Wait until all lanes are back, close them, and turn away whoever comes now."""
        for _ in self.lanes:
            lane = self.idle.get()
            if lane is None:  # somebody else retires it
                self.idle.put(None)
                return
            lane.close()
        self.idle.put(None)
