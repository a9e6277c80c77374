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
from edgekit_converters.onnx_calibrate import Range, observe
from edgekit_converters.onnx_candidates import Candidate, LeftInFloat, candidates, weights_of
from edgekit_converters.onnx_integer_io import integer_inputs_and_outputs
from edgekit_converters.onnx_prepare import add_operator_set, prepare, tidy, write
from edgekit_converters.onnx_stored import store_as_int8

OP_TYPES = frozenset(
    {
        "Add",
        "AveragePool",
        "Clip",
        "Concat",
        "Conv",
        "ConvTranspose",
        "Flatten",
        "Gather",
        "Gemm",
        "GlobalAveragePool",
        "LeakyRelu",
        "MatMul",
        "MaxPool",
        "Mul",
        "Pad",
        "Relu",
        "Reshape",
        "Resize",
        "Sigmoid",
        "Slice",
        "Softmax",
        "Split",
        "Squeeze",
        "Transpose",
        "Unsqueeze",
        "Where",
    }
)
"""Operators that ONNX Runtime can compute on integers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """A prepared model with the range of each of its tensors; `quantize` can be called often."""

    model: bytes
    ranges: Mapping[str, Range]
    operators: tuple[Candidate, ...]
    float_bytes: int

    def quantize(
        self,
        out: Path,
        *,
        precision: Literal["int8", "int16x8"] = "int8",
        io: IO = "float32",
        keep_float: frozenset[str] = frozenset(),
    ) -> tuple[LeftInFloat, ...]:
        """Write the quantized model, the operators named in `keep_float` left in float.

        Raises:
            ConversionError: nothing in the model can be quantized, or the file is not smaller.
        """
        onnx = need("onnx", extra="convert")
        model = onnx.ModelProto.FromString(self.model)
        if precision == "int16x8":
            add_operator_set(model, "com.microsoft", 1)
        untouched = weights_of(model, keep_float)
        quantized = _with_pairs(model, self.ranges, precision, keep_float)
        store_as_int8(quantized, keep=untouched)
        if io != "float32":
            integer_inputs_and_outputs(quantized, io)
        tidy(quantized)
        write(quantized, out)
        if out.stat().st_size >= self.float_bytes:
            out.unlink()
            message = (
                f"{out.name}: {precision} makes this ONNX model no smaller than float32 "
                f"({self.float_bytes} bytes); keep float32"
            )
            raise ConversionError(message)
        return ()


def calibrate(source: Path, samples: Mapping[str, NDArray[Any]]) -> Calibration:
    """Prepare `source` and observe it on `samples`.

    Raises:
        SourceError: not an ONNX model, or ONNX Runtime cannot load it.
        DataError: the samples do not fit the model.
        ConversionError: the model makes NaN or infinity of them.
    """
    model = prepare(source)
    return Calibration(
        model=model.SerializeToString(deterministic=True),
        ranges=observe(model, samples),
        operators=candidates(model, OP_TYPES),
        float_bytes=source.stat().st_size,
    )


def _with_pairs(
    model: Any, ranges: Mapping[str, Range], precision: str, keep_float: frozenset[str]
) -> Any:
    quantization = need("onnxruntime.quantization", extra="convert")
    from onnxruntime.quantization.calibrate import TensorData
    from onnxruntime.quantization.qdq_quantizer import QDQQuantizer
    from onnxruntime.quantization.quant_utils import add_infer_metadata

    add_infer_metadata(model)
    kind = quantization.QuantType
    quantizer = QDQQuantizer(
        model,
        True,
        False,
        kind.QInt8,
        kind.QUInt16 if precision == "int16x8" else kind.QUInt8,
        {
            name: TensorData(lowest=np.float32(low), highest=np.float32(high))
            for name, (low, high) in ranges.items()
        },
        [],
        sorted(keep_float),
        sorted(OP_TYPES),
        {},
    )
    quantizer.quantize_model()
    result = quantizer.model.model
    del result.metadata_props[:]
    return result
