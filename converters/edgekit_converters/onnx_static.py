"""Integer weights and activations: int8 and int16x8, as QuantizeLinear/DequantizeLinear pairs.

Calibrate once, then quantize as often as needed with other operators left in float.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from edgekit._lazy import need
from edgekit.errors import ConversionError
from edgekit.recipe import IO
from edgekit_converters.learned_ranges import NOTHING, Learned, Matched
from edgekit_converters.onnx_calibrate import Range, learned_tensors, observe
from edgekit_converters.onnx_candidates import LeftInFloat, float_weight_bytes, weights_of
from edgekit_converters.onnx_files import write_compressed
from edgekit_converters.onnx_guard import guard_inner_graphs
from edgekit_converters.onnx_integer_io import integer_inputs_and_outputs
from edgekit_converters.onnx_pairs import insert_pairs
from edgekit_converters.onnx_plan import PRODUCTS, Plan, plan
from edgekit_converters.onnx_prepare import prepare
from edgekit_converters.onnx_stored import store_as_int8

_ACTIVATION = {"int8": np.uint8, "int16x8": np.uint16}
"""Unsigned, since ONNX Runtime multiplies uint8 by int8 faster than int8 by int8."""
_WORTH_TELLING_BYTES = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """A prepared model with the range of each of its tensors; `quantize` can be called often."""

    model: bytes
    ranges: Mapping[str, Range]
    float_bytes: int
    learned: Matched = NOTHING
    """What in `ranges` is not of the samples, but was learned in training."""

    def quantize(
        self,
        out: Path,
        *,
        precision: Literal["int8", "int16x8"] = "int8",
        io: IO = "float32",
        keep_float: frozenset[str] = frozenset(),
    ) -> tuple[LeftInFloat, ...]:
        """Write the quantized model, the operators named in `keep_float` left in float.

        Weights of operators that cannot compute on integers are stored as int8.

        Returns:
            The operators with weights that compute in float, and why.

        Raises:
            ConversionError: nothing in the model can be quantized.
            OutputError: the file cannot be written.
        """
        onnx = need("onnx", extra="convert")
        model = onnx.ModelProto.FromString(self.model)
        chosen = plan(model, self.ranges, keep_float)
        if not any(n.name in chosen.integer and n.op_type in PRODUCTS for n in model.graph.node):
            message = (
                f"{out.name}: no operator of this model computes on integers in ONNX Runtime; "
                "use dynamic (8-bit weights)"
            )
            raise ConversionError(message)
        left = _left(model, chosen, keep_float)
        untouched = weights_of(model, keep_float)
        insert_pairs(model, chosen, activation=_ACTIVATION[precision])
        store_as_int8(model, keep=untouched)
        if io != "float32":
            integer_inputs_and_outputs(model, io, self.ranges)
        guard_inner_graphs(model)
        write_compressed(model, out, self.float_bytes, precision)
        return left


def calibrate(
    source: Path, samples: Mapping[str, NDArray[Any]], *, learned: Learned | None = None
) -> Calibration:
    """Prepare `source` and observe it on `samples`.

    Args:
        source: a float32 ONNX file.
        samples: for each graph input an array of shape (samples, *input shape, batch included).
        learned: ranges that were learned in training, which are taken instead where a tensor has
            one; its fingerprints are of the first of `samples`.

    Raises:
        SourceError: not an ONNX model, or ONNX Runtime cannot load it.
        DataError: the samples do not fit the model.
        ConversionError: the model makes NaN or infinity of them.
    """
    model = prepare(source)
    ranges = observe(model, samples)
    matched = NOTHING if learned is None else learned_tensors(model, samples, learned)
    ranges |= {name: seen for name, seen in matched.ranges.items() if name in ranges}
    outputs = {value.name for value in model.graph.output}
    for node in model.graph.node:
        if node.op_type in ("Softmax", "Sigmoid") and node.output[0] in outputs:
            ranges[node.output[0]] = (0.0, 1.0)
    return Calibration(
        model=model.SerializeToString(deterministic=True),
        ranges=ranges,
        float_bytes=source.stat().st_size,
        learned=matched,
    )


def _left(model: Any, chosen: Plan, keep_float: frozenset[str]) -> tuple[LeftInFloat, ...]:
    sizes = float_weight_bytes(model)
    left = []
    for node in model.graph.node:
        weight_bytes = sum(sizes.get(name, 0) for name in node.input)
        if node.name in chosen.integer:
            continue
        if node.name in keep_float:
            reason = "asked for"
        elif weight_bytes >= _WORTH_TELLING_BYTES:
            reason = "ONNX Runtime computes it in float; its weights are stored as int8"
        else:
            continue
        left.append(LeftInFloat(identifier=node.name, operator=node.op_type, reason=reason))
    return tuple(left)
