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
