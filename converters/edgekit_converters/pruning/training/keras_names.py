"""Losses, optimizers and metrics of Keras by name, with a hint where a name is wrong."""

from __future__ import annotations

import contextlib
import difflib
import inspect
from collections.abc import Callable
from typing import Any

from edgekit.errors import UsageError


def named(option: str, text: str, get: Callable[[str], Any], module: Any) -> Any:
    """What `get` of the Keras `module` makes of `text`, however it is spelled.

    Raises:
        UsageError: there is no such thing; with the names that are near.
    """
    known = [
        name
        for name, value in vars(module).items()
        if not name.startswith("_")
        and callable(value)
        and name not in ("get", "serialize", "deserialize")
    ]
    same = next((name for name in known if plain(name) == plain(text)), text)
    made: Any = None
    with contextlib.suppress(ValueError, TypeError, KeyError):
        made = get(same)
    if made is None or isinstance(made, str):  # Keras 2 gives back metrics it does not know
        if same in known:
            message = (
                f"{option} {text}: needs settings; compile the model with it, and leave it out"
            )
            raise UsageError(message)
        near = difflib.get_close_matches(plain(text), [plain(n) for n in known], n=6, cutoff=0.5)
        found = [_snake(n) for one in near for n in known if plain(n) == one]
        hint = f"did you mean {', '.join(dict.fromkeys(found[:6]))}" if found else "see keras.io"
        message = f"{option} {text}: Keras knows no such {option.lstrip('-')}; {hint}"
        raise UsageError(message)
    return made() if inspect.isclass(made) else made


def plain(name: str) -> str:
    """Letters and digits alone: ``BinaryCrossentropy`` and ``binary_crossentropy`` are one."""
    return name.replace("_", "").replace("-", "").replace(" ", "").lower()


def _snake(name: str) -> str:
    """What a user types: ``BinaryCrossentropy`` is ``binary_crossentropy``."""
    if name.isupper() or "_" in name:
        return name.lower()
    return "".join(f"_{c.lower()}" if c.isupper() else c for c in name).lstrip("_")
