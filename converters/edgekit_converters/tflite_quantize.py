"""Make a compressed TFLite file from a float32 one, without TensorFlow.

calibration = calibrate(Path("m.float32.tflite"), {"image": images})
quantize(Path("m.float32.tflite"), Path("m.int8.tflite"), "int8", samples=calibration)
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from edgekit._lazy import need
from edgekit.errors import ConversionError, OutputError, UsageError
from edgekit.recipe import CALIBRATED, IO, Precision
from edgekit_converters.tflite_calibrate import Calibration, calibrate, refuse_unquantizable
from edgekit_converters.tflite_float16 import halve
from edgekit_converters.tflite_graph import (
    constant,
    identifier,
    read_model,
    text,
    walk,
    write_model,
)
from edgekit_converters.tflite_io import set_io

_SCOPE_LIMIT = 10000  # ai-edge-quantizer cuts longer scopes


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One operator that can be left in float."""

    identifier: str
    """The name of its first output tensor; unique within the file."""
    operator: str
    """Its name in the TFLite schema, such as ``CONV_2D``."""
    weight_bytes: int
    """Bytes of its constant inputs in float32."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftInFloat:
    """One operator that was left in float although the precision would touch it."""

    identifier: str
    operator: str
    reason: str


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
) -> tuple[LeftInFloat, ...]:
    """Write `source`, a float32 TFLite file, to `out` in a smaller precision.

    Args:
        source: A float32 TFLite file.
        out: Where to write; an existing file is replaced.
        precision: Any but float32.
        samples: For int8 and int16x8, the calibration samples (see `calibrate`) or what
            `calibrate` made of them; ignored by the other precisions.
        io: What an int8 model takes and gives.
        keep_float: Identifiers (see `operators`) of operators to leave in float.

    Returns:
        The operators left in float because there is no kernel for them in `precision`; those of
        `keep_float` are not among them.

    Raises:
        ConversionError: the graph cannot be said in `precision`, or would not become smaller.
        UsageError: `io` or `samples` do not fit `precision`.
        SourceError: `source` is not a float TFLite file.
        OutputError: `out` cannot be written.
    """
    _check_request(precision, samples, io)
    model = read_model(source)
    if precision in CALIBRATED:
        refuse_unquantizable(model, source)
        calibration = (
            samples if isinstance(samples, Calibration) else calibrate(source, samples or {})
        )
        model, left = _quantize(model, source, precision, calibration, keep_float)
    elif precision == "float16":
        left = ()
        halve(model, keep_float)
    else:
        model, left = _quantize(model, source, precision, None, keep_float)
    if io != "float32":
        set_io(model, io)
    content = write_model(model)
    before = source.stat().st_size
    if len(content) >= before:
        message = (
            f"{source.name}: {precision} would not make it smaller ({before} bytes, {len(content)} "
            f"after): too few weights of the kinds it stores; keep the float32 file"
        )
        raise ConversionError(message)
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


def _quantize(
    model: Any,
    source: Path,
    precision: Precision,
    calibration: Calibration | None,
    keep_float: frozenset[str],
) -> tuple[Any, tuple[LeftInFloat, ...]]:
    quantizer_module = need("ai_edge_quantizer.quantizer", extra="convert")
    graph = need("ai_edge_litert.tools.flatbuffer_utils", extra="convert")
    quantizer = quantizer_module.Quantizer(write_model(model))
    _add_recipe(quantizer, precision)

    for subgraph, operator, _ in walk(model):
        if identifier(subgraph, operator) in keep_float:
            quantizer.update_quantization_recipe(
                regex=_scope(subgraph, operator), operation_name="*", algorithm_key="no_quantize"
            )

    with _quantizer_errors(source, precision, model):
        result = quantizer.quantize(
            calibration.statistics() if calibration else None,
            enable_progress_bar=False,
            enable_progress_report=False,
        )
    return graph.read_model_from_bytearray(bytes(result.quantized_model)), ()


def _add_recipe(quantizer: Any, precision: Precision) -> None:
    names = need("ai_edge_quantizer.qtyping", extra="convert").TFLOperationName
    if precision == "int8":
        quantizer.add_static_config(".*", names.ALL_SUPPORTED, 8, 8)
    elif precision == "int16x8":
        quantizer.add_static_config(".*", names.ALL_SUPPORTED, 16, 8)
    elif precision == "dynamic":
        quantizer.add_dynamic_config(".*", names.ALL_SUPPORTED, 8)
    else:
        quantizer.add_weight_only_config(".*", names.ALL_SUPPORTED, 4)
    for end in (names.INPUT, names.OUTPUT):
        quantizer.update_quantization_recipe(
            regex=".*", operation_name=end, algorithm_key="no_quantize"
        )


def _scope(subgraph: Any, operator: Any) -> str:
    names = [text(subgraph.tensors[index].name) for index in operator.outputs if index >= 0]
    scope = "".join(f"{name};" for name in names if name)
    if len(scope) > _SCOPE_LIMIT:
        return "^" + re.escape(scope[:_SCOPE_LIMIT])
    return "^" + re.escape(scope) + "$"


@contextlib.contextmanager
def _quantizer_errors(source: Path, precision: Precision, model: Any) -> Iterator[None]:
    try:
        yield
    except (ValueError, RuntimeError) as error:
        first = (str(error).strip().splitlines() or ["no reason given"])[0][:300]
        del model
        message = (
            f"{source.name}: {precision} failed in the quantizer: {first}; "
            "use dynamic or float16, or leave the operator in float"
        )
        raise ConversionError(message) from error


def _weight_bytes(model: Any, subgraph: Any, operator: Any) -> int:
    total = 0
    for index in operator.inputs:
        values = constant(model, subgraph.tensors[index]) if index >= 0 else None
        total += 0 if values is None else values.nbytes
    return total
