"""Read and write TFLite files as objects that can be edited."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit._lazy import need
from edgekit.errors import ConversionError, SourceError
from edgekit.seal import MANIFEST_KEY

IDENTIFIER = b"TFL3"
ALIGNMENT_BYTES = 16
_SIZE_LIMIT_BYTES = 2**31 - 2**20
_VERSIONS = {"QUANTIZE": 2, "DEQUANTIZE": 3}  # between 8-bit integers; from float16


def schema() -> Any:
    """The generated classes of the TFLite schema."""
    return need("ai_edge_litert.schema_py_generated", extra="litert")


def read_model(path: Path) -> Any:
    """Read a file as a `ModelT`: lists instead of arrays, weights beside the tables resolved.

    Tensors get unique names, because quantizers know tensors by their names; a file without
    signatures gets one named ``serving_default``, with the tensor names as its keys.

    Raises:
        SourceError: the file is not there, or not a TFLite file.
    """
    tools = need("ai_edge_litert.tools.flatbuffer_utils", extra="litert")
    try:
        data = path.read_bytes()
    except OSError as error:
        message = f"{path}: cannot be read ({error.strerror}); check the path"
        raise SourceError(message) from error
    if data[4:8] != IDENTIFIER:
        message = f"{path}: not a TFLite file; give a .tflite file"
        raise SourceError(message)
    try:
        model = tools.read_model_from_bytearray(data)
    except (IndexError, ValueError, TypeError, OverflowError, AttributeError) as error:
        message = f"{path}: damaged or cut off; copy or convert it again"
        raise SourceError(message) from error
    except Exception as error:
        if type(error).__name__ != "error":  # struct.error
            raise
        message = f"{path}: damaged or cut off; copy or convert it again"
        raise SourceError(message) from error
    _fill_lists(model)
    _make_names_unique(model)
    _add_signature(model)
    return model


def write_model(model: Any) -> bytes:
    """The file's bytes; weights lie inside the tables, on multiples of 16 bytes.

    (The quantizer's own writer puts large weights behind the tables, at absolute offsets, which a
    manifest in front of them would move.)

    Raises:
        ConversionError: more than 2 GB.
    """
    flatbuffers = need("flatbuffers", extra="litert")
    fb = schema()

    def pack(buffer: Any, builder: Any) -> Any:
        if buffer.data is None:
            fb.BufferStart(builder)
            return fb.BufferEnd(builder)
        data = as_bytes(buffer)
        builder.StartVector(1, len(data), ALIGNMENT_BYTES)
        builder.head -= len(data)
        builder.Bytes[builder.head : builder.head + len(data)] = data.tobytes()
        vector = builder.EndVector()
        fb.BufferStart(builder)
        fb.BufferAddData(builder, vector)
        return fb.BufferEnd(builder)

    aligned_buffer = type("AlignedBuffer", (fb.BufferT,), {"Pack": pack})
    _drop_unused_tensors(model)
    _drop_unused_buffers(model)
    weights = sum(len(as_bytes(buffer)) for buffer in model.buffers)
    if weights > _SIZE_LIMIT_BYTES:
        message = (
            f"weights: {weights / 2**30:.1f} GiB, and a .tflite file holds 2; "
            "choose a smaller precision"
        )
        raise ConversionError(message)
    original = model.buffers
    try:
        model.buffers = [aligned_buffer(_flat(buffer)) for buffer in original]
        builder = flatbuffers.Builder(weights + weights // 16 + 65536)
        builder.Finish(model.Pack(builder), file_identifier=IDENTIFIER)
    finally:
        model.buffers = original
    return bytes(builder.Output())


def drop_manifest(model: Any) -> None:
    """Remove what edgekit wrote about the file that `model` was read from."""
    model.metadata = [it for it in model.metadata or [] if text(it.name) != MANIFEST_KEY] or None


def _drop_unused_tensors(model: Any) -> None:
    for number, subgraph in enumerate(model.subgraphs):
        entries = [
            entry
            for signature in model.signatureDefs or []
            if signature.subgraphIndex == number
            for entry in [*(signature.inputs or []), *(signature.outputs or [])]
        ]
        used = {int(index) for index in [*subgraph.inputs, *subgraph.outputs]}
        used |= {int(entry.tensorIndex) for entry in entries}
        lists = ("inputs", "outputs", "intermediates")
        for operator in subgraph.operators:
            for name in lists:
                used |= {int(index) for index in _indexes(operator, name)}
        used.discard(-1)
        places = {old: new for new, old in enumerate(sorted(used))} | {-1: -1}
        subgraph.tensors = [subgraph.tensors[old] for old in sorted(used)]
        for operator in subgraph.operators:
            for name in lists:
                if getattr(operator, name) is not None:
                    moved = [places[int(index)] for index in _indexes(operator, name)]
                    setattr(operator, name, moved)
        subgraph.inputs = [places[int(index)] for index in subgraph.inputs]
        subgraph.outputs = [places[int(index)] for index in subgraph.outputs]
        for entry in entries:
            entry.tensorIndex = places[int(entry.tensorIndex)]


def _indexes(operator: Any, name: str) -> list[int]:
    found = getattr(operator, name)
    return [] if found is None else list(found)


def _drop_unused_buffers(model: Any) -> None:
    owners = [tensor for subgraph in model.subgraphs for tensor in subgraph.tensors]
    owners += model.metadata or []
    used = {0} | {int(owner.buffer) for owner in owners}
    places = {old: new for new, old in enumerate(sorted(used))}
    model.buffers = [model.buffers[old] for old in sorted(used)]
    for owner in owners:
        owner.buffer = places[int(owner.buffer)]
    model.metadataBuffer = None  # a deprecated list of the metadata's buffers, by place


def as_bytes(buffer: Any) -> NDArray[np.uint8]:
    """The raw bytes of a buffer; empty when it has none."""
    flat = _flat(buffer)
    return np.empty(0, np.uint8) if flat is None else flat


def _flat(buffer: Any) -> NDArray[np.uint8] | None:
    if buffer.data is None:
        return None
    if isinstance(buffer.data, np.ndarray):
        return np.ascontiguousarray(buffer.data).reshape(-1).view(np.uint8)
    if isinstance(buffer.data, list):
        return np.array(buffer.data, np.uint8)
    return np.frombuffer(buffer.data, np.uint8)


def text(name: Any) -> str:
    """A name of the schema, which may be bytes, text or missing, as text."""
    if name is None:
        return ""
    return name.decode("utf-8", "replace") if isinstance(name, bytes) else str(name)


def operator_name(model: Any, operator: Any) -> str:
    """The schema's name of an operator, such as ``CONV_2D``; a custom one's own name."""
    code = model.operatorCodes[operator.opcodeIndex]
    number = max(code.builtinCode, code.deprecatedBuiltinCode)
    if is_custom(model, operator):
        return text(code.customCode)
    return _names().get(number, f"operator {number}")


def is_custom(model: Any, operator: Any) -> bool:
    """Whether an operator is not one of TFLite's own; Flex operators are not."""
    code = model.operatorCodes[operator.opcodeIndex]
    number = max(code.builtinCode, code.deprecatedBuiltinCode)
    return bool(number == schema().BuiltinOperator.CUSTOM)


