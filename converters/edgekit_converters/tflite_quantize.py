"""Make a compressed TFLite file from a float32 one, without TensorFlow.

ranges = calibrate(Path("m.float32.tflite"), {"image": images})
quantize(Path("m.float32.tflite"), Path("m.int8.tflite"), "int8", samples=ranges)
"""

from __future__ import annotations

import contextlib
import io as io_module
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from numpy.typing import NDArray

from edgekit._lazy import need
from edgekit.errors import ConversionError, OutputError, SourceError, UsageError
from edgekit.recipe import CALIBRATED, IO, Precision
from edgekit_converters.tflite_bias import widened_weights
from edgekit_converters.tflite_calibrate import Calibration, calibrate, refuse_unquantizable
from edgekit_converters.tflite_float16 import halve
from edgekit_converters.tflite_graph import (
    constant,
    identifier,
    is_custom,
    read_model,
    schema,
    text,
    walk,
    write_model,
)
from edgekit_converters.tflite_io import set_io
from edgekit_converters.tflite_islands import join_islands
from edgekit_converters.tflite_load import try_to_run
from edgekit_converters.tflite_masks import masking_operators
from edgekit_converters.tflite_pace import slow_in_integers
from edgekit_converters.tflite_recipe import Treatment, configure
from edgekit_converters.tflite_storage import storable, store
from edgekit_converters.tflite_touchup import touch_up

__all__ = ["Calibration", "Candidate", "LeftInFloat", "calibrate", "operators", "quantize"]

_CAST = ("QUANTIZE", "DEQUANTIZE")


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
    """One operator that computes in float although integers were asked for, and why."""

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
    _refuse_quantized(model, source)
    unknown = keep_float - {identifier(subgraph, operator) for subgraph, operator, _ in walk(model)}
    if unknown:
        message = f"{source.name}: has no operator {min(unknown)!r}; `operators` lists them"
        raise UsageError(message)
    names = [text(model.subgraphs[0].tensors[i].name) for i in model.subgraphs[0].outputs]
    places = _places(model)
    left: tuple[LeftInFloat, ...] = ()
    if precision in CALIBRATED:
        refuse_unquantizable(model, source)
        given = samples or {}
        ranges = given if isinstance(given, Calibration) else calibrate(source, given)
        fast = precision == "int8" and not (
            io != "float32" if full_integer is None else full_integer
        )
        made, left = _with_integer_activations(
            model, source, precision, ranges, keep_float, fast=fast
        )
    elif precision == "float16":
        halve(model, keep_float)
        made = model
    else:
        wanted = storable(model, but=keep_float)
        made, decided = _run_quantizer(model, source, precision, None, keep_float)
        store(made, wanted)
        if not wanted and all(chosen is Treatment.FLOAT for chosen in decided.values()):
            raise ConversionError(_nothing(source, precision))
    _restore_output_names(made, names)
    _restore_signatures(made, places)
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
                    f"{source.name}: is quantized already ({small[tensor.type]}); "
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


def _with_integer_activations(
    model: Any,
    source: Path,
    precision: Precision,
    ranges: Calibration,
    keep_float: frozenset[str],
    *,
    fast: bool,
) -> tuple[Any, tuple[LeftInFloat, ...]]:
    """Quantize, and leave in float, one after the other, what the runtime has no kernel for."""
    known = {"GATHER"} if precision == "int8" else set()  # to the quantizer; in 16 bits, wastefully
    wanted = storable(model, but=keep_float | known)
    refused = masking_operators(model, ranges)
    if fast:
        refused = slow_in_integers(model, keep_float | refused.keys()) | refused
    while True:
        kept = keep_float | wanted | refused.keys()
        made, _ = _run_quantizer(model, source, precision, ranges, frozenset(kept))
        store(made, wanted)
        join_islands(made, ranges, keep_float | refused.keys(), bits=_bits(precision))
        failure = try_to_run(write_model(made))
        if failure is None:
            break
        culprit = _culprit(model, made, failure.operator_index)
        if culprit is None or culprit in refused:
            message = (
                f"{source.name}: the {precision} file does not run ({failure.reason}); use dynamic"
            )
            raise ConversionError(message)
        refused[culprit] = failure.reason
    left = tuple(
        LeftInFloat(
            identifier=name,
            operator=kind,
            reason=refused.get(name) or f"no {precision} form of {kind}",
        )
        for name, kind in _still_float(model, made)
        if name not in keep_float
    )
    if not _has_integer_operators(made):
        raise ConversionError(_nothing(source, precision))
    return made, left


