"""Seeds of everything random inside a model, so that an epoch is the same whenever it is run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

_LEGACY, _STATEFUL = "legacy_stateful", "stateful"


def reseed(model: Any, seed: int, epoch: int) -> None:
    """Set the random state of dropout and augmentation layers, by `seed`, `epoch` and position.

    Works on the layers of either Keras, nested ones included.
    """
    for position, state in enumerate(_generators(model)):
        words = np.random.SeedSequence([seed, epoch, position]).generate_state(2)
        if hasattr(state, "reset_from_seed"):
            state.reset_from_seed(int(words[0]) << 31 | int(words[1]) >> 1)
        else:
            state.assign(words.astype(state.dtype if isinstance(state.dtype, str) else np.uint32))


@contextmanager
def seedable(model: Any) -> Iterator[None]:
    """Within it, dropout of Keras 2 has a state that can be set; the model ends as it was.

    Its own is inside the operations, and goes on from wherever it is.
    """
    changed: list[Any] = []
    for layer in _layers(model):
        random: Any = getattr(layer, "_random_generator", None)
        if getattr(random, "_rng_type", "") == _LEGACY:
            changed.append(random)
            random._rng_type, random._built = _STATEFUL, False
    try:
        yield
    finally:
        for random in changed:
            random._rng_type, random._built, random._generator = _LEGACY, True, None


def _layers(model: Any) -> list[Any]:
    flatten = getattr(model, "_flatten_layers", None)
    return list(flatten(include_self=True, recursive=True)) if flatten else []


def _generators(model: Any) -> list[Any]:
    """Variables of Keras 3, and generators of TensorFlow for Keras 2; each once."""
    found: dict[int, Any] = {}
    for layer in _layers(model):
        for generator in getattr(layer, "_seed_generators", None) or []:
            state = getattr(generator, "state", None)
            if state is not None:
                found.setdefault(id(state), state)
        random = getattr(layer, "_random_generator", None)
        if random is not None and hasattr(random, "_maybe_init"):
            random._maybe_init()
            if random._generator is not None:
                found.setdefault(id(random._generator), random._generator)
    return list(found.values())
