"""Whole numbers that a caller gives: Python's and NumPy's, and neither bools nor 2.0."""

from __future__ import annotations

from operator import index
from typing import Any


def whole(value: Any) -> int | None:
    """`value` as an int; None if it is none.

    >>> whole(3), whole(True), whole(3.0), whole("3")
    (3, None, None, None)
    """
    if isinstance(value, bool):
        return None
    try:
        return index(value)
    except TypeError:
        return None
