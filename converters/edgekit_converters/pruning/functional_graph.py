"""What is a functional Keras 3 model, and which calls it consists of."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

from edgekit._lazy import need
from edgekit.errors import SourceError


def keras() -> Any:
    """The module keras.

    Raises:
        MissingDependencyError: it is not installed.
    """
    return need("keras", extra="convert")


def functional(model: Any, *, otherwise: str = "") -> Any:
    """The functional graph of `model`, which is functional or sequential.

    Args:
        model: what the user gave.
        otherwise: what else a user can do with a subclassed model: ", or ...".

    Raises:
        SourceError: it has none, since it is subclassed, was never built or is not of Keras 3.
    """
    kind = type(model).__name__
    if not isinstance(model, keras().Model):
        message = f"{kind}: not a Keras 3 model; give one of those"
        raise SourceError(message)
    if isinstance(model, keras().Sequential):
        graph = getattr(model, "_functional", None) if model.built else None
        if graph is None:
            message = (
                f"model {model.name!r}: not built, so its shapes are not known; call it once on "
                "data, and save it again"
            )
            raise SourceError(message)
        return graph
    if not is_functional(model):
        message = (
            f"model {model.name!r}: a subclassed model ({kind}), and only its code knows which "
            f"layer feeds which; build it from keras.Input with the functional API{otherwise}"
        )
        raise SourceError(message)
    return model


def is_model(operation: Any) -> bool:
    """Whether `operation` is a model whose graph can be walked."""
    return isinstance(operation, keras().Sequential) or is_functional(operation)


def is_functional(operation: Any) -> bool:
    """Whether `operation` is a functional model that does what its graph says."""
    base = _functional_class()
    return isinstance(operation, base) and type(operation).call is base.call  # type: ignore[attr-defined]


@cache
def _functional_class() -> type:
    """The class of functional models, which Keras does not export."""
    inputs = keras().Input((1,))
    return type(keras().Model(inputs, inputs))


def nodes(model: Any) -> Iterator[Any]:
    """The calls of a functional model in the order of execution, its inputs left out."""
    for depth in sorted(model._nodes_by_depth, reverse=True):
        for node in model._nodes_by_depth[depth]:
            if node.operation is not None and not node.is_input:
                yield node
