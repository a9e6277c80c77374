"""Which architectures there are: one builder function each, registered by name."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

Framework = Literal["keras3", "keras2"]
Array = npt.NDArray[Any]

BOTH: tuple[Framework, ...] = ("keras3", "keras2")

CALIBRATION_SAMPLES = 32
HELD_OUT_SAMPLES = 16
SAMPLES = CALIBRATION_SAMPLES + HELD_OUT_SAMPLES
"""A builder returns at least this many samples of each input."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """A built model and samples for each of its inputs, first axis: the sample."""

    model: Any
    samples: dict[str, Array]
    """Keys are the model's input names, in its order; ``x`` where the model has no name for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One architecture under one framework: how to build it, save it and ask for it."""

    name: str
    framework: Framework
    builder: Callable[[Any], Built] = field(repr=False)
    covers: str
    suffixes: tuple[str, ...]
    """Files to save: ``.keras``, ``.h5``, or ```` (nothing) for a SavedModel folder."""
    custom_objects: str | None = None
    """File in this folder that ``--custom-objects`` needs."""
    arguments: tuple[str, ...] = ()
    """Further arguments of ``edgekit convert``."""
    must_refuse: bool = False
    constant: bool = False
    """The output is known not to depend on the input."""
    stateful_steps: int = 0
    tolerance: float = 1e-3
    """Bound on the float32 relative RMS error; wider where Keras itself computes in float16."""
    slow: bool = False


_ENTRIES: dict[str, Entry] = {}


def model(
    name: str,
    *,
    framework: Framework | tuple[Framework, ...] = "keras3",
    suffixes: tuple[str, ...] | None = None,
    custom_objects: str | None = None,
    arguments: tuple[str, ...] = (),
    must_refuse: bool = False,
    constant: bool = False,
    stateful_steps: int = 0,
    tolerance: float = 1e-3,
    slow: bool = False,
) -> Callable[[Callable[[Any], Built]], Callable[[Any], Built]]:
    """Register a builder; it receives the framework's module (`keras` or `tf_keras`).

    Under Keras 2 the entry is called ``<name>_keras2``. `suffixes` default to ``.keras`` for
    Keras 3, and to ``.h5`` and ``.keras`` for Keras 2.

    Raises:
        ValueError: the name is taken.
    """

    def register(builder: Callable[[Any], Built]) -> Callable[[Any], Built]:
        frameworks = (framework,) if isinstance(framework, str) else framework
        for each in frameworks:
            full_name = name if each == "keras3" else f"{name}_keras2"
            if full_name in _ENTRIES:
                message = f"{full_name}: registered twice; choose another name"
                raise ValueError(message)
            objects = custom_objects
            if objects and each == "keras2":
                objects = objects.replace(".py", "_keras2.py")
            default = (".keras",) if each == "keras3" else (".h5", ".keras")
            _ENTRIES[full_name] = Entry(
                name=full_name,
                framework=each,
                builder=builder,
                covers=(builder.__doc__ or "").strip().splitlines()[0].rstrip("."),
                suffixes=suffixes or default,
                custom_objects=objects,
                arguments=arguments,
                must_refuse=must_refuse,
                constant=constant,
                stateful_steps=stateful_steps,
                tolerance=tolerance,
                slow=slow,
            )
        return builder

    return register


def entries(*, framework: Framework | None = None, only: Iterable[str] = ()) -> tuple[Entry, ...]:
    """Registered entries in order of registration, slow ones last.

    Raises:
        ValueError: a name in `only` is not registered.
    """
    import scripts.corpus.applications
    import scripts.corpus.attention
    import scripts.corpus.convolutions
    import scripts.corpus.inputs
    import scripts.corpus.layers
    import scripts.corpus.recurrent
    import scripts.corpus.refusals
    import scripts.corpus.shapes
    import scripts.corpus.structures  # noqa: F401 - importing registers

    wanted = set(only)
    if unknown := wanted - set(_ENTRIES):
        message = f"no architecture {sorted(unknown)}; there are: {', '.join(_ENTRIES)}"
        raise ValueError(message)
    chosen = [
        entry
        for entry in _ENTRIES.values()
        if (not wanted or entry.name in wanted) and framework in (None, entry.framework)
    ]
    return tuple(sorted(chosen, key=lambda entry: entry.slow))


def first(samples: dict[str, Array], count: int = SAMPLES) -> dict[str, Array]:
    """The first `count` samples of each input."""
    return {name: np.ascontiguousarray(values[:count]) for name, values in samples.items()}
