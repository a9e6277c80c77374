"""One file of a request, on its way through a runtime; every failure names the file."""

from __future__ import annotations

import contextlib
import hashlib
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .board import UNKNOWN
from .errors import Refused, first_line
from .inputs import rows_of
from .runtimes import import_runtime

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_NO_MEMORY = ("bad_alloc", "Failed to allocate memory", "failed to allocate")


class Loaded:
    """A row of a request: ``key``, ``path``, ``runtime``, ``threads``, ``sha256``, ``zeros``."""

    call: Callable[[Any], Any]
    feeds: list[Any]
    """What to call `call` with, in turn."""

    def __init__(self, row: dict[str, Any], tell: Callable[[dict[str, Any]], None]) -> None:
        """Import the row's runtime.

        Args:
            row: of the request.
            tell: says to the agent what is done now.

        Raises:
            Refused: no such file, runtime or package.
        """
        self.row = row
        self.name = Path(row["path"]).name
        self._tell = tell
        self.told("import")
        self.runtime = import_runtime(row["path"], row.get("runtime") or "auto")

    @property
    def runtime_version(self) -> str:
        """Package and version."""
        package: str = self.runtime.package
        try:
            return f"{package} {metadata.version(package)}"
        except metadata.PackageNotFoundError:
            return f"{package} {UNKNOWN}"

    def told(self, phase: str) -> None:
        """Say what is done now, and to what."""
        self._tell({"phase": phase, "row": self.row.get("key"), "name": self.name})

    def check(self) -> None:
        """Read the file once: is it the one that is meant; and so that no cold disk is timed.

        Raises:
            Refused: it is another one; SourceError.
        """
        digest = sha256_of(self.row["path"])
        if self.row.get("sha256") not in {None, digest}:
            message = f"{self.row['path']}: changed since it was listed; start again"
            raise Refused(message, "SourceError")

    def load(self) -> None:
        """Let the runtime open the file.

        Raises:
            Refused: it does not; VerificationError.
        """
        with self.errors("load"):
            self.runtime.load(self.row["path"], int(self.row.get("threads") or 1))

    def bind(self, arrays: dict[str, Any]) -> None:
        """Prepare the inputs.

        Raises:
            Refused: they do not fit the model; DataError. Or it cannot be resized for them.
        """
        with self.errors("tell its inputs"):
            inputs = self.runtime.inputs()
        rows = rows_of(arrays, inputs, self.row.get("zeros") or ())
        with self.errors("take these inputs"):
            self.feeds = self.runtime.prepare(rows)
        self.call = self.runtime.call

    @contextlib.contextmanager
    def errors(self, doing: str) -> Iterator[None]:
        """Whatever a runtime raises, as a message about this file."""
        try:
            yield
        except (Refused, MemoryError):
            raise
        except Exception as error:
            if any(words in str(error) for words in _NO_MEMORY):
                raise MemoryError from error
            message = (
                f"{self.name}: does not {doing} with {self.runtime_version} ({first_line(error)}); "
                "try another runtime, or make the file in another precision"
            )
            raise Refused(message, "VerificationError") from error


def sha256_of(path: str) -> str:
    """Of a file's content, in hexadecimal."""
    digest = hashlib.sha256()
    with Path(path).open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
