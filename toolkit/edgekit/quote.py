"""Quoting other people's errors in ours."""

from __future__ import annotations

_LONGEST = 200


def first_line(error: BaseException) -> str:
    r"""What `error` says, cut to one line that is fit to print; else the name of its class.

    >>> first_line(ValueError("bad\nand worse")), first_line(EOFError())
    ('bad', 'EOFError')
    """
    line = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return line if len(line) <= _LONGEST else line[:_LONGEST] + "…"


def escaped(text: str) -> str:
    r"""`text` with its line ends and control characters spelt out: names may hold any.

    >>> print(escaped("é\nx\x1b[31m"))
    é\nx\x1b[31m
    """
    return text if text.isprintable() else "".join(map(_escaped, text))


def _escaped(character: str) -> str:
    return character if character.isprintable() else ascii(character)[1:-1]
