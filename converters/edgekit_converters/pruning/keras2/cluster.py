"""Weight clustering of a Keras 2 model by tensorflow-model-optimization."""

from __future__ import annotations

from typing import Any

import numpy as np

from edgekit.errors import SourceError
from edgekit_converters.pruning.keras2.layers import (
    compile_like,
    copy_of,
    kernels,
    listed,
    targets,
    tfmot,
    wrapped,
)
from edgekit_converters.pruning.keras2.settings import Fit, Keras2Settings
from edgekit_converters.pruning.zeros.clusters import group


def clustered(
    model: Any, settings: Keras2Settings, fit: Fit | None
) -> tuple[Any, list[str], object]:
    """`model`, whose weights are given away, with few different values in each kernel.

    Zeros stay zeros where the model was pruned. With `fit` the values are trained, by the wrappers
    of tensorflow-model-optimization; without, they are those of k-means.

    Returns:
        The model, what to say about it, and what `fit` gave.

    Raises:
        SourceError: nothing in it can be clustered.
    """
    count = settings.clusters or 0
    found = targets(model, settings.skip)
    enough = [layer for layer in found if all(_different(k) > count for k in kernels(layer))]
    if not enough:
        message = f"{settings.name}: nothing to cluster: no kernel has more than {count} values"
        raise SourceError(message)
    few = [layer for layer in found if all(layer is not one for one in enough)]
    notes = [f"not clustered: {listed(few)}: no more than {count} values anyway"] if few else []
    if fit is None:
        for kernel in (kernel for layer in enough for kernel in kernels(layer)):
            made = group(kernel.numpy(), count)
            kernel.assign(made.centroids[made.members])
        return model, notes, None
    plain, variables = copy_of(model), list(model.weights)
    grouped, wrappers, left = _grouped(model, enough, count, zeros=settings.keeps_zeros)
    if left:
        notes.append(f"not clustered: {listed(left)}: tensorflow-model-optimization cannot")
    if not wrappers:
        message = f"{settings.name}: nothing to cluster: {notes[-1]}; leave out --cluster"
        raise SourceError(message)
    compile_like(grouped, model)
    told = fit(grouped, [Clusters(count)], stage="cluster")
    for wrapper in wrappers:
        wrapper.update_clustered_weights_associations()
        for name, variable in wrapper.original_clusterable_weights.items():
            variable.assign(wrapper.get_weight_from_layer(name))
    plain.set_weights([variable.numpy() for variable in variables])
    return plain, notes, told


class Clusters:
    """Says what the clustering wrappers do; they need no help in training."""

    def __init__(self, count: int) -> None:
        """`count`: different values a kernel."""
        self._count = count

    def begin(self, model: Any, steps: int) -> None:
        """Nothing to do."""

    def after_batch(self, step: int) -> None:
        """Nothing to do: the wrappers cluster the weights whenever they are used."""

    def finish(self) -> None:
        """Nothing to do."""

    def progress(self) -> str:
        """The number of values."""
        return f"{self._count} clusters"


def _different(kernel: Any) -> int:
    return len(np.unique(kernel.numpy()))


def _grouped(
    model: Any, chosen: list[Any], count: int, *, zeros: bool
) -> tuple[Any, list[Any], list[Any]]:
    """The model with wrappers, the wrappers, and the layers that cannot have one."""
    from tensorflow_model_optimization.python.core.clustering.keras.experimental import cluster

    linear = tfmot().clustering.keras.CentroidInitialization.LINEAR
    made: list[Any] = []
    left: list[Any] = []

    def wrap(layer: Any) -> Any:
        if all(layer is not one for one in chosen):
            return layer
        try:
            wrapper = cluster.cluster_weights(
                layer, count, cluster_centroids_init=linear, preserve_sparsity=zeros
            )
        except ValueError:  # of a layer that it does not know
            left.append(layer)
            return layer
        made.append(wrapper)
        return wrapper

    return wrapped(model, wrap), made, left