def _names() -> dict[int, str]:
    return {
        number: name
        for name, number in vars(schema().BuiltinOperator).items()
        if isinstance(number, int)
    }


def opcode_index(model: Any, name: str, version: int) -> int:
    """Where `name` stands in the model's table of operators; added when it is not there."""
    fb = schema()
    number = getattr(fb.BuiltinOperator, name)
    for index, code in enumerate(model.operatorCodes):
        if max(code.builtinCode, code.deprecatedBuiltinCode) == number:
            code.version = max(code.version, version)
            return index
    code = fb.OperatorCodeT()
    code.builtinCode = number
    code.deprecatedBuiltinCode = min(number, 127)
    code.version = version
    model.operatorCodes.append(code)
    return len(model.operatorCodes) - 1


def walk(model: Any) -> Iterator[tuple[Any, Any, str]]:
    """Every ``(subgraph, operator, operator name)`` in the order of execution."""
    for subgraph in model.subgraphs:
        for operator in subgraph.operators:
            yield subgraph, operator, operator_name(model, operator)


def constant(model: Any, tensor: Any) -> NDArray[np.float32] | None:
    """The values of a constant float32 tensor in its shape; None when it is anything else."""
    if tensor.type != schema().TensorType.FLOAT32 or tensor.buffer == 0:
        return None
    data = as_bytes(model.buffers[tensor.buffer])
    if not len(data):
        return None
    shape = [] if tensor.shape is None else [int(size) for size in tensor.shape]
    return data.view(np.float32).reshape(shape)