def _run_quantizer(
    model: Any,
    source: Path,
    precision: Precision,
    ranges: Calibration | None,
    keep_float: frozenset[str],
) -> tuple[Any, dict[str, Treatment]]:
    module = need("ai_edge_quantizer.quantizer", extra="convert")
    files = need("ai_edge_litert.tools.flatbuffer_utils", extra="convert")
    quantizer = module.Quantizer(write_model(model))
    decided = configure(quantizer, model, precision, keep_float)
    if not quantizer.get_quantization_recipe():
        return model, decided
    statistics: dict[str, Any] | None = None
    if ranges is not None:
        statistics = dict(ranges.statistics())
        statistics |= widened_weights(model, ranges, bits=_bits(precision))
    with _quantizer_errors(source, precision), _quiet():
        result = quantizer.quantize(
            statistics, enable_progress_bar=False, enable_progress_report=False
        )
    made = files.read_model_from_bytearray(bytes(result.quantized_model))
    touch_up(made)
    return made, decided


def _bits(precision: Precision) -> Literal[8, 16]:
    return 16 if precision == "int16x8" else 8


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without the progress bars, which would be quoted as the last words of a child that dies."""
    with warnings.catch_warnings(), contextlib.redirect_stderr(io_module.StringIO()):
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


def _culprit(model: Any, made: Any, index: int | None) -> str | None:
    """The operator of the float `model` that stands at `index` in the quantized graph."""
    main = made.subgraphs[0]
    if index is None or index >= len(main.operators):
        return None
    name = identifier(main, main.operators[index])
    return name if name in {identifier(s, operator) for s, operator, _ in walk(model)} else None


def _still_float(model: Any, made: Any) -> list[tuple[str, str]]:
    float32 = schema().TensorType.FLOAT32
    known = {identifier(subgraph, operator) for subgraph, operator, _ in walk(model)}
    found = []
    for subgraph, operator, name in walk(made):
        is_float = any(subgraph.tensors[i].type == float32 for i in operator.outputs if i >= 0)
        if is_float and name not in _CAST and identifier(subgraph, operator) in known:
            found.append((identifier(subgraph, operator), name))
    return found


def _restore_output_names(made: Any, names: list[str]) -> None:
    """Call the outputs as before: the quantizer leaves their names to the integers inside."""
    main = made.subgraphs[0]
    places = {text(tensor.name): tensor for tensor in main.tensors}
    for index, name in zip(main.outputs, names, strict=True):
        output, holder = main.tensors[index], places.get(name)
        if holder is not None and holder is not output:
            holder.name, output.name = output.name, holder.name
            places = {text(tensor.name): tensor for tensor in main.tensors}


def _places(model: Any) -> list[dict[str, int]]:
    """For each signature, where in the graph's list of outputs each of its outputs stands."""
    return [
        {
            text(entry.name): list(model.subgraphs[signature.subgraphIndex].outputs).index(
                entry.tensorIndex
            )
            for entry in signature.outputs or []
        }
        for signature in model.signatureDefs or []
    ]


def _restore_signatures(made: Any, places: list[dict[str, int]]) -> None:
    """Point signatures at the graph's outputs.

    Where an output is also read inside, the quantizer adds a float copy of it as the output, and
    leaves the signature at the integers.
    """
    for signature, outputs in zip(made.signatureDefs or [], places, strict=True):
        tensors = made.subgraphs[signature.subgraphIndex].outputs
        for entry in signature.outputs or []:
            entry.tensorIndex = tensors[outputs[text(entry.name)]]


def _has_integer_operators(made: Any) -> bool:
    return any(
        subgraph.tensors[index].quantization is not None
        and subgraph.tensors[index].quantization.scale is not None
        for subgraph, operator, name in walk(made)
        if name not in _CAST
        for index in operator.outputs
        if index >= 0
    )


def _nothing(source: Path, precision: Precision) -> str:
    return (
        f"{source.name}: has nothing that {precision} makes smaller; "
        "keep the float32 file, or try float16"
    )


def _weight_bytes(model: Any, subgraph: Any, operator: Any) -> int:
    total = 0
    for index in operator.inputs:
        values = constant(model, subgraph.tensors[index]) if index >= 0 else None
        total += 0 if values is None else values.nbytes
    return total
