"""Magnitude pruning of a Keras 2 model by tensorflow-model-optimization."""

from __future__ import annotations

from collections.abc import Sequence
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

_RAMP = 0.75
"""Share of the steps in which the polynomial schedule reaches its end; the rest recovers."""
_UPDATES = 50
"""How often the masks are made anew on the way."""


def pruned(model: Any, settings: Keras2Settings, fit: Fit | None) -> tuple[Any, list[str], object]:
    """`model`, whose weights are given away, with zeros; what to say about it; what `fit` gave.

    Without `fit` the smallest weights become zero at once.

    Raises:
        SourceError: nothing in it can be pruned so.
    """
    chosen, notes = _chosen(model, settings)
    shares = _shares(chosen, settings)
    plain, variables = copy_of(model), list(model.weights)
    masked = _masked(model, chosen, shares, settings, trains=fit is not None)
    holding = HeldMasks(masked, shares)
    told: object = None
    if fit is not None:
        compile_like(masked, model)
        told = fit(masked, [holding], stage="prune")
    if holding.complete() and fit is not None and settings.pattern is None:
        notes.append("training ended before the schedule did; the last zeros came without it")
    plain.set_weights([variable.numpy() for variable in variables])
    return plain, notes, told


def prunable(model: Any, settings: Keras2Settings) -> frozenset[int]:
    """Identities of the variables of `model` that `pruned` makes sparse.

    Raises:
        SourceError: there are none.
    """
    return frozenset(
        id(kernel) for layer in _chosen(model, settings)[0] for kernel in kernels(layer)
    )


class HeldMasks:
    """Counts the steps of the pruning wrappers in a model, and keeps their weights masked."""

    def __init__(self, model: Any, shares: dict[int, float]) -> None:
        """`shares`: of zeros, by the identity of the layer that is wrapped; empty for N:M."""
        self._model = model
        self._shares = shares

    def begin(self, model: Any, steps: int) -> None:  # noqa: ARG002 - the schedule knows its end
        """Start counting at 0, unless the model comes out of an earlier run."""
        for layer in self._layers():
            if int(layer.pruning_step) == -1:
                layer.pruning_step.assign(0)

    def after_batch(self, step: int) -> None:  # noqa: ARG002 - the wrappers count
        """Set to zero again what the optimizer moved."""
        for layer in self._layers():
            layer.pruning_obj.weight_mask_op()

    def finish(self) -> None:
        """Leave the weights masked."""
        self.after_batch(0)

    def progress(self) -> str:
        """The share of zeros so far."""
        masks = [mask.numpy() for layer in self._layers() for _, mask, _ in layer.pruning_vars]
        zeros = sum(int((mask == 0).sum()) for mask in masks)
        return f"sparsity {zeros / max(1, sum(mask.size for mask in masks)):.1%}"

    @property
    def is_settled(self) -> bool:
        """Whether every layer has all its zeros."""
        return all(
            int(layer.pruning_step) >= max(1, layer.pruning_schedule.end_step)
            for layer in self._layers()
        )

    def complete(self) -> bool:
        """Bring every layer to its full share of zeros; whether one had not reached it."""
        schedule = tfmot().sparsity.keras.ConstantSparsity
        late = False
        for layer in self._layers():
            share = self._shares.get(id(layer.layer))
            if share is not None:
                layer.pruning_obj._pruning_schedule = schedule(share, 0)
            for weight, mask, threshold in layer.pruning_vars:
                before = mask.numpy()
                if share is None and not before.all():
                    continue  # N:M: made in the first step, and kept
                limit, made = layer.pruning_obj._maybe_update_block_mask(weight)
                if not float(np.mean(made)) < float(before.mean()):
                    continue
                mask.assign(made)
                threshold.assign(limit)
                late = True
            layer.pruning_obj.weight_mask_op()
        return late

    def _layers(self) -> list[Any]:
        return _wrappers(self._model)


