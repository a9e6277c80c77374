"""Read the structure of a `.tflite` file without LiteRT, TensorFlow or flatbuffers.

The field numbers are those of ``schema.fbs``. The file is mapped, not loaded: weights are views.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from edgekit.errors import SourceError
from edgekit.flatbuffer import FlatBuffer, FlatBufferError, Table
from edgekit.graph import Attribute, Graph, Operator, Tensor
from edgekit.mapped_file import map_file
from edgekit.tensors import Quantization, TensorSpec
from edgekit.tflite_schema import DTYPES, operator_name

_IDENTIFIER = b"TFL3"
_SMALLEST_BYTES = 16
_LONGEST_SHAPE = 64
_CUSTOM = 32
_DEFAULT_SIGNATURE = "serving_default"
_CALLS = {"CALL": 1, "IF": 2, "WHILE": 2, "CALL_ONCE": 1}
"""Operators whose options begin with this many subgraph numbers."""
_COMPOSITE = "STABLEHLO_COMPOSITE"
_Found = TypeVar("_Found")


def key(subgraph: int, index: int) -> str:
    """How tensor `index` of a subgraph is called in `Graph.tensors`.

    >>> key(0, 12)
    '0:12'
    """
    return f"{subgraph}:{index}"


def read(path: str | os.PathLike[str]) -> Graph:
    """Read the `.tflite` file at `path`.

    Inputs and outputs carry their signature's names where there is one signature, or one called
    ``serving_default``; their tensors' names otherwise.

    Raises:
        SourceError: missing, unreadable, not a TFLite file, truncated or damaged.
    """
    return _read(path, _Reader.graph)


def signatures(path: str | os.PathLike[str]) -> dict[str, int]:
    """The signatures of the `.tflite` file at `path`, and the graph that each of them runs.

    Raises:
        SourceError: missing, unreadable, not a TFLite file, truncated or damaged.
    """
    return _read(path, _Reader.signatures)


def _read(given: str | os.PathLike[str], what: Callable[[_Reader], _Found]) -> _Found:
    path = Path(given)
    data = map_file(path)
    if len(data) < _SMALLEST_BYTES or data[4:8] != _IDENTIFIER:
        message = f"{path}: not a TFLite file (no TFL3 identifier); give a .tflite file"
        raise SourceError(message)
    try:
        return what(_Reader(FlatBuffer(data)))
    except FlatBufferError as error:
        message = (
            f"{path}: the TFLite file is truncated or damaged ({error}); make or copy it again"
        )
        raise SourceError(message) from None


class _Reader:
    """Goes through one file, from the root down."""

    def __init__(self, buffer: FlatBuffer) -> None:
        self._buffer = buffer
        self._model = buffer.root()
        self._buffers = [self._content(table) for table in self._model.tables(4)]
        self._codes = [_operator_code(table) for table in self._model.tables(1)]
        self._subgraphs = self._model.tables(2)
        self._tensors: dict[str, Tensor] = {}
        self._counts: list[int] = []

    def graph(self) -> Graph:
        if not self._subgraphs:
            raise FlatBufferError("it holds no graph")  # noqa: EM101 - one place, one message
        for number, subgraph in enumerate(self._subgraphs):
            tables = subgraph.tables(0)
            self._counts.append(len(tables))
            for index, table in enumerate(tables):
                self._tensors[key(number, index)] = self._tensor(table)
        operators = [
            self._operator(table, number)
            for number, subgraph in enumerate(self._subgraphs)
            for table in subgraph.tables(3)
        ]
        main, inputs, outputs = self._interface()
        return Graph(
            format="tflite",
            inputs=inputs,
            outputs=outputs,
            operators=tuple(operators),
            tensors=self._tensors,
            metadata=self._metadata(),
            versions={"schema": str(self._model.uint32(0))},
            description=self._model.text(3),
            main_subgraph=main,
        )

    def signatures(self) -> dict[str, int]:
        return {table.text(2): table.uint32(4) for table in self._model.tables(7)}

    def _content(self, table: Table) -> memoryview:
        """A weight's bytes; in files over 2 GB they lie behind the FlatBuffer."""
        offset, length = table.uint64(1), table.uint64(2)
        if offset > 1:
            return self._buffer.span(offset, length)
        return table.content(0)

    def _bytes(self, number: int) -> memoryview:
        if number >= len(self._buffers):
            message = f"buffer {number} of {len(self._buffers)} is asked for"
            raise FlatBufferError(message)
        return self._buffers[number]

    def _tensor(self, table: Table) -> Tensor:
        content = self._bytes(table.uint32(2))
        number = table.int8(1)
        return Tensor(
            name=table.text(3),
            shape=_shape(table),
            dtype=DTYPES.get(number, f"type{number}"),
            quantization=_quantization(table.table(4)),
            constant=content if len(content) else None,
            is_sparse=table.table(6) is not None,
        )

    def _keys(self, subgraph: int, indices: tuple[int, ...]) -> tuple[str | None, ...]:
        """Keys of tensors; -1 stands for an optional one that is left out."""
        for index in indices:
            if index < -1 or index >= self._counts[subgraph]:
                message = f"tensor {index} of {self._counts[subgraph]} is asked for"
                raise FlatBufferError(message)
        return tuple(None if index == -1 else key(subgraph, index) for index in indices)

    def _operator(self, table: Table, subgraph: int) -> Operator:
        code = table.uint32(0)
        if code >= len(self._codes):
            message = f"operator code {code} of {len(self._codes)} is asked for"
            raise FlatBufferError(message)
        name, version, is_custom = self._codes[code]
        calls = () if is_custom else self._called(name, table)
        return Operator(
            name=name,
            version=version,
            inputs=self._keys(subgraph, table.integers(1)),
            outputs=self._keys(subgraph, table.integers(2)),
            is_custom=is_custom,
            attributes={} if is_custom else _attributes(name, table.table(4)),
            subgraph=subgraph,
            calls=calls,
            is_loop=name == "WHILE" and not is_custom,
        )

    def _called(self, name: str, table: Table) -> tuple[int, ...]:
        options = table.table(12 if name == _COMPOSITE else 4)
        fields = (1,) if name == _COMPOSITE else range(_CALLS.get(name, 0))
        called = tuple(options.int32(index) for index in fields) if options else ()
        if any(not 0 <= number < len(self._subgraphs) for number in called):
            message = f"{name} runs graph {max(called)} of {len(self._subgraphs)}"
            raise FlatBufferError(message)
        return called

    def _interface(self) -> tuple[int, tuple[TensorSpec, ...], tuple[TensorSpec, ...]]:
        """The graph where inference begins, what it takes and what it gives."""
        signatures = self._model.tables(7)
        keys = [signature.text(2) for signature in signatures]
        if len(signatures) == 1 or _DEFAULT_SIGNATURE in keys:
            at = keys.index(_DEFAULT_SIGNATURE) if _DEFAULT_SIGNATURE in keys else 0
            signature, main = signatures[at], signatures[at].uint32(4)
            if main >= len(self._subgraphs):
                message = f"the signature {keys[at]!r} names graph {main}"
                raise FlatBufferError(message)
            return main, self._named(signature, 0, main), self._named(signature, 1, main)
        first = self._subgraphs[0]
        found = [self._keys(0, first.integers(index)) for index in (1, 2)]
        specs = [tuple(_spec(self._tensors[k], None) for k in keys if k) for keys in found]
        return 0, specs[0], specs[1]

    def _named(self, signature: Table, index: int, subgraph: int) -> tuple[TensorSpec, ...]:
        """A signature's tensors under its names, in the order the graph has them."""
        order = self._subgraphs[subgraph].integers(1 + index)
        named: list[tuple[int, TensorSpec]] = []
        for entry in signature.tables(index):
            tensor = entry.uint32(1)
            found = self._keys(subgraph, (tensor,))[0]
            place = order.index(tensor) if tensor in order else len(order)
            named.append((place, _spec(self._tensors[found or ""], entry.text(0))))
        return tuple(spec for _, spec in sorted(named, key=lambda item: item[0]))

    def _metadata(self) -> dict[str, bytes]:
        found: dict[str, bytes] = {}
        total = 0
        for table in self._model.tables(6):
            content = self._bytes(table.uint32(1))
            total += len(content)
            if total > self._buffer.size:
                message = "its metadata is larger than itself"
                raise FlatBufferError(message)
            found[table.text(0)] = bytes(content)
        return found


