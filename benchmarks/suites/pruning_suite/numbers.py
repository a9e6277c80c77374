"""How numbers are written in the tables."""

from __future__ import annotations


def signed(number: float, form: str) -> str:
    """Without a sign where it is 0 as it is shown.

    >>> signed(-0.0004, "+.0%"), signed(-0.07, "+.0%")
    ('0%', '-7%')
    """
    told = format(number, form)
    return told if float(told.rstrip("%")) else told[1:]
