"""One call of a layer while a model is traced: what a layer's rule sees and reports."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

import numpy as np

from edgekit_converters.pruning.channels.graph import Edit, Numbers, Role, Weight, Work
from edgekit_converters.pruning.skipped_names import holds_skipped
from edgekit_converters.pruning.trace.values import FIXED, Joins, Value

LEFT_ALONE = "you asked to leave it alone"
Way = tuple[str | int, ...]
"""Keys from the model's config to a part of it."""
_PRODUCTS = frozenset(
    [
        "AdditiveAttention",
        "Attention",
        "Conv",
        "ConvTranspose",
        "DepthwiseConv",
        "Dot",
        "Einsum",
        "DotProductAttention",
        "Inner",
        "Matmul",
        "SeparableConv",
        "Tensordot",
        "Vdot",
    ]
)
"""Layers and operations that multiply without having kernels."""
_VISITED = frozenset({"Bidirectional", "Functional", "Sequential", "TimeDistributed"})
"""Layers around others, for each of which there is a call of its own."""
Rule = Callable[["Call"], "Value | list[Value]"]


@dataclass(slots=True)
class Made:
    """Channels that a layer makes."""

    layer: str
    kind: str
    numbers: Numbers


@dataclass(slots=True)
class Record:
    """All that the calls of one model report."""

    joins: Joins = field(default_factory=Joins)
    made: dict[tuple[int, str], Made] = field(default_factory=dict)
    weights: dict[int, Weight] = field(default_factory=dict)
    work: list[Work] = field(default_factory=list)
    edits: dict[Way, Edit] = field(default_factory=dict)
    barriers: dict[str, str] = field(default_factory=dict)
    uncounted: dict[str, None] = field(default_factory=dict)
    """Names of barriers that multiply: how often is not known."""
    model_inputs: dict[tuple[int, int, int], Numbers] = field(default_factory=dict)
    paths: dict[int, str] = field(default_factory=dict)
    skipped: frozenset[int] = frozenset()
    """Ids of the layers that stay as they are."""
    visits: Counter[Way] = field(default_factory=Counter)
    counted: Counter[tuple[Way, Way]] = field(default_factory=Counter)
    """How often each config was visited, and each entry of one said to count channels."""
    held: dict[int, str] = field(default_factory=dict)
    """By the ids of variables that layers hold that nobody looks into: why they stay."""

    def settle(self) -> None:
        """What can only be said when all calls are known: what stays since one of them holds it."""
        for (layer, way), count in self.counted.items():
            if count < self.visits[layer]:
                names = "/".join(str(name) for key, name in pairwise(layer) if key == "layers")
                reason = f"{names!r} is called for others too, and counts them in one place"
                self.joins.fix(self.edits[way].numbers, reason)
        for variable, reason in self.held.items():
            for numbers in self.weights[variable].axes if variable in self.weights else ():
                if numbers is not None:
                    self.joins.fix(numbers, reason)


