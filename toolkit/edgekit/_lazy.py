"""Heavy imports, late and with a useful message."""

import importlib
from types import ModuleType
from typing import Any

from edgekit.errors import MissingDependencyError


def need(module: str, *, extra: str) -> Any:
    """Import `module` now, or say which extra brings it.

    Raises:
        MissingDependencyError: `module` is not installed.

    >>> need("no_such_framework", extra="convert")
    Traceback (most recent call last):
    ...
    edgekit.errors.MissingDependencyError: no_such_framework: not installed; \
run: pip install '.[convert]' in the edgekit checkout
    """
    try:
        found: ModuleType = importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name != module.partition(".")[0]:
            raise  # it is there, and broken: that traceback is the one to read
        message = (
            f"{module.partition('.')[0]}: not installed; "
            f"run: pip install '.[{extra}]' in the edgekit checkout"
        )
        raise MissingDependencyError(message) from None
    return found