def _operator_code(table: Table) -> tuple[str, int, bool]:
    """Name, version, and whether it is custom; old files have the number in a byte only."""
    number = max(table.int8(0), table.int32(3))
    if number == _CUSTOM:
        return table.text(1) or "CUSTOM", table.int32(2, 1), True
    return operator_name(number), table.int32(2, 1), False


def _shape(table: Table) -> tuple[int | None, ...] | None:
    """The shape; a dimension that the signature leaves free is None."""
    sizes, free = table.integers(0), table.integers(7)
    if len(sizes) > _LONGEST_SHAPE or len(free) > _LONGEST_SHAPE:
        message = f"a tensor of {max(len(sizes), len(free))} dimensions"
        raise FlatBufferError(message)
    if any(size < -1 for size in sizes):
        message = f"a tensor of shape {sizes}"
        raise FlatBufferError(message)
    signature = free if len(free) == len(sizes) else sizes
    return tuple(None if -1 in pair else pair[0] for pair in zip(sizes, signature, strict=True))


def _quantization(table: Table | None) -> Quantization | None:
    if table is None:
        return None
    scale, zero_point = table.floats(2), table.integers(3, "q")
    if not scale:
        return None
    if len(zero_point) != len(scale):
        zero_point = (zero_point[0] if len(zero_point) == 1 else 0,) * len(scale)
    axis = table.int32(6) if len(scale) > 1 else None
    return Quantization(scale=scale, zero_point=zero_point, axis=axis)


def _attributes(name: str, options: Table | None) -> dict[str, Attribute]:
    """Only what counting multiplications needs, and following the shapes for it."""
    if name == "BATCH_MATMUL" and options:
        return {"adjoint_x": options.uint8(0), "adjoint_y": options.uint8(1)}
    if name == "STRIDED_SLICE" and options:
        return {"begin_mask": options.int32(0), "end_mask": options.int32(1)}
    return {}


def _spec(tensor: Tensor, name: str | None) -> TensorSpec:
    return TensorSpec(
        name=tensor.name if name is None else name,
        shape=tensor.shape if tensor.shape is not None else (),
        dtype=tensor.dtype,
        quantization=tensor.quantization,
    )
