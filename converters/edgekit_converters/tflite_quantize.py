"""Make a compressed TFLite file from a float32 one, without TensorFlow.

ranges = calibrate(Path("m.float32.tflite"), {"image": images})
quantize(Path("m.float32.tflite"), Path("m.int8.tflite"), "int8", samples=ranges)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from edgekit.errors import ConversionError, OutputError, SourceError, UsageError
from edgekit.recipe import CALIBRATED, IO, Precision
from edgekit_converters.tflite_calibrate import Calibration, calibrate, refuse_unquantizable
from edgekit_converters.tflite_ends import Ends
from edgekit_converters.tflite_engine import run_quantizer
from edgekit_converters.tflite_float16 import halve
from edgekit_converters.tflite_graph import (
    constant,
    drop_manifest,
    identifier,
    is_custom,
    read_model,
    schema,
    walk,
    write_model,
)
from edgekit_converters.tflite_integer import LeftInFloat, nothing_to_do, with_integer_activations
from edgekit_converters.tflite_io import set_io
from edgekit_converters.tflite_load import try_to_run
from edgekit_converters.tflite_recipe import Treatment
from edgekit_converters.tflite_storage import storable, store

__all__ = ["Calibration", "Candidate", "LeftInFloat", "calibrate", "operators", "quantize"]

IS_QUANTIZED = "is quantized already"
"""What is said of a source that is no float file; one of a model trained for int8 is neither."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One operator that can be left in float."""

    identifier: str
    """The name of its first output tensor; unique within the file."""
    operator: str
    """Its name in the TFLite schema, such as ``CONV_2D``."""
    weight_bytes: int
    """Bytes of its constant inputs in float32."""


def operators(source: Path) -> tuple[Candidate, ...]:
    """The operators of the float file `source`, in the order of execution.

    Raises:
        SourceError: not a TFLite file.
    """
    model = read_model(source)
    return tuple(
        Candidate(
            identifier=identifier(subgraph, operator),
            operator=name,
            weight_bytes=_weight_bytes(model, subgraph, operator),
        )
        for subgraph, operator, name in walk(model)
    )


def quantize(
    source: Path,
    out: Path,
    precision: Precision,
    *,
    samples: Mapping[str, NDArray[Any]] | Calibration | None = None,
    io: IO = "float32",
    keep_float: frozenset[str] = frozenset(),
    full_integer: bool | None = None,
) -> tuple[LeftInFloat, ...]:
    """Write `source`, a float32 TFLite file, to `out` in a smaller precision.

    The same arguments give the same bytes. The file was loaded and run once, on zeros; whether it
    says the same as `source` is for the caller to check.

    Args:
        source: A float32 TFLite file.
        out: Where to write; an existing file is replaced.
        precision: Any but float32.
        samples: For int8 and int16x8, the calibration samples (see `calibrate`) or what
            `calibrate` made of them; ignored by the other precisions.
        io: What an int8 model takes and gives.
        keep_float: Identifiers (see `operators`) of operators to leave in float.
        full_integer: Whether operators of an int8 file compute on integers even where float32 is
            faster; by default, they do when `io` is not float32.

    Returns:
        The operators that compute in float in an int8 or int16x8 file because there is no integer
        kernel for them, or a slow one; those of `keep_float` are not among them.

    Raises:
        ConversionError: the graph cannot be said in `precision`, or would not become smaller.
        DataError: the samples do not fit the model.
        UsageError: `io` or `samples` do not fit `precision`.
        SourceError: `source` is not a float TFLite file.
        OutputError: `out` cannot be written.
    """
    _check_request(precision, samples, io)
    model = read_model(source)
    drop_manifest(model)
    _refuse_quantized(model, source)
    unknown = keep_float - {identifier(subgraph, operator) for subgraph, operator, _ in walk(model)}
    if unknown:
        message = f"{source.name}: has no operator {min(unknown)!r}; `operators` lists them"
        raise UsageError(message)
    ends = Ends.of(model)
    left: tuple[LeftInFloat, ...] = ()
    if precision in CALIBRATED:
        refuse_unquantizable(model, source)
        given = samples or {}
        ranges = given if isinstance(given, Calibration) else calibrate(source, given)
        fast = precision == "int8" and not (
            io != "float32" if full_integer is None else full_integer
        )
        made, left = with_integer_activations(
            model, source, precision, ranges, keep_float, fast=fast
        )
    elif precision == "float16":
        halve(model, keep_float)
        made = model
    else:
        wanted = storable(model, but=keep_float)
        made, decided = run_quantizer(model, source, precision, None, keep_float)
        store(made, wanted)
        if not wanted and all(chosen is Treatment.FLOAT for chosen in decided.values()):
            raise ConversionError(nothing_to_do(source, precision))
    ends.restore(made)
    set_io(made, io)
    content = write_model(made)
    _check_size(len(content), source, precision)
    if not any(is_custom(made, operator) for _, operator, _ in walk(made)):
        _check_run(content, source, precision)
    try:
        out.write_bytes(content)
    except OSError as error:
        message = f"{out}: cannot be written ({error.strerror}); choose another place with -o"
        raise OutputError(message) from error
    return left


def _check_request(precision: Precision, samples: object, io: IO) -> None:
    if precision == "float32":
        message = "float32: nothing to quantize; name a smaller precision"
        raise UsageError(message)
    if io != "float32" and precision != "int8":
        message = f"--io {io}: {precision} takes and gives float32; use it with int8"
        raise UsageError(message)
    if precision in CALIBRATED and samples is None:
        message = f"{precision}: needs calibration data; give --calibrate, or use dynamic"
        raise UsageError(message)


def _refuse_quantized(model: Any, source: Path) -> None:
    fb = schema().TensorType
    small = {fb.FLOAT16: "float16", fb.INT8: "int8", fb.UINT8: "uint8", fb.INT4: "int4"}
    for subgraph in model.subgraphs:
        for tensor in subgraph.tensors:
            scaled = tensor.quantization is not None and tensor.quantization.scale is not None
            if tensor.type in small and (scaled or tensor.type == fb.FLOAT16):
                message = (
                    f"{source.name}: {IS_QUANTIZED} ({small[tensor.type]}); "
                    "give the float32 file it was made from"
                )
                raise SourceError(message)


def _check_size(size: int, source: Path, precision: Precision) -> None:
    before = source.stat().st_size
    if precision not in CALIBRATED and size >= before:
        message = (
            f"{source.name}: {precision} would not make it smaller ({before} bytes before, {size} "
            "after); keep the float32 file"
        )
        raise ConversionError(message)


def _check_run(content: bytes, source: Path, precision: Precision) -> None:
    failure = try_to_run(content)
    if failure:
        message = (
            f"{source.name}: the {precision} file does not run ({failure.reason}); "
            "use another precision"
        )
        raise ConversionError(message)


def _weight_bytes(model: Any, subgraph: Any, operator: Any) -> int:
    total = 0
    for index in operator.inputs:
        values = constant(model, subgraph.tensors[index]) if index >= 0 else None
        total += 0 if values is None else values.nbytes
    return total
