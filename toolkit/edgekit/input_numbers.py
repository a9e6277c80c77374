"""Numbers written out: in a text file, or on the command line."""

from __future__ import annotations

from pathlib import Path

from edgekit.errors import DataError

_MOST_TEXT_BYTES = 64 << 20


def parse_numbers(text: str) -> list[list[float]] | None:
    r"""Numbers separated by commas or blanks, line by line; None if there is anything else.

    >>> parse_numbers("1, 2\n[0.5]"), parse_numbers("one")
    ([[1, 2], [0.5]], None)
    """
    lines = []
    for line in text.translate(str.maketrans(",;[]()", "      ")).splitlines():
        try:
            values: list[float] = [int(word) for word in line.split()]
        except ValueError:
            try:
                values = [float(word) for word in line.split()]
            except ValueError:
                return None
        if values:
            lines.append(values)
    return lines or None


def text_numbers(path: Path) -> list[list[float]]:
    """The numbers of a text file, line by line.

    Raises:
        DataError: it has anything else, or is too large for text.
    """
    if path.stat().st_size > _MOST_TEXT_BYTES:
        message = f"has more than {_MOST_TEXT_BYTES >> 20} MiB of text; save the numbers as .npy"
        raise DataError(message)
    try:
        numbers = parse_numbers(path.read_text(encoding="utf-8-sig"))
    except UnicodeDecodeError:
        numbers = None
    if numbers is None:
        message = "is no list of numbers; give numbers, separated by blanks or commas"
        raise DataError(message)
    return numbers