@dataclass(slots=True, kw_only=True)
class Call:
    """One call of `layer`.

    Attributes:
        layer: a Keras layer, or another operation of a functional graph.
        name: its name in messages, with those of the models around it.
        keys: the way to its config from the model's.
        inputs: the tensors among the arguments, in order.
        outputs: shapes of what it returns, in order.
        args: the arguments, with a `Value` for each tensor.
        times: how often it runs in one inference (a layer within TimeDistributed: every step).
    """

    record: Record
    layer: Any
    name: str
    keys: Way
    inputs: list[Value]
    outputs: list[tuple[int | None, ...]]
    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    times: float = 1.0

    @property
    def value(self) -> Value:
        """The first input."""
        return self.inputs[0]

    @property
    def shape(self) -> tuple[int | None, ...]:
        """The shape of the first output."""
        return self.outputs[0]

    @property
    def is_skipped(self) -> bool:
        """Whether the user wants the layer left as it is, or a part of it that has no call."""
        skipped = self.record.skipped
        if type(self.layer).__name__ in _VISITED or hasattr(self.layer, "operations"):
            return id(self.layer) in skipped
        return holds_skipped(self.layer, skipped)

    @property
    def channel_axis(self) -> int:
        """Where an image layer has its channels, by its `data_format`."""
        return 1 if getattr(self.layer, "data_format", "") == "channels_first" else -1

    def argument(self, name: str, at: int, default: Any = None) -> Any:
        """Returns an argument of the call, by name or place, else of the layer itself."""
        if name in self.kwargs:
            return self.kwargs[name]
        if at < len(self.args):
            return self.args[at]
        return getattr(self.layer, name, default)

    # ---- channels ---------------------------------------------------------------------------
    def make(self, count: int, kind: str, part: str = "") -> Numbers:
        """Returns the channels that the layer makes; at each call of a shared layer the same."""
        key = (id(self.layer), part)
        if key not in self.record.made:
            made = Made(self.name, kind, self.record.joins.new(count))
            self.record.made[key] = made
            if self.is_skipped:
                self.fix(made.numbers, LEFT_ALONE)
        return self.record.made[key].numbers

    def join(self, one: Numbers, other: Numbers) -> None:
        """Makes channels go together, place by place."""
        reason = f"joined in {self.name!r} with channels that stay"
        self.record.joins.join(one, other, reason)

    def fix(self, numbers: Numbers | None, reason: str) -> None:
        """Makes channels stay."""
        if numbers is not None:
            self.record.joins.fix(numbers, reason)

    def fix_but(self, value: Value, *axes: int) -> None:
        """Makes all channels of a tensor stay, but those along `axes`."""
        kept = {axis % value.rank for axis in axes}
        for axis in value.labelled:
            if axis not in kept:
                self.fix(value.axes[axis], f"{self.name!r} mixes them along axis {axis}")

    def barrier(self, reason: str) -> list[Value]:
        """Makes all that goes in and out stay, lists the layer as left, returns its outputs."""
        self.record.barriers.setdefault(self.name, reason)
        variables = getattr(self.layer, "variables", ())
        if type(self.layer).__name__ in _PRODUCTS or any(len(v.shape) > 1 for v in variables):
            self.record.uncounted[self.name] = None
        for variable in variables:
            self.record.held.setdefault(id(variable), f"held by {self.name!r}: {reason}")
        for value in self.inputs:
            for axis in value.labelled:
                self.fix(value.axes[axis], f"read by {self.name!r}: {reason}")
        dtype = self.inputs[0].dtype if self.inputs else "float32"
        return [Value.plain(shape, dtype) for shape in self.outputs]

    def keep(self, values: Sequence[Value]) -> None:
        """Makes all channels of tensors stay, as asked for, and says so of a layer with weights."""
        if getattr(self.layer, "variables", None) and any(value.labelled for value in values):
            self.record.barriers.setdefault(self.name, LEFT_ALONE)
        for value in values:
            for axis in value.labelled:
                self.fix(value.axes[axis], f"{self.name!r}: {LEFT_ALONE}")

    # ---- what is stored -----------------------------------------------------------------------
    def weight(
        self,
        variable: Any,
        axes: Sequence[Numbers | None],
        role: Role,
        *,
        uses: float = 0.0,
        makes: tuple[int, ...] = (),
        around: Sequence[Numbers] = (),
    ) -> None:
        """Says whose the numbers of a variable are; nothing for one that is not there.

        Args:
            variable: the Keras variable.
            axes: for each axis the channels, or None.
            role: see `Weight`.
            uses: how often each number is multiplied, without what is in `around`.
            makes: axes along which the layer makes channels.
            around: other axes of the input along which all is repeated, and which may be cut.
        """
        if variable is None or id(variable) not in self.record.paths:
            return  # none, or the state of a stateful layer, which is no part of the model
        record, known = self.record, self.record.weights.get(id(variable))
        uses *= self.times
        if uses and around:
            sizes = [np.full(size, FIXED, np.intp) for size in variable.shape]
            filled = [
                own if own is not None else size for own, size in zip(axes, sizes, strict=True)
            ]
            record.work.append(Work(axes=(*filled, *around), uses=uses, layer=self.name))
            uses = 0.0
        if known is not None:
            for size, one, other in zip(known.shape, known.axes, axes, strict=True):
                if one is not None or other is not None:
                    whole = np.full(size, FIXED, np.intp)
                    self.join(
                        one if one is not None else whole, other if other is not None else whole
                    )
            record.weights[id(variable)] = replace(known, uses=known.uses + uses)
            return
        for size, numbers in zip(variable.shape, axes, strict=True):
            assert numbers is None or len(numbers) == size, (self.name, variable.shape, numbers)
        record.weights[id(variable)] = Weight(
            path=record.paths[id(variable)],
            shape=tuple(variable.shape),
            axes=tuple(axes),
            output_axes=makes,
            uses=uses,
            layer=self.name,
            role=role,
            trainable=bool(variable.trainable),
        )

    def multiply(self, axes: Sequence[Numbers], uses: float) -> None:
        """Counts multiply-adds between activations."""
        self.record.work.append(Work(axes=tuple(axes), uses=uses * self.times, layer=self.name))

    def config(self, *keys: str | int, numbers: Numbers) -> None:
        """Says which config entry of the layer counts these channels; at every call the same."""
        way = (*self.keys, *keys)
        known = self.record.edits.setdefault(way, Edit(keys=way, numbers=numbers))
        self.join(known.numbers, numbers)
        self.record.counted[self.keys, way] += 1

    # ---- calls within calls -------------------------------------------------------------------
    def inner(self, layer: Any, keys: Sequence[str | int], **changes: Any) -> Call:
        """Returns the call of a layer within this one."""
        name = changes.pop("name", self.name)
        return replace(self, layer=layer, name=name, keys=(*self.keys, *keys), **changes)
