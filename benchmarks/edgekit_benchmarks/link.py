"""The wire to a device: requests to the agent that runs there, and what comes back.

    with LocalLink() as link:
        facts = link.request("facts", timeout_s=30)
        path = link.put(Path("mnist.int8.tflite"))

A link is any process whose input and output lead to the worker's agent: here a Python, elsewhere
an ``ssh``. What the worker refuses arrives as the edgekit error it names. A link that breaks or
falls silent raises `CrashError`, and is closed.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

from edgekit.errors import CrashError, SourceError
from edgekit_benchmarks.sent_file import hashed, unwritable
from edgekit_benchmarks.stream_link import SILENCE_S, OnEvent, StreamLink
from edgekit_benchmarks.worker_file import FOLDER

__all__ = ["Link", "LocalLink", "OnEvent", "StreamLink"]


class Link(Protocol):
    """A device that answers requests; used in ``with``, and from one thread at a time."""

    name: str
    hello: dict[str, Any]

    def request(
        self, do: str, /, *, on_event: OnEvent | None = None, timeout_s: float, **arguments: Any
    ) -> dict[str, Any]:
        """Ask the agent, and wait for the answer.

        Args:
            do: name of the request.
            on_event: told what happens meanwhile, in this thread.
            timeout_s: until the answer, at most.
            arguments: of the request, as JSON.

        Raises:
            EdgekitError: what the agent refuses, as the class that it names.
            CrashError: the link broke, hangs, or took longer than `timeout_s`.
        """

    def put(self, path: Path) -> str:
        """Make a file available there; only what is not there yet is sent.

        Returns:
            Its path on the device.

        Raises:
            SourceError: the file cannot be read here, or changes meanwhile.
            OutputError: no space there.
            CrashError: the link broke or hangs.
        """

    def get(self, path: str, to: Path) -> None:
        """Bring a file that the worker made.

        Args:
            path: on the device, as an answer names it.
            to: here; replaced if it exists.

        Raises:
            UsageError: it is none of the worker's.
            OutputError: no space here.
            CrashError: the link broke or hangs, or the file arrives damaged.
        """

    def remove(self, path: str) -> None:
        """Remove a file from the device that `put` sent or the worker made.

        Raises:
            CrashError: the link broke or hangs.
        """

    def close(self) -> None:
        """End the agent, and with it all that it started and wrote; safe to call twice."""

    def __enter__(self) -> Self:
        """Close at the end of the block."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close."""


class LocalLink(StreamLink):
    """This machine: the same agent and messages as on any other, and no copies of files."""

    def __init__(
        self,
        name: str = "local",
        *,
        python: str = sys.executable,
        worker: Path = FOLDER,
        root: str | None = None,
        silence_s: float = SILENCE_S,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """Start an agent here.

        Args:
            name: for messages.
            python: the interpreter that measures, with NumPy and a runtime.
            worker: its folder or file.
            root: what stands for ``/`` when the agent reads the board's facts, for tests.
            silence_s: how long a working agent may say nothing.
            environment: variables to set for it.

        Raises:
            CrashError: it does not start.
        """
        try:
            process = subprocess.Popen(
                [python, str(worker), "agent"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                bufsize=0,
                env={**os.environ, **(environment or {})},
                start_new_session=True,  # Ctrl-C reaches us alone, and we end the agent
            )
        except OSError as error:
            message = f"{name}: {python} does not start ({error.strerror}); name another Python"
            raise CrashError(message) from error
        super().__init__(process, name, root=root, silence_s=silence_s)

    def put(self, path: Path) -> str:
        """Use the file where it is.

        Raises:
            SourceError: it cannot be read, or is another one than it was at first.
        """
        resolved = str(path.resolve())
        digest, _ = hashed(path)
        if self._paths.setdefault(resolved, digest) != digest:
            message = f"{path}: changed while it was measured; start again"
            raise SourceError(message)
        return resolved

    def get(self, path: str, to: Path) -> None:
        """Copy the file.

        Raises:
            OutputError: no space here.
        """
        try:
            shutil.copyfile(path, to)
        except OSError as error:
            raise unwritable(to, error) from error

    def remove(self, path: str) -> None:
        """Remove a file that the worker made; what was put is the user's."""
        self._paths.pop(path, None)
        if Path(self.hello["folder"]).resolve() in Path(path).resolve().parents:
            super().remove(path)

    def close(self) -> None:
        """End the agent, and remove its folder if it was killed before it could."""
        super().close()
        if folder := self.hello.get("folder"):
            shutil.rmtree(folder, ignore_errors=True)
