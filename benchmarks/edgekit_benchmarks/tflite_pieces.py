"""Cut the graph of a `.tflite` file into pieces of one operator, or a few cheap ones, each.

A piece runs alone once its inputs are given. Operators that only prepare weights (a ``DEQUANTIZE``
of a constant, a ``VAR_HANDLE``) belong to the pieces of those that use them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from edgekit.errors import UsageError
from edgekit.graph import Graph, Operator
from edgekit.multiply_adds import by_operator

MOST_PIECES = 80
_MOST_TENSORS = 150_000
"""Of all pieces: each has the tensors of the whole graph, and a runtime keeps a record of each."""
_MULTIPLY_ADDS_A_NUMBER = 4
"""Moving a number costs about as much as so many multiply-adds."""
_MADE_UP = frozenset({"MULTINOMIAL", "RANDOM_STANDARD_NORMAL", "RANDOM_UNIFORM"})
_NOT_DATA = frozenset({"resource", "variant", "string"})
"""Types that cannot be handed over between pieces."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Some operators of a graph, by their places in it, as a graph of their own."""

    operators: tuple[int, ...]
    inputs: tuple[int, ...] = ()
    """Tensors that must be given, by their places in the graph."""
    outputs: tuple[int, ...] = ()
    """Tensors that others need."""


@dataclass(frozen=True)
class Cut:
    """The first graph of a file, and the pieces it is cut into, in the order they run in."""

    graph: Graph
    operators: tuple[Operator, ...]
    """Of the first graph."""
    pieces: tuple[tuple[int, ...], ...]
    """Places in `operators`; those that only prepare weights are in no piece."""
    multiply_adds: tuple[int | None, ...]
    """Of each operator."""

    @cached_property
    def _made_by(self) -> Mapping[str, int]:
        return _makers(self.operators)

    @cached_property
    def _users(self) -> Mapping[str, frozenset[int]]:
        found: dict[str, set[int]] = {}
        for place, operator in enumerate(self.operators):
            for key in operator.inputs:
                if key is not None:
                    found.setdefault(key, set()).add(place)
        return {key: frozenset(places) for key, places in found.items()}

    def part(self, pieces: Sequence[int], given: frozenset[int], asked: frozenset[int]) -> Part:
        """Neighbouring pieces as one graph.

        Args:
            pieces: their numbers, in order.
            given: inputs of the whole graph.
            asked: outputs of the whole graph.
        """
        own = [place for number in pieces for place in self.pieces[number]]
        inside = frozenset(own)
        ready = {place for piece in self.pieces for place in piece}
        operators: list[int] = []
        for place in own:
            self._add(place, ready, operators)
        made = {key for place in operators for key in self.operators[place].outputs}
        inputs = dict.fromkeys(
            _place(key)
            for place in operators
            for key in self.operators[place].inputs
            if key is not None
            and key not in made
            and (key in self._made_by or _place(key) in given)
        )
        outputs = [
            _place(key)
            for place in own
            for key in self.operators[place].outputs
            if key is not None
            and (_place(key) in asked or key not in self._users or not self._users[key] <= inside)
        ]
        return Part(operators=tuple(operators), inputs=tuple(inputs), outputs=tuple(outputs))

    def _add(self, place: int, ready: set[int], found: list[int]) -> None:
        """An operator, after those that prepare its weights."""
        for key in self.operators[place].inputs:
            maker = self._made_by.get(key or "")
            if maker is not None and maker not in ready and maker not in found:
                self._add(maker, ready, found)
        found.append(place)


