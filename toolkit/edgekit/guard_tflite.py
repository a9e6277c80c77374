"""Check a `.tflite` file before native code sees it.

Interpreters trust what they load: an offset out of the file, a convolution whose stride is zero or
an operator that reads what nothing has written ends the process. Everything that was seen to do so
is refused here; what a runtime refuses by itself, in good order, is left to it.
"""

from __future__ import annotations

import struct
from math import prod
from typing import NoReturn

import numpy as np

from edgekit.flatbuffer import FlatBufferError
from edgekit.flatbuffer_check import Values, Walker
from edgekit.guard_tflite_kernels import check_step
from edgekit.guard_tflite_loops import Body, Place, check_loop
from edgekit.guard_tflite_operators import ARITIES
from edgekit.guard_tflite_schema import TABLES, UNIONS
from edgekit.guard_tflite_step import Step, TensorFacts
from edgekit.tflite_schema import DTYPES, operator_name

_IDENTIFIER = b"TFL3"
_CUSTOM = 32
_LONGEST_SHAPE = 8
_MOST_ELEMENTS = (1 << 31) - 1
_MOST_BITS = 8 << 30
_LONGEST_NUMBERS = 16
_BLOCKWISE = 2
_LEAST_WORK = 1 << 20
_SMALLEST_SCALE, _LARGEST_SCALE = 2.0**-126, 2.0**126
"""Smaller ones may count as zero; larger ones become infinite when kernels double them."""
_BITS = {
    "float32": 32, "float16": 16, "int32": 32, "uint8": 8, "int64": 64, "bool": 8, "int16": 16,
    "complex64": 64, "int8": 8, "float64": 64, "complex128": 128, "uint64": 64, "uint32": 32,
    "uint16": 16, "int4": 4, "bfloat16": 16, "int2": 2, "uint4": 4, "float8_e4m3fn": 8,
    "float8_e5m2": 8,
}  # fmt: skip
_ZERO_POINTS = {
    "int8": (-128, 127), "uint8": (0, 255), "int16": (-32768, 32767), 
    "int32": (-(1 << 31), 1 << 31),
    "int4": (-8, 7), "uint4": (0, 15), "int2": (-2, 1), "uint16": (0, 65535),
}  # fmt: skip
_SUBGRAPHS = {"IF": (0, 1), "WHILE": (0, 1), "CALL_ONCE": (0,), "CALL": (0,)}
_SUBGRAPHS_2 = {
    "STABLEHLO_REDUCE": 1, "STABLEHLO_SCATTER": 6, "STABLEHLO_REDUCE_WINDOW": 5,
    "STABLEHLO_SORT": 2, "STABLEHLO_COMPOSITE": 1,
}  # fmt: skip


