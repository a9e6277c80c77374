"""SavedModel to TFLite by TensorFlow's converter: the float file, and the fallback for int8."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.errors import ConversionError
from edgekit.recipe import Precision
from edgekit_converters.tensorflow_setup import tensorflow


def to_tflite(saved: Path, out: Path, *, allow_flex: bool = False) -> None:
    """Convert the SavedModel folder `saved` to a float32 TFLite file.

    Select-TF ("Flex") operators appear only with `allow_flex`: no runtime that edgekit knows on
    phones and boards runs them out of the box.

    Raises:
        ConversionError: an operator has no TFLite form; the message names it.
    """
    out.write_bytes(_convert(_converter(saved, allow_flex=allow_flex), out))


def to_quantized_tflite(
    saved: Path, out: Path, precision: Precision, samples: dict[str, NDArray[Any]]
) -> None:
    """The fallback: int8 or int16x8 by TensorFlow's converter, float inputs and outputs.

    `samples` holds one array per input, shape (n, *input shape). They are handed over as dicts by
    input name: the converter matches lists in an order of its own.

    Raises:
        ConversionError: the converter refuses.
    """
    tf = tensorflow()
    converter = _converter(saved, allow_flex=False)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    count = len(next(iter(samples.values())))

    def representative() -> Iterator[dict[str, NDArray[Any]]]:
        for i in range(count):
            yield {name: np.asarray(array[i]) for name, array in samples.items()}

    converter.representative_dataset = representative
    builtins = tf.lite.OpsSet
    converter.target_spec.supported_ops = [
        builtins.TFLITE_BUILTINS_INT8
        if precision == "int8"
        else builtins.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8
    ]
    out.write_bytes(_convert(converter, out))


def _converter(saved: Path, *, allow_flex: bool) -> Any:
    tf = tensorflow()
    converter = tf.lite.TFLiteConverter.from_saved_model(
        str(saved), signature_keys=["serving_default"]
    )
    builtins = tf.lite.OpsSet
    converter.target_spec.supported_ops = [builtins.TFLITE_BUILTINS]
    if allow_flex:
        converter.target_spec.supported_ops.append(builtins.SELECT_TF_OPS)
    return converter


def _convert(converter: Any, out: Path) -> bytes:
    try:
        content: bytes = converter.convert()
    except Exception as error:  # the converter raises ConverterError, ValueError, RuntimeError, …
        raise ConversionError(_reason(str(error))) from error
    if len(content) < 8 or content[4:8] != b"TFL3":
        message = f"{out.name}: the converter wrote no TFLite model; report the model"
        raise ConversionError(message)
    return content


def _reason(text: str) -> str:
    flex = sorted(set(re.findall(r"\btf\.([A-Z]\w+)\(", text)))
    listed = re.search(r"Flex ops: ([\w, ]+)", text)
    if listed:
        flex = sorted({name.removeprefix("Flex") for name in listed[1].split(", ") if name})
    if "TensorListReserve" in text or "TensorList" in ",".join(flex):
        return (
            "tflite: a recurrent layer with a free batch has no builtin form; use a fixed batch "
            "(--batch 1; a SavedModel must be exported with one, or give the .keras file)"
        )
    if flex:
        return (
            f"tflite: no builtin operator for {', '.join(flex)}; change the layer that uses it, "
            "or add --allow-flex (the file then runs only with the Flex delegate)"
        )
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    told = [line for line in lines if "error:" in line] or lines or ["no reason given"]
    return f"tflite: the converter refuses: {told[0][:240]}; try another precision"
