"""Load models in which tensorflow-model-optimization has left its wrappers."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import AbstractContextManager, nullcontext

from edgekit._lazy import need
from edgekit.optimization_wrappers import CLUSTERING, PRUNING, QUANTIZATION, short


def trained_with_quantization(classes: Collection[str]) -> bool:
    """Whether these custom classes are those of quantization-aware training."""
    return bool(QUANTIZATION & _short(classes))


def known_wrappers(classes: Collection[str]) -> AbstractContextManager[object]:
    """In this context, Keras 2 knows those of `classes` that are wrappers.

    Raises:
        MissingDependencyError: the model is wrapped, and the package is not installed.
    """
    names = _short(classes)
    if not names & (QUANTIZATION | CLUSTERING | PRUNING):
        return nullcontext()
    optimization = need("tensorflow_model_optimization", extra="keras2")
    scope: AbstractContextManager[object]
    if names & QUANTIZATION:
        scope = optimization.quantization.keras.quantize_scope()
    elif names & CLUSTERING:
        scope = optimization.clustering.keras.cluster_scope()
    else:
        scope = optimization.sparsity.keras.prune_scope()
    return scope


def _short(classes: Collection[str]) -> set[str]:
    return set(map(short, classes))
