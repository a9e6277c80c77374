"""Model files are checked before native code sees them."""

from __future__ import annotations


def check(data: memoryview | bytes, kind: str, name: str) -> None:
    """Raise SourceError for content that could crash the runtime."""
