"""Find loops of a TFLite file that never end.

Most loops count: a graph compares a number with a bound, another adds a step to it. Where both
stand in the file, it can be said how often the loop goes round. Of others nothing is said.
"""

from __future__ import annotations

from dataclasses import dataclass

from edgekit.flatbuffer import FlatBufferError
from edgekit.guard_tflite_step import TensorFacts

_MOST_ROUNDS = 1 << 22
_COMPARISONS = {"LESS": (0, 1), "LESS_EQUAL": (0, 1), "GREATER": (1, 0), "GREATER_EQUAL": (1, 0)}
_DEEPEST = 8
_SMALLEST_FACTOR = 1.0001
_SMALLEST_STEP = 1e-30
"""Smaller ones may count as zero."""


@dataclass(frozen=True, slots=True)
class Place:
    """An operator and the numbers of its tensors; -1 is one that is left out."""

    name: str
    inputs: list[int]
    outputs: list[int]


@dataclass(frozen=True, slots=True)
class Body:
    """One graph, as far as loops are concerned."""

    inputs: list[int]
    outputs: list[int]
    tensors: list[TensorFacts]
    places: list[Place]

    def maker(self, tensor: int) -> Place | None:
        """The operator that makes a tensor."""
        return next((place for place in self.places if tensor in place.outputs), None)


def check_loop(place: Place, around: Body, condition: Body, body: Body) -> None:
    """Check one WHILE operator of the graph `around`.

    Raises:
        FlatBufferError: it would go round for ever, or for hours; or the three do not fit.
    """
    count = len(place.inputs)
    counts = {len(place.outputs), len(condition.inputs), len(body.inputs), len(body.outputs)}
    if counts != {count} or len(condition.outputs) != 1:
        message = f"a loop of {count} tensors, whose graphs take and give others"
        raise FlatBufferError(message)
    if _ends(condition.outputs[0], place, around, condition, body, _DEEPEST) is False:
        message = "a loop that does not come to an end"
        raise FlatBufferError(message)


def _ends(
    tensor: int, place: Place, around: Body, condition: Body, body: Body, depth: int
) -> bool | None:
    """Whether a truth value of the condition becomes false in time; None: cannot be said."""
    maker = condition.maker(tensor)
    if maker is None or not depth:
        return None
    if maker.name == "LOGICAL_AND":
        found = [_ends(t, place, around, condition, body, depth - 1) for t in maker.inputs]
        if True in found:
            return True
        return False if found == [False, False] else None
    if maker.name not in _COMPARISONS:
        return None
    low, high = (maker.inputs[side] for side in _COMPARISONS[maker.name])
    bound = condition.tensors[high].number
    if low not in condition.inputs or bound is None:
        return None
    at = condition.inputs.index(low)
    always = body.tensors[body.outputs[at]].number
    if always is not None:
        return always >= bound
    given = place.inputs[at]
    first = around.tensors[given].number if given >= 0 else None
    return _reaches(bound, first, body, at)


def _reaches(bound: float, first: float | None, body: Body, at: int) -> bool | None:
    """Whether the loop's tensor number `at` grows from `first` to `bound` in time."""
    given, made = body.inputs[at], body.outputs[at]
    if given == made:
        return False
    maker = body.maker(made)
    if maker is None or given not in maker.inputs or maker.name not in {"ADD", "MUL", "SUB"}:
        return None
    if maker.name == "SUB" and maker.inputs[0] != given:
        return None
    by = body.tensors[maker.inputs[1 - maker.inputs.index(given)]].number
    if by is None:
        return None
    if maker.name == "MUL":
        return None if first is None else first > 0 and by > _SMALLEST_FACTOR
    step = by if maker.name == "ADD" else -by
    return step > _SMALLEST_STEP and bound - (first or 0) < _MOST_ROUNDS * step
