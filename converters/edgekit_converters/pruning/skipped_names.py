"""What to say of a name in ``--skip`` that is of no layer."""

from __future__ import annotations

import difflib
from collections.abc import Collection

_SHOWN = 12
"""So many names are enough to see how they are made."""


def unknown_layer(name: str, known: Collection[str]) -> str:
    """One line, with the names that are near.

    >>> unknown_layer("dense9", ["conv", "dense", "dense_1"])
    '--skip dense9: the model has no layer of that name or type; did you mean dense or dense_1?'
    """
    near = difflib.get_close_matches(name, sorted(known), n=3, cutoff=0.5)
    folded = [other for other in sorted(known) if other.lower() == name.lower()]
    near = list(dict.fromkeys([*folded, *near]))
    some = [*sorted(known)[:_SHOWN], *(["…"] if len(known) > _SHOWN else [])]
    hint = f"did you mean {' or '.join(near)}?" if near else f"there are {', '.join(some)}"
    return f"--skip {name}: the model has no layer of that name or type; {hint}"