class Guard:
    """One file under check."""

    def __init__(self, data: memoryview) -> None:
        """Check the FlatBuffer itself.

        Raises:
            FlatBufferError: it is truncated or damaged.
        """
        if len(data) < 16 or data[4:8] != _IDENTIFIER:
            refuse("it has no TFL3 identifier")
        self.data = data
        self.model: Values = Walker(data, TABLES, UNIONS).root("Model")
        self.subgraphs: list[Values] = self.model[2] or []
        self.buffers = [self._buffer(values) for values in self.model[4] or ()]
        self.codes = [self._code(values) for values in self.model[1] or ()]
        self.tensors: list[list[TensorFacts]] = []
        self._bodies: list[Body] = []
        self._while: list[tuple[int, Place, list[int]]] = []

    def check(self) -> None:
        """Check tensors, operators, signatures and what runs what.

        Raises:
            FlatBufferError: something is wrong; the message says what.
        """
        if not self.subgraphs:
            refuse("it holds no graph")
        if not self.buffers:
            refuse("it holds no buffers")
        work = sum(len(subgraph[0] or ()) + len(subgraph[3] or ()) for subgraph in self.subgraphs)
        if work > max(_LEAST_WORK, len(self.data)):
            refuse(f"its graphs share {work} parts")
        known: dict[int, list[TensorFacts]] = {}  # graphs may share their tensors
        for subgraph in self.subgraphs:
            listed: list[Values] = subgraph[0] or []
            if id(listed) not in known:
                known[id(listed)] = [self._tensor(*pair) for pair in enumerate(listed)]
            self.tensors.append(known[id(listed)])
        calls: list[set[int]] = []
        for number in range(len(self.subgraphs)):
            calls.append(self._graph(number))
        _no_recursion(calls)
        self._loops()
        self._interface()

    def integers(self, vector: tuple[int, int] | None) -> list[int]:
        """The numbers of a vector of int32."""
        if vector is None or not vector[1]:
            return []
        at, count = vector
        return self.data[at : at + 4 * count].cast("i").tolist()

    def text(self, vector: tuple[int, int] | None) -> str:
        """A name; runtimes hand them to Python as they are, which takes UTF-8 only."""
        if vector is None:
            return ""
        at, count = vector
        try:
            return str(self.data[at : at + count], "utf-8")
        except UnicodeDecodeError:
            refuse(f"a name of {count} bytes at offset {at} is no text")

    def _buffer(self, values: Values) -> tuple[int, int]:
        content, offset, size = values
        if offset is not None and offset > 1:
            size = size or 0
            if size > len(self.data) or offset > len(self.data) - size:
                refuse(f"a buffer of {size} bytes at {offset} is outside of the file")
            return offset, size
        return content or (0, 0)

    def _code(self, values: Values) -> tuple[str, bool]:
        old, custom, _, new = values
        number = max(old or 0, new or 0)
        if number == _CUSTOM:
            if custom is None:
                refuse("a custom operator without a name")
            return self.text(custom), True
        return operator_name(number), False

    def _tensor(self, index: int, values: Values) -> TensorFacts:
        shape_at, kind, buffer, name, quantization, variable, sparsity, signature = values[:8]
        shape = tuple(self.integers(shape_at))
        dtype = DTYPES.get(kind or 0)
        label = f"tensor {index} ({self.text(name)!r})"
        if dtype is None:
            refuse(f"{label} has the unknown type {kind}")
        if len(shape) > _LONGEST_SHAPE or (shape and min(shape) < 0):
            refuse(f"{label} has shape {shape}")
        elements = prod(shape)
        if elements > _MOST_ELEMENTS:
            refuse(f"{label} has shape {shape}, more than any runtime can hold")
        free: tuple[int, ...] = ()
        if signature is not None and signature[1]:
            sizes = self.integers(signature)
            pairs = zip(sizes, shape, strict=False)
            if len(sizes) != len(shape) or any(size not in {-1, now} for size, now in pairs):
                refuse(f"{label} has shape {shape} and signature {tuple(sizes)}")
            free = tuple(axis for axis, size in enumerate(sizes) if size == -1)
        buffer = buffer or 0
        if buffer >= len(self.buffers):
            refuse(f"{label} wants buffer {buffer} of {len(self.buffers)}")
        at, nbytes = self.buffers[buffer]
        if nbytes and dtype in _BITS and sparsity is None:
            wanted = (elements * _BITS[dtype] + 7) // 8
            if nbytes != wanted:
                refuse(f"{label} should have {wanted} bytes and has {nbytes}")
            if at & 3 and _BITS[dtype] >= 32:
                refuse(f"{label} has its bytes at {at}, which is no place for {dtype}")
        if not elements and len(shape) > 1 and not free:
            refuse(f"{label} has shape {shape}")
        if not nbytes and dtype in _BITS and elements * _BITS[dtype] > _MOST_BITS:
            refuse(f"{label} has shape {shape}, more than a device can hold")
        scales, axis, scale, largest = 0, 0, 0.0, 0.0
        if quantization is not None:
            scales, axis, scale, largest = self._quantization(quantization, shape, dtype, label)
        numbers: tuple[int, ...] | None = None
        if nbytes and dtype in {"int32", "int64"} and elements <= _LONGEST_NUMBERS:
            letter = "i" if dtype == "int32" else "q"
            numbers = struct.unpack_from(f"<{elements}{letter}", self.data, at)
        number: float | None = None
        if nbytes and elements == 1:
            if numbers:
                number = numbers[0]
            elif dtype == "float32":
                number = struct.unpack_from("<f", self.data, at)[0]
        return TensorFacts(
            shape,
            dtype,
            at if nbytes else 0,
            bool(variable),
            free,
            scales,
            axis,
            scale,
            largest,
            numbers,
            number,
        )

    def _quantization(
        self, values: Values, shape: tuple[int, ...], dtype: str, label: str
    ) -> tuple[int, int, float, float]:
        scale, zero_point, axis = values[2], values[3], values[6] or 0
        if values[5] is not None and values[4] == _BLOCKWISE:
            return 1, 0, 0.0, 0.0
        if scale is None or not scale[1]:
            return 0, 0, 0.0, 0.0
        at, count = scale
        if count > 1:
            if not 0 <= axis < len(shape) or shape[axis] != count:
                refuse(f"{label} of shape {shape} has {count} scales along axis {axis}")
            if zero_point is None or zero_point[1] not in {1, count}:
                refuse(f"{label} has {count} scales and other zero points")
        scales = np.frombuffer(self.data, "<f4", count, at)
        largest = float(scales.max())
        if not (scales.min() >= _SMALLEST_SCALE and largest < _LARGEST_SCALE):  # NaN is neither
            refuse(f"{label} has a scale that is no positive number")
        if zero_point is not None and zero_point[1]:
            points = np.frombuffer(self.data, "<i8", zero_point[1], zero_point[0])
            low, high = _ZERO_POINTS.get(dtype, (-(1 << 31), 1 << 31))
            if points.min() < low or points.max() > high:
                refuse(f"{label} has a zero point that {dtype} cannot hold")
        return count, axis, float(scales[0]), largest

    def _graph(self, number: int) -> set[int]:
        """Check the operators of one graph; return the graphs that they run."""
        _, inputs_at, outputs_at, operators = self.subgraphs[number][:4]
        tensors = self.tensors[number]
        inputs, outputs = self.integers(inputs_at), self.integers(outputs_at)
        for index in (*inputs, *outputs):
            if not 0 <= index < len(tensors):
                refuse(f"graph {number} takes or gives tensor {index} of {len(tensors)}")
        if any(tensors[index].at for index in inputs):
            refuse(f"graph {number} takes a tensor that is constant")
        if len(set(inputs)) < len(inputs):
            refuse(f"graph {number} takes a tensor twice")
        known = {
            i
            for i, tensor in enumerate(tensors)
            if tensor.at or tensor.is_variable or 0 in tensor.shape
        }
        fixed = {i for i, tensor in enumerate(tensors) if tensor.at}
        known.update(inputs)
        fixed.update(inputs)
        self._bodies.append(Body(inputs, outputs, tensors, []))
        calls: set[int] = set()
        for place, operator in enumerate(operators or ()):
            self._operator(number, place, operator, known, fixed, calls)
        for index in outputs:
            if index not in known:
                refuse(f"graph {number} gives tensor {index}, which nothing makes")
        return calls

    def _operator(
        self,
        number: int,
        place: int,
        values: Values,
        known: set[int],
        fixed: set[int],
        calls: set[int],
    ) -> None:
        code = values[0] or 0
        if code >= len(self.codes):
            refuse(f"operator {place} is of kind {code} of {len(self.codes)}")
        name, is_custom = self.codes[code]
        label = f"operator {place} ({name})"
        inputs, outputs = self.integers(values[1]), self.integers(values[2])
        count = len(self.tensors[number])
        for index in inputs:
            if index not in known and index != -1:
                what = "nothing has made" if 0 <= index < count else f"is none of {count}"
                refuse(f"{label} takes tensor {index}, which {what}")
        for index in outputs:
            if not 0 <= index < count:
                refuse(f"{label} gives tensor {index} of {count}")
            if index in fixed:
                refuse(f"{label} writes tensor {index}, which is given already")
            fixed.add(index)
            known.add(index)
        for index in self.integers(values[8]):
            if not -1 <= index < count:
                refuse(f"{label} works in tensor {index} of {count}")
        if is_custom:
            return
        arity = ARITIES.get(name)
        if arity is None:
            return
        if not arity.least_inputs <= len(inputs) <= arity.most_inputs:
            refuse(f"{label} takes {len(inputs)} tensors")
        if not arity.least_outputs <= len(outputs) <= arity.most_outputs:
            refuse(f"{label} gives {len(outputs)} tensors")
        if -1 in inputs[: arity.optional_from]:
            refuse(f"{label} lacks an input")
        options = values[3] or 0, values[11] or 0
        given = values[4] is not None, values[12] is not None
        if arity.needs_options and (options != arity.options or not any(given)):
            refuse(f"{label} lacks its options")
        if arity.options[0] and options[0] not in {0, arity.options[0]}:
            refuse(f"{label} has the options of another")
        tensors = self.tensors[number]
        check_step(
            Step(
                name,
                [tensors[index] if index >= 0 else None for index in inputs],
                [tensors[index] for index in outputs],
                values[4] or values[12] or [],
            )
        )
        called_graphs = self._called(name, values)
        if len(self.subgraphs) > 1:
            found = Place(name, inputs, outputs)
            self._bodies[number].places.append(found)
            if name == "WHILE":
                self._while.append((number, found, called_graphs))
        for called in called_graphs:
            if not 0 <= called < len(self.subgraphs):
                refuse(f"{label} runs graph {called} of {len(self.subgraphs)}")
            calls.add(called)

    @staticmethod
    def _called(name: str, values: Values) -> list[int]:
        if name in _SUBGRAPHS and values[4] is not None:
            return [values[4][field] or 0 for field in _SUBGRAPHS[name]]
        if name in _SUBGRAPHS_2 and values[12] is not None:
            return [values[12][_SUBGRAPHS_2[name]] or 0]
        if name == "STABLEHLO_WHILE" and values[12] is not None:
            return [values[12][0] or 0, values[12][1] or 0]
        return []

    def _loops(self) -> None:
        for number, place, (condition, body) in self._while:
            check_loop(place, self._bodies[number], self._bodies[condition], self._bodies[body])

    def _interface(self) -> None:
        for entry in self.model[6] or ():
            if not self.text(entry[0]) or (entry[1] or 0) >= len(self.buffers):
                refuse("its metadata has no name or no content")
        for signature in self.model[7] or ():
            number = signature[4] or 0
            if number >= len(self.subgraphs):
                refuse(f"a signature names graph {number} of {len(self.subgraphs)}")
            if signature[2] is None:
                refuse("a signature without a name")
            self.text(signature[2])
            for side in (0, 1):
                named = {entry[1] or 0 for entry in signature[side] or ()}
                if not named <= set(self.integers(self.subgraphs[number][1 + side])):
                    refuse("a signature names a tensor that its graph does not take or give")
                for entry in signature[side] or ():
                    if entry[0] is None:
                        refuse("a signature's tensor has no name")
                    self.text(entry[0])


def refuse(what: str) -> NoReturn:
    """Refuse a file in which `what` was found.

    Raises:
        FlatBufferError: always.
    """
    raise FlatBufferError(what)


def _no_recursion(calls: list[set[int]]) -> None:
    """Graphs that run one another without end would exhaust the stack."""
    left = {number: set(called) for number, called in enumerate(calls)}
    while left:
        ends = {number for number, called in left.items() if not called & left.keys()}
        if not ends:
            refuse("its graphs run one another without end")
        for number in ends:
            del left[number]


def check_tflite(data: memoryview) -> None:
    """Check a whole `.tflite` file.

    Raises:
        FlatBufferError: a runtime could crash on it; the message says what is wrong.
    """
    Guard(data).check()
