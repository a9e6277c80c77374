"""Bytes that arrive in pieces, cut into lines."""

from __future__ import annotations

from collections.abc import Callable

LINE_LIMIT_BYTES = 1 << 30
_LAST_BYTES = 1 << 18


class LineCutter:
    """Cuts what arrives in pieces into lines; long ones are copied once."""

    def __init__(self, take: Callable[[bytes], None]) -> None:
        """Give each line, without its end, to `take`."""
        self._take = take
        self._pieces: list[bytes] = []
        self._length = 0

    def feed(self, data: bytes) -> bool:
        """Take the lines that are complete now; False if one grows without an end."""
        *whole, rest = data.split(b"\n")
        for piece in whole:
            self._pieces.append(piece)
            line = b"".join(self._pieces)
            self._pieces.clear()
            self._length = 0
            self._take(line)
        self._pieces.append(rest)
        self._length += len(rest)
        return self._length <= LINE_LIMIT_BYTES

    def end(self) -> None:
        """Take what came after the last line's end."""
        self._take(b"".join(self._pieces)[:_LAST_BYTES])
        self._pieces.clear()
