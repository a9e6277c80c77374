"""One JSON object a line, over descriptors."""

from __future__ import annotations

import json
import math
import os
import select
import time
from typing import TYPE_CHECKING, Any

from .errors import Gone

if TYPE_CHECKING:
    from collections.abc import Iterator

_SOME = 1 << 18


class Wire:
    """The agent's end: requests come in at 0, messages go out where stdout was.

    Descriptor 1 is made to lead to stderr, so that nothing that libraries or programs print gets
    among the messages. Empty lines only say that the other side is alive.
    """

    def __init__(self) -> None:
        """Take stdin and stdout."""
        self._out = os.dup(1)
        os.dup2(2, 1)
        self._pending = bytearray()
        self._heard = time.monotonic()
        self.silence_s = math.inf
        self.has_ended = False

    def say(self, message: dict[str, Any]) -> None:
        """Write one line.

        Raises:
            BrokenPipeError: nobody reads any more.
        """
        write_all(self._out, json.dumps(message).encode() + b"\n")

    def line(self) -> bytes | None:
        """The next request; None when there will be none.

        Raises:
            Gone: nothing was heard for too long.
        """
        while True:
            line, newline, rest = self._pending.partition(b"\n")
            if newline:
                self._pending = rest
                if line.strip():
                    return bytes(line)
            elif self.has_ended:
                return None
            else:
                self.wait(min(self.silence_s, 3600.0))

    def wait(self, timeout_s: float, *others: int) -> list[int]:
        """Until one of `others` is readable, or something came in, which is kept for later.

        Raises:
            Gone: nothing was heard for too long.
        """
        ready, _, _ = select.select(
            [*others] if self.has_ended else [0, *others], [], [], timeout_s
        )
        if 0 in ready:
            got = os.read(0, _SOME)
            self._heard = time.monotonic()
            self.has_ended = not got
            self._pending += got if self._pending else got.lstrip(b"\n")
        if time.monotonic() - self._heard > self.silence_s:
            raise Gone
        return ready

    def blocks(self, count: int) -> Iterator[bytes]:
        """The next `count` bytes, as they are.

        Raises:
            Gone: they do not come.
        """
        while count:
            block = bytes(self._pending[:count])
            del self._pending[: len(block)]
            if not block:
                ready, _, _ = select.select([0], [], [], min(self.silence_s, 3600.0))
                block = os.read(0, min(count, _SOME)) if ready else b""
                self._heard = time.monotonic()
            if not block:
                raise Gone
            count -= len(block)
            yield block


def write_all(descriptor: int, data: bytes) -> None:
    """Write it all, however small the pieces are that are taken."""
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
