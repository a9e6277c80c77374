"""Compress a Keras 2 model by tensorflow-model-optimization: pruning, clustering, QAT.

The three may be combined, and come in this order, each keeping what the ones before made: PQAT is
pruning and QAT, CQAT clustering and QAT, PCQAT all three.
"""

from __future__ import annotations

from typing import Any

from edgekit.errors import ConversionError, EdgekitError
from edgekit.quote import first_line
from edgekit_converters.pruning.keras2.cluster import clustered
from edgekit_converters.pruning.keras2.layers import check, compile_like, copy_of
from edgekit_converters.pruning.keras2.prune import pruned
from edgekit_converters.pruning.keras2.quantize import check_quantized, quantized
from edgekit_converters.pruning.keras2.settings import Compressed, Fit, Keras2Settings, Stage


def compress(model: Any, settings: Keras2Settings, fit: Fit | None = None) -> Compressed:
    """A smaller copy of the tf_keras `model`, which stays as it is.

    Args:
        model: functional or sequential, of tf_keras.
        settings: what to do.
        fit: trains a model in place; called once for each of pruning, clustering and QAT. Without,
            weights become zeros and clusters at once, and QAT is refused.

    Raises:
        SourceError: the model cannot be compressed so; the message names the layer, and says what
            to do.
        UsageError: the settings name a layer that the model does not have, or need training data.
    """
    check(model, settings.skip, settings.name)
    notes: list[str] = []
    trained: dict[Stage, object] = {}
    stages: list[tuple[Stage, bool, Any]] = [
        ("prune", settings.prunes, pruned),
        ("cluster", settings.clusters is not None, clustered),
        ("quantize", settings.quantize, quantized),
    ]
    made = copy_of(model)
    if settings.quantize and fit is not None:
        check_quantized(made, settings)
    for stage, wanted, step in stages:
        if wanted:
            compile_like(made, model)
            made, said, told = step(made, settings, fit and _guarded(fit, settings.name))
            notes += said
            if fit is not None:
                trained[stage] = told
    compile_like(made, model)
    return Compressed(
        model=made,
        suffix=".h5" if settings.quantize else ".keras",
        notes=tuple(notes),
        trained=trained,
    )


def _guarded(fit: Fit, name: str) -> Fit:
    """`fit`, whose own errors pass, and whose others are one line."""

    def guarded(model: Any, projections: list[Any], *, stage: Stage) -> object:
        try:
            return fit(model, projections, stage=stage)
        except (EdgekitError, MemoryError):
            raise
        except Exception as error:  # whatever TensorFlow raises inside a wrapped layer
            lines = [line.strip() for line in str(error).splitlines()]
            named = [line for line in lines if line.startswith(("ValueError:", "TypeError:"))]
            said = named[-1] if named else first_line(error)
            message = (
                f"{name}: training stopped in stage {stage!r} of "
                f"tensorflow-model-optimization ({type(error).__name__}: {said}); add --skip NAME "
                "where it names a layer, or leave this stage out"
            )
            raise ConversionError(message) from error

    return guarded