def cut(graph: Graph, path: str) -> Cut:
    """Cut the first graph of a file.

    Args:
        graph: as `edgekit.tflite_file.read` gives it.
        path: for messages.

    Raises:
        UsageError: it has no operators.
    """
    counted = by_operator(graph)
    pairs = [
        (operator, adds)
        for operator, adds in zip(graph.operators, counted, strict=True)
        if operator.subgraph == 0
    ]
    operators = tuple(operator for operator, _ in pairs)
    multiply_adds = tuple(adds for _, adds in pairs)
    prepared = _prepared(graph, operators)
    left = [place for place in range(len(operators)) if place not in prepared]
    if not left:
        message = f"{path}: has no operators to time; leave --operators out"
        raise UsageError(message)
    joined = _joined(graph, operators, left)
    tensors = sum(key.startswith("0:") for key in graph.tensors)
    most = max(2, min(MOST_PIECES, _MOST_TENSORS // max(1, tensors)))
    costs = [
        sum(_cost(graph, operators[place], multiply_adds[place]) for place in piece)
        for piece in joined
    ]
    return Cut(graph, operators, _grouped(joined, costs, most), multiply_adds)


def _place(key: str) -> int:
    return int(key.partition(":")[2])


def _makers(operators: Sequence[Operator]) -> dict[str, int]:
    return {
        key: place for place, operator in enumerate(operators) for key in operator.outputs if key
    }


def _prepared(graph: Graph, operators: Sequence[Operator]) -> set[int]:
    """Operators whose results are the same at every inference."""
    made_by = _makers(operators)
    found: set[int] = set()
    for place, operator in enumerate(operators):
        is_fixed = all(
            key is None
            or graph.tensors[key].constant is not None
            or (made_by.get(key) in found and graph.tensors[key].dtype not in _NOT_DATA)
            for key in operator.inputs
        )
        if is_fixed and operator.outputs and not operator.calls and operator.name not in _MADE_UP:
            found.add(place)
    used = {key for operator in operators for key in operator.inputs}
    return {place for place in found if used & set(operators[place].outputs)}


def _joined(
    graph: Graph, operators: Sequence[Operator], left: Sequence[int]
) -> list[tuple[int, ...]]:
    """Pieces of one, but of all between a maker and a user of what cannot be handed over."""
    at = {place: number for number, place in enumerate(left)}
    made_by = _makers(operators)
    last = list(range(len(left)))  # up to where the piece that begins here must reach
    for place in left:
        for key in operators[place].inputs:
            maker = at.get(made_by.get(key or "", -1))
            if maker is not None and graph.tensors[key or ""].dtype in _NOT_DATA:
                last[maker] = max(last[maker], at[place])
    pieces: list[tuple[int, ...]] = []
    begin = 0
    while begin < len(left):
        end = begin
        number = begin
        while number <= end:
            end = max(end, last[number])
            number += 1
        pieces.append(tuple(left[begin : end + 1]))
        begin = end + 1
    return pieces


def _cost(graph: Graph, operator: Operator, multiply_adds: int | None) -> int:
    """A guess, to tell cheap from dear."""
    moved = sum(
        graph.tensors[key].element_count or 1
        for key in (*operator.inputs, *operator.outputs)
        if key is not None and graph.tensors[key].constant is None
    )
    return (multiply_adds or 0) + _MULTIPLY_ADDS_A_NUMBER * moved + 1


def _grouped(
    pieces: Sequence[tuple[int, ...]], costs: Sequence[int], most: int
) -> tuple[tuple[int, ...], ...]:
    """At most so many groups of neighbours, the dearest of which is as cheap as can be."""
    low, high = max(costs) if len(pieces) <= most else min(costs), sum(costs)
    if len(pieces) <= most:
        return tuple(pieces)
    while low < high:
        limit = (low + high) // 2
        if len(_packed(costs, limit)) <= most:
            high = limit
        else:
            low = limit + 1
    return tuple(
        tuple(place for piece in pieces[begin:end] for place in piece)
        for begin, end in _packed(costs, low)
    )


def _packed(costs: Sequence[int], limit: int) -> list[tuple[int, int]]:
    """Neighbours together up to a limit; what is above it stands alone."""
    spans: list[tuple[int, int]] = []
    begin, total = 0, 0
    for place, cost in enumerate(costs):
        if place > begin and total + cost > limit:
            spans.append((begin, place))
            begin, total = place, 0
        total += cost
    return [*spans, (begin, len(costs))]