def identifier(subgraph: Any, operator: Any) -> str:
    """What an operator is known by: the name of its first output, unique within the file."""
    for index in [*operator.outputs, *operator.inputs]:
        if index >= 0:
            return text(subgraph.tensors[index].name)
    return ""


def new_tensor(
    subgraph: Any, like: Any, name: str, tensor_type: int, quantization: Any = None
) -> int:
    """Add a tensor with the shape of `like` and no content; its index.

    A name that exists already gets a number.
    """
    tensor = schema().TensorT()
    tensor.shape = like.shape
    tensor.shapeSignature = like.shapeSignature
    tensor.hasRank = like.hasRank
    tensor.type = tensor_type
    tensor.buffer = 0
    tensor.quantization = quantization
    taken = {text(other.name) for other in subgraph.tensors}
    tensor.name = _free(name, taken).encode()
    subgraph.tensors.append(tensor)
    return len(subgraph.tensors) - 1


def new_operator(model: Any, name: str, inputs: list[int], outputs: list[int]) -> Any:
    """A QUANTIZE or DEQUANTIZE that is not yet in any subgraph."""
    fb = schema()
    operator = fb.OperatorT()
    operator.opcodeIndex = opcode_index(model, name, _VERSIONS[name])
    operator.inputs = inputs
    operator.outputs = outputs
    options = f"{name.capitalize()}Options"
    operator.builtinOptionsType = getattr(fb.BuiltinOptions, options)
    operator.builtinOptions = getattr(fb, f"{options}T")()
    return operator


def _free(name: str, taken: set[str]) -> str:
    if name not in taken:
        return name
    number = 1
    while f"{name}_{number}" in taken:
        number += 1
    return f"{name}_{number}"


def _fill_lists(model: Any) -> None:
    """Replace lists that are missing, because they are empty, by empty ones."""
    for subgraph in model.subgraphs:
        for name in ("inputs", "outputs", "operators", "tensors"):
            setattr(subgraph, name, getattr(subgraph, name) or [])
        for operator in subgraph.operators:
            operator.inputs = operator.inputs or []
            operator.outputs = operator.outputs or []
        for tensor in subgraph.tensors:
            tensor.shape = [] if tensor.shape is None else tensor.shape


def _make_names_unique(model: Any) -> None:
    taken: set[str] = set()
    for number, subgraph in enumerate(model.subgraphs):
        for index, tensor in enumerate(subgraph.tensors):
            name = text(tensor.name) or f"tensor_{number}_{index}"
            if name in taken or text(tensor.name) != name:
                name = _free(name, taken)
                tensor.name = name.encode()
            taken.add(name)


def _add_signature(model: Any) -> None:
    if model.signatureDefs:
        return
    fb = schema()
    main = model.subgraphs[0]
    signature = fb.SignatureDefT()
    signature.signatureKey = b"serving_default"
    signature.subgraphIndex = 0

    def entries(indexes: list[int]) -> list[Any]:
        found = []
        for index in indexes:
            entry = fb.TensorMapT()
            entry.name = main.tensors[index].name
            entry.tensorIndex = index
            found.append(entry)
        return found

    signature.inputs = entries(list(main.inputs))
    signature.outputs = entries(list(main.outputs))
    model.signatureDefs = [signature]
