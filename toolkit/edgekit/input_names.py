"""Which INPUT of ``edgekit run`` is for which input of the model."""

from __future__ import annotations

import os
from collections.abc import Sequence

from edgekit.errors import UsageError
from edgekit.input_numbers import parse_numbers


def grouped(texts: Sequence[str], names: Sequence[str]) -> list[dict[str | None, str]]:
    """What goes together into one run: the INPUT of each model input, by name.

    An INPUT for the whole model (the only input, or a .npz) has the name None.

    Raises:
        UsageError: an unknown name, one that is missing or given twice, or some with a name and
            others without.
    """
    if not names:
        message = f"{texts[0]}: the model takes no inputs; use its outputs as they are"
        raise UsageError(message)
    named = [_named(text, names) for text in texts]
    plain = next((text for name, text in named if name is None), None)
    if len(names) == 1 or all(name is None for name, _ in named):
        return [{None: text} for _, text in named]
    if plain is not None:
        message = f"{plain}: has no input's name before it, others have; write {names[0]}={plain}"
        raise UsageError(message)
    found: dict[str | None, str] = {}
    for name, text in named:
        if name in found:
            message = f"{name}={text}: {name} is given twice; run models with several inputs once"
            raise UsageError(message)
        found[name] = text
    missing = [name for name in names if name not in found]
    if missing:
        message = f"inputs: nothing for {', '.join(missing)}; add {missing[0]}=FILE"
        raise UsageError(message)
    return [found]


def _named(text: str, names: Sequence[str]) -> tuple[str | None, str]:
    name, equals, rest = text.partition("=")
    if not equals or is_there(text):
        return None, text
    if name in names:
        return name, rest
    if is_there(rest) or parse_numbers(rest) is not None:
        message = f"{text}: the model has no input {name!r}; there are: {', '.join(names)}"
        raise UsageError(message)
    return None, text


def is_there(path: str) -> bool:
    """Whether there is such a file or folder; what cannot be a path is none."""
    return bool(path) and os.path.exists(path)  # noqa: PTH110 - Path raises for long ones
