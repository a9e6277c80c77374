"""Rows of text as aligned columns."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence


def aligned(rows: Iterable[Sequence[str]], *, left: Collection[int] = (0,)) -> list[str]:
    """Each row as one line; the columns in `left` are flush left, all others flush right.

    >>> aligned([["file", "size"], ["a", "1 kB"], ["long", "10 kB"]])
    ['file   size', 'a      1 kB', 'long  10 kB']
    """
    table = [list(row) for row in rows]
    widths = [max(len(cell) for cell in column) for column in zip(*table, strict=True)]
    return [
        "  ".join(
            cell.ljust(width) if i in left else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in table
    ]


def size_text(size_bytes: int) -> str:
    """Bytes for people, in the decimal units of file managers: ``5812 B``, ``97 kB``."""
    if size_bytes < 10_000:
        return f"{size_bytes} B"
    return f"{size_bytes / 1000:,.0f} kB" if size_bytes < 1e7 else f"{size_bytes / 1e6:,.1f} MB"


def printable(text: str) -> str:
    r"""Names come from files: nothing in them may steer the terminal.

    >>> printable("cat\x1b[31m")
    'cat?[31m'
    """
    return text if text.isprintable() else "".join(c if c.isprintable() else "?" for c in text)
