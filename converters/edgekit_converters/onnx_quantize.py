"""Make a compressed ONNX file from a float32 ONNX file, without TensorFlow."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from edgekit.errors import UsageError
from edgekit.recipe import IO, Precision
from edgekit_converters.onnx_candidates import Candidate, LeftInFloat, candidates, weights_of
from edgekit_converters.onnx_dynamic import quantize_weights
from edgekit_converters.onnx_files import write_compressed
from edgekit_converters.onnx_float16 import store_as_float16
from edgekit_converters.onnx_int4 import store_as_int4
from edgekit_converters.onnx_integer_io import io_quantization
from edgekit_converters.onnx_prepare import prepare
from edgekit_converters.onnx_static import Calibration, calibrate
from edgekit_converters.onnx_stored import store_as_int8

__all__ = [
    "Calibration",
    "Candidate",
    "LeftInFloat",
    "calibrate",
    "io_quantization",
    "operators",
    "quantize",
]


def quantize(
    source: Path,
    out: Path,
    precision: Precision,
    *,
    samples: Mapping[str, NDArray[Any]] | Calibration | None = None,
    io: IO = "float32",
    keep_float: frozenset[str] = frozenset(),
) -> tuple[LeftInFloat, ...]:
    """Write `source` in another precision to `out`; equal inputs give equal bytes.

    Args:
        source: a float32 ONNX file; it is only read.
        out: where the result goes; the folder exists.
        precision: any but ``float32``.
        samples: calibration data for int8 and int16x8: for each graph input an array of shape
            (samples, *input shape, batch dimension included); or what `calibrate` made of it.
        io: what an int8 model takes and gives.
        keep_float: names of operators (as `operators` gives them) that stay in float.

    Returns:
        What still computes in float, and why.

    Raises:
        ConversionError: the model cannot be said in that precision, or does not get smaller by it.
        DataError: the samples do not fit the model.
        SourceError: `source` is not a float ONNX model that ONNX Runtime loads.
        UsageError: int8 or int16x8 without samples, or integer inputs for another precision.
    """
    if io != "float32" and precision != "int8":
        message = (
            f"--io {io}: only int8 models have integer inputs and outputs, not {precision}; "
            "leave --io out"
        )
        raise UsageError(message)
    if precision in ("int8", "int16x8"):
        if samples is None:
            message = f"{precision}: needs calibration data; give --calibrate DATA, or use dynamic"
            raise UsageError(message)
        known = samples if isinstance(samples, Calibration) else calibrate(source, samples)
        return known.quantize(out, precision=precision, io=io, keep_float=keep_float)
    model = prepare(source)
    if precision == "float16":
        store_as_float16(model, keep=weights_of(model, keep_float))
    elif precision == "dynamic":
        quantize_weights(model, keep_float=keep_float)
    elif precision == "int4":
        untouched = weights_of(model, keep_float)
        store_as_int4(model, keep_float=keep_float)
        store_as_int8(model, keep=untouched)
    else:
        message = f"{precision}: not a compressed precision; keep the float32 file"
        raise UsageError(message)
    write_compressed(model, out, source.stat().st_size, precision)
    return ()


def operators(source: Path) -> tuple[Candidate, ...]:
    """The operators that can be left in float, in execution order.

    Raises:
        SourceError: `source` is not an ONNX model that ONNX Runtime loads.
    """
    return candidates(prepare(source))
