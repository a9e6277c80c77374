"""The three child processes of a conversion, and the lanes of work that keep them busy."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType

from edgekit.child import Child, Limits


class Workers:
    """`keras` imports TensorFlow, `quantizer` the quantizers, `checker` only the runtimes.

    Each is started at its first call; a child that died is started anew by the next one.
    """

    def __init__(self, limits: Limits, *, verbose: bool, on_event: Callable[[str], None]) -> None:
        """Name the children; nothing is started."""
        self.keras = Child(
            "edgekit_converters.keras_worker", limits=limits, verbose=verbose, on_event=on_event
        )
        self.quantizer = Child(
            "edgekit_converters.quantize_worker", limits=limits, verbose=verbose, on_event=on_event
        )
        self.checker = Child("edgekit.check_worker", limits=limits, verbose=verbose)

    def __enter__(self) -> Workers:
        """Use in ``with``: whatever happens, no process is left running."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop all three."""
        self.stop()

    def stop(self) -> None:
        """End what the children are doing, from any thread; their calls raise `CrashError`."""
        for child in (self.keras, self.quantizer, self.checker):
            child.close()
