"""Integer activations: quantize, and leave in float what has no integer kernel, or a slow one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgekit.errors import ConversionError
from edgekit.recipe import Precision
from edgekit_converters.tflite_calibrate import Calibration
from edgekit_converters.tflite_engine import activation_bits, run_quantizer
from edgekit_converters.tflite_graph import identifier, schema, walk, write_model
from edgekit_converters.tflite_islands import join_islands
from edgekit_converters.tflite_load import try_to_run
from edgekit_converters.tflite_masks import masking_operators
from edgekit_converters.tflite_pace import slow_in_integers
from edgekit_converters.tflite_storage import storable, store

_NEW_IN_16_BITS = {"GELU", "RSQRT", "SUM"}
_CASTS = ("QUANTIZE", "DEQUANTIZE")


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftInFloat:
    """One operator that computes in float although integers were asked for, and why."""

    identifier: str
    operator: str
    reason: str


def with_integer_activations(
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
    if precision == "int16x8":
        refused |= {
            identifier(subgraph, operator): f"tflite-runtime 2.14 has no such 16-bit {name}"
            for subgraph, operator, name in walk(model)
            if name in _NEW_IN_16_BITS
        }
    if fast:
        refused = slow_in_integers(model, keep_float | refused.keys()) | refused
    while True:
        kept = keep_float | wanted | refused.keys()
        made, _ = run_quantizer(model, source, precision, ranges, frozenset(kept))
        store(made, wanted)
        join_islands(made, ranges, keep_float | refused.keys(), bits=activation_bits(precision))
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
        raise ConversionError(nothing_to_do(source, precision))
    return made, left


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
        if is_float and name not in _CASTS and identifier(subgraph, operator) in known:
            found.append((identifier(subgraph, operator), name))
    return found


def _has_integer_operators(made: Any) -> bool:
    return any(
        subgraph.tensors[index].quantization is not None
        and subgraph.tensors[index].quantization.scale is not None
        for subgraph, operator, name in walk(made)
        if name not in _CASTS
        for index in operator.outputs
        if index >= 0
    )


def nothing_to_do(source: Path, precision: Precision) -> str:
    """What to say of a graph that `precision` does not change."""
    return (
        f"{source.name}: has nothing that {precision} makes smaller; "
        "keep the float32 file, or try float16"
    )
