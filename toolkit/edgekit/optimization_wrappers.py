"""Layers that tensorflow-model-optimization wraps around others, and leaves in saved models."""

from __future__ import annotations

QUANTIZATION = frozenset(
    ("QuantizeAwareActivation", "QuantizeLayer", "QuantizeWrapper", "QuantizeWrapperV2")
)
CLUSTERING = frozenset(("ClusterWeights", "ClusterWeightsMHA"))
PRUNING = frozenset(("PruneLowMagnitude",))


def short(class_name: str) -> str:
    """Without the module: both ways of naming a class stand in files."""
    return class_name.rpartition(".")[2]


def is_wrapper(class_name: str) -> bool:
    """Whether the class is one of these, which `edgekit` loads by itself.

    >>> is_wrapper("tensorflow_model_optimization.python.QuantizeLayer"), is_wrapper("Mine")
    (True, False)
    """
    return short(class_name) in QUANTIZATION | CLUSTERING | PRUNING
