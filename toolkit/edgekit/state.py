"""What a recurrent model carries from one call to the next, kept outside of the runtime."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from edgekit.errors import DataError
from edgekit.lane import result_dtype

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edgekit.serving import Serving


class State:
    """The states of one stream of calls; read and replaced by whoever holds the lane."""

    __slots__ = ("_arrays", "_serving")

    def __init__(self, serving: Serving) -> None:
        """Begin with zeros, as the file `serving` wants them."""
        self.begin(serving)

    def begin(self, serving: Serving) -> None:
        """Be zero again."""
        self._serving = serving
        every = serving.lanes[0].session.inputs
        self._arrays: list[NDArray[Any]] = [
            np.zeros([size or 1 for size in every[given].shape], result_dtype(every[given]))
            for given, _ in serving.states
        ]

    def join(self, serving: Serving, arrays: Sequence[Any]) -> list[Any]:
        """All inputs of the session in its order: `arrays`, and the states where they belong.

        States of another file than `serving` are forgotten.

        Raises:
            DataError: there are more or fewer arrays than inputs that are no states.
        """
        if self._serving is not serving:
            self.begin(serving)
        if len(arrays) != len(serving.inputs):
            names = ", ".join(spec.name for spec in serving.inputs)
            message = (
                f"inputs: {len(arrays)} given, the model takes {len(serving.inputs)} ({names}); "
                "give one array for each"
            )
            raise DataError(message)
        left = iter(arrays)
        kept = {
            given: array for (given, _), array in zip(serving.states, self._arrays, strict=True)
        }
        total = len(arrays) + len(kept)
        return [kept[number] if number in kept else next(left) for number in range(total)]

    def keep(self, made: Sequence[NDArray[Any]]) -> None:
        """Take the states after a call from the outputs of the session."""
        self._arrays = [made[after] for _, after in self._serving.states]
