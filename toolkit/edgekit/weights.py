"""How many numbers a model's weights hold, of which types, and how many of them are zero."""

from __future__ import annotations

from array import array
from collections import Counter
from dataclasses import dataclass

from edgekit.graph import Graph, Operator, Tensor
from edgekit.mapped_file import release
from edgekit.tensors import Quantization

_CHUNK_BYTES = 1 << 16
_RELEASE_BYTES = 8 << 20
_ALWAYS = frozenset({"float32", "float16", "float64", "bfloat16", "int8", "uint8", "int16"})
_PACKED = {"int4": 2, "uint4": 2, "int2": 4, "uint2": 4}
"""Types of which a byte holds several."""
_LETTERS = {"float32": "f", "float64": "d", "float16": "H", "bfloat16": "H"} | {
    "int32": "i",
    "int16": "h",
    "int64": "q",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightFacts:
    """Numbers that were trained: kernels, biases, embeddings, statistics.

    Shapes, axes, scales and zero points are constants in a file too, and are not counted.
    """

    parameters: int
    bytes: int
    """As stored in the file."""
    zeros: int | None
    """How many stand for zero; None when a type's encoding was not read."""
    by_dtype: dict[str, int]
    """Parameters of each stored type."""
    per_channel: frozenset[str]
    """Types of which some weights have a scale for each channel."""

    @property
    def sparsity(self) -> float | None:
        """The share of zeros, 0 to 1; None when unknown or when there are no weights."""
        return self.zeros / self.parameters if self.zeros is not None and self.parameters else None


def weigh(graph: Graph) -> WeightFacts:
    """Count the weights of `graph`, each stored one once, however often it is used."""
    aside, integers = _other_constants(graph)
    unpacked = _unpacked(graph)
    seen: set[int] = set()
    count: Counter[str] = Counter()
    stored_bytes, zeros, complete, looked_at = 0, 0, True, 0
    per_channel: set[str] = set()
    for key, declared in graph.tensors.items():
        tensor = unpacked.get(key, declared)
        stored, elements = tensor.constant, tensor.element_count
        if stored is None or not elements or not tensor.shape or key in aside:
            continue
        is_weight = (
            tensor.dtype in _ALWAYS
            or tensor.dtype in _PACKED
            or tensor.dtype.startswith("float")
            or tensor.quantization is not None
            or key in integers
        )
        if not is_weight or id(stored) in seen:
            continue
        seen.add(id(stored))
        count[tensor.dtype] += elements
        stored_bytes += len(stored)
        if tensor.quantization and len(tensor.quantization.scale) > 1:
            per_channel.add(tensor.dtype)
        found = count_zeros(tensor)
        looked_at += len(stored)
        if looked_at > _RELEASE_BYTES:
            release(stored)
            looked_at = 0
        complete = complete and found is not None
        zeros += found or 0
    per_channel |= _onnx_per_channel(graph)
    return WeightFacts(
        parameters=sum(count.values()),
        bytes=stored_bytes,
        zeros=zeros if complete else None,
        by_dtype=dict(count.most_common()),
        per_channel=frozenset(per_channel & set(count)),
    )


def _other_constants(graph: Graph) -> tuple[set[str], set[str]]:
    """ONNX: constants that are no weights (scales, zero points), and integers that are."""
    aside: set[str] = set()
    weights: set[str] = set()
    if graph.format != "onnx":
        return aside, weights
    made_by = {key: operator for operator in graph.operators for key in operator.outputs if key}
    for operator in graph.operators:
        inputs = operator.inputs
        if operator.name in {"QuantizeLinear", "DequantizeLinear"}:
            aside.update(key for key in inputs[1:] if key)
            weights.update(key for key in inputs[:1] if key)
        elif operator.name in {"QLinearConv", "QLinearMatMul"}:
            aside.update(key for key in inputs[1:3] + inputs[4:8] if key)
            weights.update(key for key in inputs[8:9] if key)
        elif operator.name == "MatMulNBits":
            for key in inputs[2:4]:
                aside |= _upstream(key, made_by)
        elif operator.name == "Mul" and any(_is_cast(graph, key, made_by) for key in inputs):
            aside.update(key for key in inputs if key and key not in made_by)  # scales
    return aside, weights


def _unpacked(graph: Graph) -> dict[str, Tensor]:
    """ONNX: matrices of few bits a number, which are declared as blocks of bytes, as they are.

    Without zero points, the middle of the range stands for zero.
    """
    found: dict[str, Tensor] = {}
    for operator in graph.operators:
        if operator.name != "MatMulNBits" or len(operator.inputs) < 3:
            continue
        bits, rows, columns = (operator.attributes.get(name) for name in ("bits", "N", "K"))
        key = operator.inputs[1]
        stored = graph.tensors[key].constant if key else None
        if key is None or stored is None or not isinstance(bits, int) or bits not in {2, 4}:
            continue
        if not isinstance(rows, int) or not isinstance(columns, int) or rows < 1 or columns < 1:
            continue
        has_zero_points = len(operator.inputs) > 3 and operator.inputs[3] is not None
        middle = 1 << (bits - 1)
        found[key] = Tensor(
            name=key,
            shape=(rows, columns),
            dtype=f"uint{bits}",
            # Which zero point is whose is not followed: two that differ mean unknown.
            quantization=Quantization(
                scale=(1.0,), zero_point=(0, middle) if has_zero_points else (middle,)
            ),
            constant=stored,
        )
    return found


def _is_cast(graph: Graph, key: str | None, made_by: dict[str, Operator]) -> bool:
    """Whether `key` is a stored integer weight, made float."""
    maker = made_by.get(key or "")
    if maker is None or maker.name != "Cast" or not maker.inputs:
        return False
    stored = graph.tensors.get(maker.inputs[0] or "")
    return stored is not None and stored.constant is not None and stored.dtype in {"int8", "uint8"}


def _upstream(key: str | None, made_by: dict[str, Operator]) -> set[str]:
    """`key`, and what it is computed from."""
    found: set[str] = set()
    pending = [key]
    while pending:
        here = pending.pop()
        if here and here not in found:
            found.add(here)
            if here in made_by:
                pending.extend(made_by[here].inputs)
    return found


def _onnx_per_channel(graph: Graph) -> set[str]:
    """Types of constants that are dequantized with more than one scale."""
    found: set[str] = set()
    if graph.format == "onnx":
        for operator in graph.operators:
            if operator.name == "DequantizeLinear" and len(operator.inputs) > 1:
                stored, scale = (graph.tensors.get(key or "") for key in operator.inputs[:2])
                if (
                    stored
                    and stored.constant is not None
                    and scale
                    and scale.shape not in ((), (1,))
                ):
                    found.add(stored.dtype)
    return found


def count_zeros(tensor: Tensor) -> int | None:
    """How many of a weight's numbers stand for zero: the stored value is the zero point.

    None where the encoding is not read (a type NumPy lacks, or zero points that differ).
    """
    stored, elements = tensor.constant, tensor.element_count
    if stored is None or elements is None:
        return None
    if tensor.is_sparse:  # what is stored is what is not zero, padding of blocks aside
        width = {"float32": 4, "float16": 2, "int8": 1}.get(tensor.dtype)
        return max(0, elements - len(stored) // width) if width else None
    zero = 0
    if tensor.quantization is not None:
        different = set(tensor.quantization.zero_point)
        if len(different) > 1:
            return None
        zero = next(iter(different), 0)
    if tensor.dtype in {"int8", "uint8", "bool"}:
        wanted = bytes([zero & 0xFF])
        return sum(bytes(part).count(wanted) for part in _chunks(stored))
    if tensor.dtype in _PACKED:
        found = _count_packed(stored, 8 // _PACKED[tensor.dtype], zero)
        return min(found, elements)  # the last byte may be half empty
    letter = _LETTERS.get(tensor.dtype)
    if letter is None:
        return None
    numbers: array[float] = array(letter)
    width = numbers.itemsize
    patterns = [zero.to_bytes(width, "little", signed=True)]
    if tensor.dtype not in {"int32", "int16", "int64"}:
        patterns.append(bytes(width - 1) + b"\x80")  # minus zero
    total = 0
    for part in map(bytes, _chunks(stored)):
        if any(pattern in part for pattern in patterns):  # most have none: searching is faster
            numbers = array(letter)
            numbers.frombytes(part[: len(part) - len(part) % width])
            total += numbers.count(zero)
            if letter == "H":
                total += numbers.count(0x8000)  # minus zero, as bits
    return total


def _count_packed(stored: memoryview, bits: int, zero: int) -> int:
    """Zeros among numbers of 2 or 4 bits, several to a byte."""
    low = (1 << bits) - 1
    weights = {
        byte: sum((byte >> shift) & low == zero & low for shift in range(0, 8, bits))
        for byte in range(256)
    }
    wanted = [(bytes([byte]), times) for byte, times in weights.items() if times]
    return sum(
        part.count(byte) * times for part in map(bytes, _chunks(stored)) for byte, times in wanted
    )


def _chunks(stored: memoryview) -> list[memoryview]:
    return [stored[at : at + _CHUNK_BYTES] for at in range(0, len(stored), _CHUNK_BYTES)]
