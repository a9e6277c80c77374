"""SavedModel or traced function to float32 ONNX by tf2onnx, with the model's own names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edgekit._lazy import need
from edgekit.errors import ConversionError
from edgekit_converters import onnx_names, onnx_rewrite
from edgekit_converters.tensorflow_setup import tensorflow

OPSET = 17
"""Known to ONNX Runtime since 1.12 (2022), and to onnxruntime-web."""


def to_onnx(concrete: Any, out: Path) -> None:
    """Write the concrete function `concrete` as float32 ONNX to `out`.

    Inputs and outputs are called what the function calls them. Known faults of the exporter are
    repaired here: see `edgekit_converters.onnx_rewrite`.

    Raises:
        ConversionError: an operator has no ONNX form; the message names it.
    """
    tensorflow()
    need("tf2onnx", extra="convert")
    from tf2onnx import convert, tf_loader

    onnx_names.fix_order()
    captured = len(concrete.captured_inputs)  # variables and constants; they are frozen
    inputs = {t.name: _argument(t) for t in concrete.inputs[: len(concrete.inputs) - captured]}
    ordered = [t.name for t in concrete.outputs]
    outputs = dict(zip(ordered, sorted(concrete.structured_outputs), strict=True))
    try:
        graph = tf_loader.from_function(concrete, list(inputs), ordered)
        model, external = convert._convert_common(
            graph,
            name="edgekit",
            opset=OPSET,
            input_names=list(inputs),
            output_names=ordered,
        )
    except Exception as error:  # tf2onnx raises whatever its handlers raise
        raise ConversionError(_reason(str(error))) from error
    if external:
        message = "onnx: the model is larger than 2 GB; use --to tflite"
        raise ConversionError(message)
    model = onnx_rewrite.repair(model, inputs=inputs, outputs=outputs)
    unknown = onnx_rewrite.unsupported_ops(model)
    if unknown:
        message = (
            f"onnx: no ONNX operator for {', '.join(unknown)}; change the layer that uses it, "
            "or use --to tflite"
        )
        raise ConversionError(message)
    out.write_bytes(model.SerializeToString(deterministic=True))


def _argument(tensor: Any) -> str:
    name: str = tensor.op.get_attr("_user_specified_name").decode() if _has_name(tensor) else ""
    return name or tensor.name.partition(":")[0]


def _has_name(tensor: Any) -> bool:
    return "_user_specified_name" in tensor.op.node_def.attr


def _reason(text: str) -> str:
    first = next((line.strip() for line in text.splitlines() if line.strip()), "no reason given")
    return f"onnx: the exporter refuses: {first[:240]}; use --to tflite"
