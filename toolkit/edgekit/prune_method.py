"""Ways to prune: whole channels, single weights, or weights in a pattern."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from edgekit.errors import UsageError

Kind = Literal["structured", "unstructured", "n:m", "block"]

DOWNLOAD_ONLY = (
    "only the compressed download shrinks: zeros take as much space on disk and as much time to "
    "multiply as any number; --method structured makes smaller and faster files"
)
"""What is to be said of all methods but ``structured`` before any work begins."""
_WAYS = "structured, unstructured, N:M as 2:4, or a block as 1x4"
_LARGEST = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Method:
    """What becomes zero, or goes away, together."""

    kind: Kind
    pattern: tuple[int, int] | None = None
    """``n:m``: of every m weights along the input axis, n are kept. ``block``: rows, columns."""

    @property
    def is_structured(self) -> bool:
        """Whether tensors shrink; otherwise weights become zero."""
        return self.kind == "structured"

    @property
    def sparsity(self) -> float | None:
        """The share of zeros that the pattern alone brings; None where the user chooses."""
        if self.kind != "n:m" or self.pattern is None:
            return None
        return 1 - self.pattern[0] / self.pattern[1]

    def __str__(self) -> str:
        """As on the command line."""
        if self.pattern is None:
            return self.kind
        return f"{self.pattern[0]}{':' if self.kind == 'n:m' else 'x'}{self.pattern[1]}"


def parse_method(text: str) -> Method:
    """Read ``structured``, ``unstructured``, ``2:4`` or ``1x4``.

    Raises:
        UsageError: it is none of these, or a pattern that makes no sense.

    >>> str(parse_method("2:4")), parse_method("1x4").pattern
    ('2:4', (1, 4))
    """
    if text == "structured":
        return Method(kind="structured")
    if text == "unstructured":
        return Method(kind="unstructured")
    found = re.fullmatch(r"([0-9]{1,6})([:x])([0-9]{1,6})", text.strip().lower())
    if not found:
        message = f"--method {text}: not known; there are: {_WAYS}"
        raise UsageError(message)
    first, second = int(found[1]), int(found[3])
    if found[2] == ":":
        return _keeps(text, first, second)
    if not (1 <= first <= _LARGEST and 1 <= second <= _LARGEST):
        message = f"--method {text}: a block has 1 to {_LARGEST} rows and columns; 1x4 is usual"
        raise UsageError(message)
    if first == second == 1:
        message = f"--method {text}: a block of one weight is no block; use --method unstructured"
        raise UsageError(message)
    return Method(kind="block", pattern=(first, second))


def _keeps(text: str, kept: int, of: int) -> Method:
    if not 1 <= kept < of <= _LARGEST:
        message = (
            f"--method {text}: N:M keeps N of every M weights, so N is from 1 to below M, and M "
            f"at most {_LARGEST}; 2:4 is usual"
        )
        raise UsageError(message)
    return Method(kind="n:m", pattern=(kept, of))
