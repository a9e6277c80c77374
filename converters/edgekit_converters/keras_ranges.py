"""What the layers of a Keras 3 model give, for which a range was learned in training."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit_converters.learned_ranges import SAMPLES, Fingerprint, Learned, Range
from edgekit_converters.loaded_model import LoadedModel


def learned(
    model: LoadedModel, ranges: Mapping[str, Range], samples: Mapping[str, NDArray[Any]]
) -> Learned:
    """Run `model` on the first of `samples` and keep what the layers named in `ranges` give.

    Args:
        model: functional; of another one nothing is kept, and no range is used.
        ranges: as `edgekit.keras_ranges.read_ranges` gives them.
        samples: by input name, ``(samples, *input shape)``, the batch included.
    """
    tensors = _tensors(model.model, ranges)
    if not tensors or set(samples) != {spec.name for spec in model.inputs}:
        return Learned(ranges=ranges, fingerprints={})
    import keras

    watching = keras.Model(model.model.inputs, list(tensors.values()))
    count = min(SAMPLES, len(next(iter(samples.values()))))
    seen: dict[str, list[NDArray[Any]]] = {name: [] for name in tensors}
    for index in range(count):
        given = [keras.ops.convert_to_tensor(samples[s.name][index]) for s in model.inputs]
        for name, value in zip(tensors, watching(given, training=False), strict=True):
            seen[name].append(np.asarray(keras.ops.convert_to_numpy(value)))
    return Learned(
        ranges=ranges,
        fingerprints={name: Fingerprint.of(values) for name, values in seen.items()},
    )


def _tensors(model: Any, ranges: Mapping[str, Range]) -> dict[str, Any]:
    """The symbolic outputs with learned ranges; ``name#1`` is of the second call of a layer."""
    operations = {one.name: one for one in getattr(model, "operations", [])}
    found = {}
    for key in ranges:
        name, _, call = key.rpartition("#")
        operation = operations.get(key)
        if operation is None and call.isdigit():
            operation = operations.get(name)
        number = int(call) if operation is not None and operation.name != key else 0
        nodes = getattr(operation, "_inbound_nodes", [])
        if number < len(nodes) and len(nodes[number].outputs) == 1:
            found[key] = nodes[number].outputs[0]
    return found
