"""Add graphs to a `.tflite` file that run some of its operators, without its being written anew.

A FlatBuffer's references lead forward. So what is new goes in front: a root, a list of graphs, and
the added graphs, which refer to the operators, tensors and weights of the file behind it, as they
are stored there. Nothing of the file is interpreted or copied but that, hence nothing is lost.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edgekit.errors import SourceError, UsageError
from edgekit.flatbuffer import FlatBuffer, FlatBufferError, Table
from edgekit.mapped_file import map_file
from edgekit_benchmarks.tflite_pieces import Part

_ALIGNMENT = 64
_VERSION, _SUBGRAPHS, _BUFFERS = 0, 2, 4
_MODEL_FIELDS = 10
"""As many as the schema has by now."""
_TENSORS, _INPUTS, _OUTPUTS, _OPERATORS = 0, 1, 2, 3
_SHAPE = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Interface:
    """What the first graph of a file takes and gives, as places of tensors."""

    inputs: frozenset[int]
    outputs: frozenset[int]


class TFLiteFile:
    """A `.tflite` file to add graphs to."""

    def __init__(self, path: Path) -> None:
        """Find what will be referred to.

        Raises:
            SourceError: the file cannot be read, or is damaged.
            UsageError: it is over 2 GB, with weights behind the FlatBuffer.
        """
        self._path = path
        self._data = map_file(path)
        try:
            self._read()
        except (FlatBufferError, IndexError) as error:
            message = f"{path}: the TFLite file is damaged ({error}); make or copy it again"
            raise SourceError(message) from None

    def _read(self) -> None:
        self._model = FlatBuffer(self._data).root()
        self._subgraphs = self._model.tables(_SUBGRAPHS)
        graph = self._subgraphs[0]
        self._tensors = [table.position for table in graph.tables(_TENSORS)]
        self._operators = [table.position for table in graph.tables(_OPERATORS)]
        self.interface = Interface(
            inputs=frozenset(graph.integers(_INPUTS)),
            outputs=frozenset(graph.integers(_OUTPUTS)),
        )
        self._used = [_used(table) for table in graph.tables(_OPERATORS)]
        if any(table.uint64(1) > 1 for table in self._model.tables(_BUFFERS)):
            message = (
                f"{self._path}: keeps its weights behind the model, as files over 2 GB do; "
                "leave --operators out"
            )
            raise UsageError(message)

    @property
    def graph_count(self) -> int:
        """How many graphs it has: the number of the first that is added."""
        return len(self._subgraphs)

    def head(self, parts: Sequence[Part]) -> bytes:
        """What, put in front of the file, makes it one with a graph more for each part."""
        head = _Head()
        old = [*(table.position for table in self._subgraphs)]
        references = {
            field: at
            for field in range(_MODEL_FIELDS)
            if field not in {_VERSION, _SUBGRAPHS}
            and (at := self._model.reference(field)) is not None
        }
        head.model(self._model.uint32(_VERSION), references)
        head.lists_graphs(old, len(parts))
        for part in parts:
            used = {place for operator in part.operators for place in self._used[operator]}
            used |= {*part.inputs, *part.outputs}
            head.graph(
                part,
                [self._operators[place] for place in part.operators],
                {place: self._tensors[place] for place in used},
            )
        return head.finished()


def _used(operator: Table) -> frozenset[int]:
    """Tensors of an operator: inputs, outputs, intermediates; -1 stands for none."""
    return frozenset(operator.integers(1) + operator.integers(2) + operator.integers(8)) - {-1}


class _Head:
    """What goes in front of the file: tables are written before what they refer to."""

    def __init__(self) -> None:
        self._bytes = bytearray(b"\0\0\0\0TFL3")
        self._old: list[tuple[int, int]] = []
        """Where a reference stands, and where in the file behind it leads to."""
        self._pending: list[int] = []
        """Where references to the added graphs stand."""

    def model(self, version: int, references: dict[int, int]) -> None:
        """The root; its list of graphs follows."""
        fields = [_VERSION, _SUBGRAPHS, *references]
        at = self._table(fields)
        struct.pack_into("<I", self._bytes, 0, at)
        struct.pack_into("<I", self._bytes, at + 4, version)
        for number, target in enumerate(references.values()):
            self._old.append((at + 12 + 4 * number, target))
        self._refer(at + 8)

    def lists_graphs(self, old: Sequence[int], added: int) -> None:
        """The list, which the root was told to find here."""
        at = self._vector(len(old) + added)
        for number, target in enumerate(old):
            self._old.append((at + 4 * number, target))
        self._pending = [at + 4 * (len(old) + number) for number in range(added)]

    def graph(self, part: Part, operators: Sequence[int], tensors: dict[int, int]) -> None:
        """The next added graph.

        Args:
            part: its inputs and outputs.
            operators: where they are in the file.
            tensors: those it uses, by their places in the graph: where they are in the file.
        """
        self._pad(4)
        slot = self._pending.pop(0)
        at = self._table([_TENSORS, _INPUTS, _OUTPUTS, _OPERATORS])
        struct.pack_into("<I", self._bytes, slot, at - slot)
        self._refer(at + 8)
        self._integers(part.inputs)
        self._refer(at + 12)
        self._integers(part.outputs)
        self._refer(at + 16)
        listed = self._vector(len(operators))
        self._old += [(listed + 4 * n, target) for n, target in enumerate(operators)]
        self._refer(at + 4)
        listed = self._vector(max(tensors, default=-1) + 1)
        places = range(max(tensors, default=-1) + 1)
        self._old += [(listed + 4 * n, tensors[n]) for n in places if n in tensors]
        absent = [listed + 4 * n for n in places if n not in tensors]
        if absent:
            stand_in = self._tensor()
            for place in absent:
                struct.pack_into("<I", self._bytes, place, stand_in - place)

    def finished(self) -> bytes:
        """All of it, up to where the file begins."""
        self._pad(_ALIGNMENT)
        shift = len(self._bytes)
        for at, target in self._old:
            struct.pack_into("<I", self._bytes, at, shift + target - at)
        return bytes(self._bytes)

    def _tensor(self) -> int:
        """A tensor that nothing uses, of one number: it keeps the places of those that are used."""
        at = self._table([_SHAPE])
        self._refer(at + 4)
        self._integers((1,))
        return at

    def _table(self, fields: Sequence[int]) -> int:
        """A table with room for these fields of 4 bytes, in that order."""
        slots = [0] * (max(fields) + 1)
        for number, field in enumerate(fields):
            slots[field] = 4 + 4 * number
        vtable = struct.pack(f"<{2 + len(slots)}H", 4 + 2 * len(slots), 4 + 4 * len(fields), *slots)
        self._pad(4)
        begin = len(self._bytes)
        self._bytes += vtable
        self._pad(4)
        at = len(self._bytes)
        self._bytes += struct.pack("<i", at - begin) + bytes(4 * len(fields))
        return at

    def _vector(self, count: int) -> int:
        """Room for so many references; returns where the first is."""
        self._bytes += struct.pack("<I", count) + bytes(4 * count)
        return len(self._bytes) - 4 * count

    def _integers(self, values: Sequence[int]) -> None:
        self._bytes += struct.pack(f"<I{len(values)}i", len(values), *values)

    def _refer(self, at: int) -> None:
        """Let the reference there lead to what is written next."""
        struct.pack_into("<I", self._bytes, at, len(self._bytes) - at)

    def _pad(self, size: int) -> None:
        self._bytes += bytes(-len(self._bytes) % size)
