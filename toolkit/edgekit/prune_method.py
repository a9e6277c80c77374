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
_WAYS = "unstructured, N:M as 2:4, or a block as 1x4"
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
    def n_of_m(self) -> tuple[int, int] | None:
        """N and M: of every M weights N are kept; None for other kinds."""
        return self.pattern if self.kind == "n:m" else None

    @property
    def block(self) -> tuple[int, int] | None:
        """Rows and columns of the blocks; None for other kinds."""
        return self.pattern if self.kind == "block" else None

    @property
    def sparsity(self) -> float | None:
        """The share of zeros that the pattern alone brings; None where the user chooses."""
        return None if self.n_of_m is None else 1 - self.n_of_m[0] / self.n_of_m[1]

    def __str__(self) -> str:
        """As on the command line."""
        if self.pattern is None:
            return self.kind
        return f"{self.pattern[0]}{':' if self.kind == 'n:m' else 'x'}{self.pattern[1]}"


def parse_method(text: str) -> Method:
    """Read ``structured``, or what `parse_zeros` reads.

    Raises:
        UsageError: it is none of these, or a pattern that makes no sense.

    >>> str(parse_method("2:4")), parse_method("1x4").pattern
    ('2:4', (1, 4))
    """
    if text == "structured":
        return Method(kind="structured")
    return parse_zeros(text, "--method", f"structured, {_WAYS}")


def parse_zeros(text: str, option: str, ways: str = _WAYS) -> Method:
    """Read a way to choose the weights that become zero: ``unstructured``, ``2:4`` or ``1x4``.

    Args:
        text: what was given.
        option: what messages call it.
        ways: those that there are, for messages.

    Raises:
        UsageError: it is none of these, or a pattern that makes no sense.
    """
    if text == "unstructured":
        return Method(kind="unstructured")
    found = re.fullmatch(r"([0-9]{1,6})([:x])([0-9]{1,6})", text.strip().lower())
    if not found:
        message = f"{option} {text}: not known; there are: {ways}"
        raise UsageError(message)
    first, second = int(found[1]), int(found[3])
    if found[2] == ":":
        if not 1 <= first < second <= _LARGEST:
            message = (
                f"{option} {text}: N:M keeps N of every M weights, so N is from 1 to below M, and "
                f"M at most {_LARGEST}; 2:4 is usual"
            )
            raise UsageError(message)
        return Method(kind="n:m", pattern=(first, second))
    if not (1 <= first <= _LARGEST and 1 <= second <= _LARGEST):
        message = f"{option} {text}: a block has 1 to {_LARGEST} rows and columns; 1x4 is usual"
        raise UsageError(message)
    if first == second == 1:
        message = f"{option} {text}: a block of one weight is no block; use {option} unstructured"
        raise UsageError(message)
    return Method(kind="block", pattern=(first, second))
