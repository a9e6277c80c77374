"""Python files that are run once leave nothing beside them."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def no_bytecode() -> Iterator[None]:
    """Write no ``__pycache__`` in this block.

    Neither beside a user's file, nor beside those that TensorFlow makes in the temporary folder.
    """
    before = sys.dont_write_bytecode
    sys.dont_write_bytecode = True
    try:
        yield
    finally:
        sys.dont_write_bytecode = before
