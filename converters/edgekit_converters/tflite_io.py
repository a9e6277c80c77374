"""Choose what a quantized TFLite graph takes and gives: floats, or the stored integers.

float32   float ─ QUANTIZE ─ … int8 … ─ DEQUANTIZE ─ float
int8                           … int8 …
uint8     uint8 ─ QUANTIZE ─ … int8 … ─ QUANTIZE ─ uint8
"""

from __future__ import annotations

from typing import Any

from edgekit.recipe import IO
from edgekit_converters.tflite_graph import (
    new_operator,
    new_tensor,
    operator_name,
    schema,
    text,
)

_UNSIGNED_SHIFT = 128


def set_io(model: Any, io: IO) -> tuple[str, ...]:
    """Change, in place, what the float inputs and outputs of an int8 graph are.

    An input whose values go through a QUANTIZE takes the integers of that QUANTIZE, an output that
    comes from a DEQUANTIZE gives the integers that go into it. Names, signatures and inputs that
    were integers before (tokens, indices) stay.

    Args:
        model: A `ModelT` with one subgraph, float inputs and outputs, int8 inside.
        io: ``float32`` changes nothing.

    Returns:
        The names of inputs and outputs that stay float32, because no integers go in or come out.
    """
    if io == "float32":
        return ()
    subgraph = model.subgraphs[0]
    float32 = schema().TensorType.FLOAT32
    stay = []
    for index in dict.fromkeys(int(i) for i in subgraph.inputs):
        if subgraph.tensors[index].type == float32 and not _change_input(model, index, io):
            stay.append(text(subgraph.tensors[index].name))
    for index in dict.fromkeys(int(i) for i in subgraph.outputs):
        if subgraph.tensors[index].type == float32 and not _change_output(model, index, io):
            stay.append(text(subgraph.tensors[index].name))
    return tuple(stay)


def _change_input(model: Any, index: int, io: IO) -> bool:
    subgraph = model.subgraphs[0]
    readers = [operator for operator in subgraph.operators if index in list(operator.inputs)]
    quantizers = [
        operator
        for operator in readers
        if operator_name(model, operator) == "QUANTIZE" and _is_int8(subgraph, operator.outputs[0])
    ]
    if not quantizers:
        return False
    stored = int(quantizers[0].outputs[0])
    subgraph.operators.remove(quantizers[0])
    for operator in quantizers[1:]:
        operator.inputs = [stored]  # to another scale, from integers to integers
    first = []
    if len(readers) > len(quantizers) or index in list(subgraph.outputs):
        first.append(new_operator(model, "DEQUANTIZE", [stored], [index]))
    taken = stored
    if io == "uint8":
        taken = _unsigned(subgraph, stored)
        first.insert(0, new_operator(model, "QUANTIZE", [taken], [stored]))
    subgraph.operators = first + subgraph.operators
    subgraph.inputs = [taken if int(i) == index else int(i) for i in subgraph.inputs]
    _point_signatures(model, "inputs", index, taken)
    _swap_names(subgraph, index, taken)
    return True


def _change_output(model: Any, index: int, io: IO) -> bool:
    subgraph = model.subgraphs[0]
    makers = [operator for operator in subgraph.operators if index in list(operator.outputs)]
    if not makers or operator_name(model, makers[0]) != "DEQUANTIZE":
        return False
    stored = int(makers[0].inputs[0])
    if not _is_int8(subgraph, stored):
        return False
    if not any(index in list(operator.inputs) for operator in subgraph.operators):
        subgraph.operators.remove(makers[0])
    given = stored
    if io == "uint8":
        given = _unsigned(subgraph, stored)
        subgraph.operators.append(new_operator(model, "QUANTIZE", [stored], [given]))
    subgraph.outputs = [given if int(i) == index else int(i) for i in subgraph.outputs]
    _point_signatures(model, "outputs", index, given)
    if given not in list(subgraph.inputs):
        _swap_names(subgraph, index, given)
    return True


def _is_int8(subgraph: Any, index: int) -> bool:
    return bool(subgraph.tensors[index].type == schema().TensorType.INT8)


def _unsigned(subgraph: Any, stored: int) -> int:
    """A tensor of the same real values as the int8 tensor `stored`, in uint8."""
    fb = schema()
    tensor = subgraph.tensors[stored]
    quantization = fb.QuantizationParametersT()
    quantization.scale = list(tensor.quantization.scale)
    quantization.zeroPoint = [int(z) + _UNSIGNED_SHIFT for z in tensor.quantization.zeroPoint]
    name = f"{text(tensor.name)}_uint8"
    return new_tensor(subgraph, tensor, name, fb.TensorType.UINT8, quantization)


def _point_signatures(model: Any, side: str, old: int, new: int) -> None:
    for signature in model.signatureDefs or []:
        for entry in getattr(signature, side) or []:
            if signature.subgraphIndex == 0 and entry.tensorIndex == old:
                entry.tensorIndex = new


def _swap_names(subgraph: Any, old: int, new: int) -> None:
    first, second = subgraph.tensors[old], subgraph.tensors[new]
    first.name, second.name = second.name, first.name
