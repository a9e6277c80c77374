"""Where files are measured: what a host gives, and how to find one by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import entry_points
from pathlib import Path
from typing import Protocol

from edgekit.child import Limits
from edgekit.errors import UsageError


class Ratio(Protocol):
    """How long one file takes compared with another, with its interval."""

    @property
    def value(self) -> float:
        """Ratio of medians; below 1 is faster."""

    @property
    def verdict(self) -> str:
        """``faster``, ``slower`` or ``no difference shown``."""


class Latency(Protocol):
    """Measured latencies of one file."""

    @property
    def median_ns(self) -> float:
        """The middle value, in nanoseconds."""

    def median_interval_ns(self) -> tuple[float, float]:
        """An interval of the median, of at least 95 %."""

    def ratio_to(self, other: Latency) -> Ratio:
        """This over `other`, measured in the same run."""


class Host(Protocol):
    """A machine to measure on."""

    def latency(
        self,
        files: Sequence[Path],
        samples: Path,
        *,
        count: int = 6,
        threads: int = 1,
        limits: Limits | None = None,
        on_event: Callable[[str], None] | None = None,
    ) -> Mapping[Path, Latency]:
        """Latency of one inference of each file, taken in turn in several fresh processes."""


def host(name: str) -> Host:
    """The host called `name`, from the entry-point group ``edgekit.hosts``.

    Raises:
        UsageError: no such host; the message lists those there are.
    """
    found = entry_points(group="edgekit.hosts", name=name)
    if not found:
        known = ", ".join(sorted(entry_points(group="edgekit.hosts").names)) or "none"
        message = f"no host {name!r}; there are: {known}"
        raise UsageError(message)
    (entry,) = found
    made: Host = entry.load()()
    return made