def _wrappers(model: Any) -> list[Any]:
    from tensorflow_model_optimization.python.core.sparsity.keras import pruning_wrapper

    found = pruning_wrapper.collect_prunable_layers(model)
    return list({id(layer): layer for layer in found}.values())  # shared ones once


def _chosen(model: Any, settings: Keras2Settings) -> tuple[list[Any], list[str]]:
    found = targets(model, settings.skip)
    shape = ""
    if settings.block:
        shape = "matrices of more than one block in both directions"
    elif settings.pattern:
        shape = "matrices and 2-D convolutions"
    fitting = [layer for layer in found if all(_fits(k.shape, settings) for k in kernels(layer))]
    if not fitting:
        message = f"{settings.name}: nothing to prune: no layer has a kernel that may be pruned"
        if found:
            message = (
                f"{settings.name}: nothing to prune: {settings.method} patterns are only for "
                f"{shape}, and it has none; use --method unstructured"
            )
        raise SourceError(message)
    rest = [layer for layer in found if all(layer is not one for one in fitting)]
    if rest:
        return fitting, [f"not pruned: {listed(rest)}: {settings.method} is only for {shape}"]
    return fitting, []


def _fits(shape: Sequence[int], settings: Keras2Settings) -> bool:
    if settings.pattern:
        return len(shape) in (2, 4)
    if settings.block:  # of a single row or column of blocks tfmot makes a vector, and stumbles
        return len(shape) == 2 and all(
            size > side for size, side in zip(shape, settings.block, strict=True)
        )
    return True


def _shares(chosen: Sequence[Any], settings: Keras2Settings) -> dict[int, float]:
    """The share of zeros each layer ends with, by identity; none for N:M.

    Layers of different nested models may have one name.
    """
    if settings.sparsity is None or settings.pattern:
        return {}
    if settings.scope == "layer":
        return {id(layer): settings.sparsity for layer in chosen}
    sizes = {
        id(layer): np.concatenate([np.abs(k.numpy()).ravel() for k in kernels(layer)])
        for layer in chosen
    }
    limit = np.quantile(np.concatenate(list(sizes.values())), settings.sparsity)
    return {
        key: min(float((values < limit).mean()), 1 - 1 / values.size)
        for key, values in sizes.items()
    }


def _masked(
    model: Any,
    chosen: Sequence[Any],
    shares: dict[int, float],
    settings: Keras2Settings,
    *,
    trains: bool,
) -> Any:
    sparsity = tfmot().sparsity.keras
    by_id = {id(layer): layer for layer in chosen}

    def wrap(layer: Any) -> Any:
        if id(layer) not in by_id:
            return layer
        options: dict[str, Any] = {
            "pruning_schedule": _schedule(shares.get(id(layer)), settings, trains=trains)
        }
        if settings.pattern:
            kept, row = settings.pattern
            options["sparsity_m_by_n"] = (row - kept, row)
        if settings.block:
            options["block_size"] = settings.block
        layer.get_prunable_weights = lambda: kernels(layer)  # its hook for layers it does not know
        try:
            return sparsity.prune_low_magnitude(layer, **options)
        except ValueError as error:
            message = (
                f"{settings.name}: tensorflow-model-optimization cannot prune layer {layer.name!r} "
                f"({type(layer).__name__}); add --skip {layer.name}"
            )
            raise SourceError(message) from error

    return wrapped(model, wrap)


def _schedule(share: float | None, settings: Keras2Settings, *, trains: bool) -> Any:
    """Never ending on a step in which masks are not made: tfmot would miss the last ones."""
    sparsity = tfmot().sparsity.keras
    if share is None or not trains:
        return sparsity.ConstantSparsity(0.5 if share is None else share, 0)
    end = max(1, int(settings.steps * _RAMP))
    every = max(1, end // _UPDATES)
    if settings.schedule == "constant":
        return sparsity.ConstantSparsity(share, begin_step=1, frequency=every)
    return sparsity.PolynomialDecay(
        initial_sparsity=0.0,
        final_sparsity=share,
        begin_step=0,
        end_step=end - end % every,
        power=3,
        frequency=every,
    )
