"""Run ai-edge-quantizer on a TFLite graph, and put its result right."""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from edgekit._lazy import need
from edgekit.errors import ConversionError
from edgekit.recipe import Precision
from edgekit_converters.tflite_bias import widened_weights
from edgekit_converters.tflite_calibrate import Calibration
from edgekit_converters.tflite_graph import write_model
from edgekit_converters.tflite_recipe import Treatment, configure
from edgekit_converters.tflite_touchup import touch_up


def run_quantizer(
    model: Any,
    source: Path,
    precision: Precision,
    ranges: Calibration | None,
    keep_float: frozenset[str],
) -> tuple[Any, dict[str, Treatment]]:
    """Quantize the float graph `model`; its inputs and outputs stay float.

    Returns:
        The quantized graph, and what was decided for the operators with weights.

    Raises:
        ConversionError: the quantizer gave up.
    """
    module = need("ai_edge_quantizer.quantizer", extra="convert")
    files = need("ai_edge_litert.tools.flatbuffer_utils", extra="convert")
    quantizer = module.Quantizer(write_model(model))
    decided = configure(quantizer, model, precision, keep_float)
    if not quantizer.get_quantization_recipe():
        return model, decided
    statistics: dict[str, Any] | None = None
    if ranges is not None:
        statistics = dict(ranges.statistics())
        statistics |= widened_weights(model, ranges, bits=activation_bits(precision))
    with _quantizer_errors(source, precision), _quiet():
        result = quantizer.quantize(
            statistics, enable_progress_bar=False, enable_progress_report=False
        )
    made = files.read_model_from_bytearray(bytes(result.quantized_model))
    touch_up(made)
    return made, decided


def activation_bits(precision: Precision) -> Literal[8, 16]:
    """Bits of an activation, of precisions that have integer ones."""
    return 16 if precision == "int16x8" else 8


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without the progress bars, which would be quoted as the last words of a child that dies."""
    with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):
        warnings.simplefilter("ignore", UserWarning)  # of its way of checking the ranges
        yield


@contextlib.contextmanager
def _quantizer_errors(source: Path, precision: Precision) -> Iterator[None]:
    try:
        yield
    except (ValueError, RuntimeError) as error:
        first = (str(error).strip().splitlines() or ["no reason given"])[0][:300]
        message = (
            f"{source.name}: {precision} failed in ai-edge-quantizer: {first.rstrip('.')}; "
            "use dynamic or float16"
        )
        raise ConversionError(message) from error
