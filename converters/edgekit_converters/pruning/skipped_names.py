"""Which layers ``--skip`` names: by name, by path or by type, and with each all that is inside it.

A path has the names of the models and wrappers around a layer: ``backbone/conv``, ``td/dense``,
``bid/forward_lstm``. All ways to compress a model ask here, so a name means the same to all.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from edgekit.errors import UsageError

_SHOWN = 12
"""So many names are enough to see how they are made."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """A layer in one place of a model."""

    layer: Any
    path: str
    around: tuple[Placed, ...] = ()
    """The models and layers that it is inside of, the outermost first; not the model itself."""

    @property
    def names(self) -> tuple[str, str, str]:
        """What it is called: its name, its path and its type."""
        return _name(self.layer), self.path, type(self.layer).__name__


def layers_within(model: Any) -> Iterator[Placed]:
    """Every layer of `model` in every place where it stands, the outer before the inner.

    Those of nested models, in wrappers, cells and the projections of attention are among them, and
    so are operations of functional graphs (``x + y``). `model` is of Keras 3 or tf_keras.
    """
    yield from _within(model, "", ())


def skipped_layers(model: Any, skip: Sequence[str]) -> frozenset[int]:
    """The ids of the layers of `model` that `skip` names, and of all that is inside them.

    Raises:
        UsageError: nothing in the model has a name of `skip`.
    """
    if not skip:
        return frozenset()
    found, known = set[int](), set[str]()
    for placed in layers_within(model):
        known.update(placed.names)
        if id(placed.layer) in found or any(
            name in skip for each in (*placed.around, placed) for name in each.names
        ):
            found.add(id(placed.layer))
    for name in skip:
        if name not in known:
            raise UsageError(unknown_layer(name, known))
    return frozenset(found)


def holds_skipped(layer: Any, skipped: frozenset[int]) -> bool:
    """Whether `layer`, or one inside it, is among those to skip."""
    return bool(skipped) and any(
        id(each) in skipped for each in (layer, *(inner.layer for inner in layers_within(layer)))
    )


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


def _within(layer: Any, path: str, around: tuple[Placed, ...]) -> Iterator[Placed]:
    for inner in _parts(layer):
        own = _name(inner)
        placed = Placed(layer=inner, path=f"{path}/{own}" if path else own, around=around)
        yield placed
        yield from _within(inner, placed.path, (*around, placed))


def _parts(layer: Any) -> list[Any]:
    """The layers right inside, then operations that are no layers; a Sequential's own graph not."""
    graph = getattr(layer, "_functional", None)
    flatten = getattr(layer, "_flatten_layers", None)
    layers = flatten(include_self=False, recursive=False) if flatten is not None else ()
    found = {id(inner): inner for inner in layers if inner is not graph}
    for operation in getattr(graph or layer, "operations", ()):
        found.setdefault(id(operation), operation)
    return list(found.values())


def _name(layer: Any) -> str:
    return str(getattr(layer, "name", type(layer).__name__))
