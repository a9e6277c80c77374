"""What Python functions take for data: its name, as on the command line."""

from __future__ import annotations

import os
from typing import Any

from edgekit.errors import UsageError


def data_name(argument: str, given: Any) -> str:
    """The name of data that is given for `argument`.

    Raises:
        UsageError: arrays, or something else that has no name; child processes read data by it.

    >>> data_name("data", "train.npz")
    'train.npz'
    """
    try:
        name: str = os.fspath(given)
    except TypeError:
        what = f"is of type {type(given).__name__}, not the name of data"
        how = f'save arrays with numpy.savez("{argument}.npz", x=x, y=y) and give "{argument}.npz"'
        message = f"{argument}: {what}; {how}"
        raise UsageError(message) from None
    return name
