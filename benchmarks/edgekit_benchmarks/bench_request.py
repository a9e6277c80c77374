"""What ``bench`` was asked for, checked before anything is measured."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edgekit.errors import UsageError
from edgekit.preprocess import parse_prefixed
from edgekit_benchmarks.samples import PROCESSES

SECONDS = 5.0
"""Of samples for each row, over all its processes."""
STARTS = 5
"""Processes that start a row: four on either side are the fewest that two runs can be told by."""
TRIES = 5
"""How often ``--replicate`` measures everything (MLPerf Mobile)."""
LOCAL = "local"
RESUME = "--resume (resume=True)"
"""How to go on after a break, on the command line and in Python."""
_MOST_THREADS = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchRequest:
    """One call of bench: every file with every number of threads on every target."""

    files: tuple[Path, ...]
    on: tuple[str, ...] = (LOCAL,)
    """Targets: ``local``, names from the user's list, ``ssh://user@host:port``."""
    threads: tuple[int, ...] = (1,)
    input: str | None = None
    """A data source as on the command line; None takes what the files carry."""
    preprocess: tuple[str, ...] = ()
    """Texts as on the command line, ``[INPUT:]STEPS``; empty takes what the files say."""
    accuracy: str | None = None
    """A data source with labels to score the files on."""
    starts: int = STARTS
    processes: int = PROCESSES
    seconds: float = SECONDS
    sustained: bool = False
    replicate: bool = False
    resume: bool = False
    operators: bool = False
    count: bool = False
    """Count instructions: emulated targets only, which do nothing else anyway."""
    wait_s: float = 60.0
    """How long to wait while another benchmark has the device."""
    command: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse what can be refused without a look at files and targets."""
        for name, given in (("files", self.files), ("on", self.on), ("threads", self.threads)):
            if not given:
                message = f"{name}: nothing given; give at least one"
                raise UsageError(message)
        for count in self.threads:
            if not 1 <= count <= _MOST_THREADS:
                message = f"threads {count}: not from 1 to {_MOST_THREADS}; 1 is usual, or 1,2,4"
                raise UsageError(message)
        if self.processes < 1 or self.starts < 1:
            message = f"processes {self.processes}: nothing to measure; {PROCESSES} is usual"
            raise UsageError(message)
        if not 0 < self.seconds <= 86_400:
            message = (
                f"seconds {self.seconds:g} (--time): not above 0, up to a day; {SECONDS:g} is usual"
            )
            raise UsageError(message)
        for text in self.preprocess:
            parse_prefixed(text)
        if self.preprocess and self.input is None:
            message = (
                "preprocess: says how input data is prepared; give the input too (--input DATA)"
            )
            raise UsageError(message)

    @property
    def targets(self) -> tuple[str, ...]:
        """Each target once, in the order given."""
        return tuple(dict.fromkeys(self.on))

    @property
    def tries(self) -> int:
        """How often everything is measured."""
        return TRIES if self.replicate else 1
