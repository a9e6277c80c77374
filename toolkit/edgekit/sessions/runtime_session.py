"""What the runtimes of devices do alike, and how to call them again and again."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from edgekit.errors import ClosedError, EdgekitError
from edgekit.sessions.session import Session

if TYPE_CHECKING:
    from numpy.typing import NDArray

Providers = Sequence[str | tuple[str, dict[str, Any]]]
"""ONNX Runtime's execution providers, some with options, the preferred one first."""

CPU: Final = ("CPUExecutionProvider",)
"""The provider that is always there."""

View: TypeAlias = "Callable[[], NDArray[Any]]"
"""Gives the runtime's own memory of a tensor, in the stored dtype, without a copy."""

Write: TypeAlias = "Callable[[Any, NDArray[Any]], object]"


class RuntimeSession(Session):
    """A model file in a runtime.

    `run` and `run_real` are for single calls. Who calls it again and again with the same shapes
    does `prepare` once, then writes to `input_views`, calls `execute`, and reads `output_views`.
    """

    signatures: tuple[str, ...] = ()
    """Of a TFLite file; empty where it has none."""
    quantizes_inputs: frozenset[str] = frozenset()
    """Float inputs that the file turns into integers itself: NaN must not reach them."""
    has_variables: bool = False
    """Whether the file remembers something from one run to the next, inside the runtime."""
    input_views: Sequence[View]
    """One for each of `inputs`; write to what it gives before `execute`. Valid once prepared."""
    output_views: Sequence[View]
    """One for each of `outputs`; what it gives is overwritten by the next `execute`."""
    input_writers: Sequence[tuple[Write, Any]]
    """For each of `inputs` a ``write`` and a ``key``: ``write(key, array)`` is the fastest way to
    fill it with an array of the stored dtype and the shape it was prepared for."""
    output_copies: Sequence[View]
    """For each of `outputs` the fastest way to get a copy of it."""
    execute: Callable[[], object]
    """Compute the outputs; raises one of `failures`."""
    failures: tuple[type[Exception], ...]
    """What the runtime raises when it fails."""

    def tells(self, key: str) -> bool:
        """Whether the manifest may list `key`; cheaper than to look it up."""
        return bool(self.manifest.get(key))

    @property
    @abstractmethod
    def runtime(self) -> str:
        """Package and version, as ``ai-edge-litert 2.3.0``."""

    @abstractmethod
    def prepare(self, shapes: Sequence[tuple[int, ...]]) -> bool:
        """Make ready for inputs of `shapes`, in the order of `inputs`; nothing if they are so.

        Returns:
            Whether the views can be used; if not (text, outputs whose shape depends on the
            values), there is only `run`.

        Raises:
            DataError: the model cannot take these shapes.
        """

    @abstractmethod
    def failed(self, error: Exception) -> EdgekitError:
        """What to raise for one of `failures`."""

    def run_each(
        self, calls: Sequence[Mapping[str, NDArray[Any]]]
    ) -> list[dict[str, NDArray[Any]]]:
        """`run_real` on each of `calls`, with the variables as after loading.

        Raises:
            DataError: as `run_real`.
            VerificationError: the runtime fails.
        """
        made = []
        for inputs in calls:
            if self.has_variables:
                self.reset_variables()
            made.append(self.run_real(inputs))
        return made

    def another(self) -> RuntimeSession | None:
        """One more that runs at the same time on the same weights; None if it must be opened."""
        return None

    @abstractmethod
    def reset_variables(self) -> None:
        """Set the file's internal variables to what they are after loading."""


def closed() -> None:
    """What `RuntimeSession.execute` is after `Session.close`."""
    message = "model: is closed; load it again"
    raise ClosedError(message)


def with_version(package: str) -> str:
    """`package` and the version that is installed."""
    from edgekit.requirement import installed_version  # slow to import, and seldom asked for

    return f"{package} {installed_version(package) or 'unknown'}"
