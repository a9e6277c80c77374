"""Operator times of an ONNX file, as ONNX Runtime's profile tells them, less what profiling costs.

The profile's times hold part of the profiler's own work: it writes down the shapes of a node's
inputs and outputs before it looks at the clock, which takes a microsecond or two for each node.
That part is measured, on two chains of operators that do next to nothing and have one input or
eight, as the profile's time less the time of the same chain without profile; it grows with the
number of shapes.

The whole is measured without profile, in the same process, in turn.
"""

from __future__ import annotations

import math
import re
import statistics
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgekit import onnx_file
from edgekit.graph import Graph
from edgekit.multiply_adds import by_operator
from edgekit.onnx_shapes import infer
from edgekit_benchmarks import percentile
from edgekit_benchmarks.link import Link, OnEvent
from edgekit_benchmarks.onnx_chain import chain
from edgekit_benchmarks.operators import OperatorProfile, OperatorTime

METHOD = "the runtime's profile, less what profiling costs"
_BLOCKS = 9
_QUICKEST = 5
"""Of each block, one inference in so many counts: the quickest, as disturbances only add."""
_LEAST, _MOST = 54, 450
_EVENTS = 30_000
_MOST_S = 30.0
_LIMIT_S = 600.0
_SPARE_S = 30.0
_MOST_SCALE = 1.5
"""Profiling cannot cost much more than in the chains; beyond that the machine was disturbed."""
_CHAIN = 64
_CHAIN_INFERENCES = 90
_FEW, _MANY = 1, 8
_ADDED = re.compile(r"(_nchwc|_token_\d+|_nhwc|/?_?fused.*)$")
"""What the optimizer appends to the names of nodes that it makes."""
_MULTIPLYING = re.compile(r"Conv|MatMul|Gemm|LSTM|GRU|RNN")
_STEPS_BACK = 4
_VECTORS = (4, 8, 16)


def profile_onnx(
    link: Link, file: Path, row: dict[str, Any], on_event: OnEvent | None = None
) -> OperatorProfile:
    """Measure; see `edgekit_benchmarks.operators.profile_operators`.

    Args:
        link: to the target.
        file: an `.onnx` file.
        row: of a request, without ``path``.
        on_event: told what happens meanwhile.
    """
    graph = onnx_file.read(file)
    nodes = sum(operator.subgraph == 0 for operator in graph.operators)
    inferences = max(_LEAST, min(_MOST, _EVENTS // max(1, nodes)))
    profiling = _profiling(link, row, on_event)
    answer = _ask(link, {**row, "path": link.put(file)}, row["inputs"], inferences, on_event)
    return _profile(answer, profiling, multiply_adds_of(graph, answer["operators"]))


@dataclass(frozen=True, slots=True, kw_only=True)
class Growing:
    """Nanoseconds for a node, growing with the number of its inputs and outputs."""

    fixed_ns: float
    shape_ns: float

    @classmethod
    def through(cls, measured: Mapping[int, float]) -> Growing:
        """The line through two measurements, by the number of inputs and outputs."""
        (few, low), (many, high) = sorted(measured.items())
        shape_ns = max(0.0, (high - low) / (many - few))
        return cls(fixed_ns=max(0.0, low - few * shape_ns), shape_ns=shape_ns)

    def of(self, shapes: int) -> float:
        """For a node with so many inputs and outputs."""
        return self.fixed_ns + self.shape_ns * shapes


@dataclass(frozen=True, slots=True, kw_only=True)
class Profiling:
    """What profiling costs, where operators do next to nothing."""

    told: Growing
    """As part of the time that the profile tells for a node."""
    total: Growing
    """That, and what is outside of these times."""

    def parts(self, shapes: Sequence[int], slowed_ns: float) -> list[float]:
        """What profiling added to the time of each node of another model.

        Args:
            shapes: the numbers of inputs and outputs of its nodes.
            slowed_ns: by how much profiling slowed down a whole inference of it.
        """
        expected = sum(map(self.total.of, shapes))
        scale = max(0.0, slowed_ns) / expected if expected else 0.0
        scale = min(scale, _MOST_SCALE)
        return [scale * self.told.of(count) for count in shapes]


def _profiling(link: Link, row: Mapping[str, Any], on_event: OnEvent | None) -> Profiling:
    told: dict[int, float] = {}
    total: dict[int, float] = {}
    bare = {"key": "chain", "runtime": row["runtime"], "threads": row["threads"]}
    with tempfile.TemporaryDirectory(prefix="edgekit-operators-") as folder:
        for inputs in (_FEW, _MANY):
            file = Path(folder, f"chain{inputs}.onnx")
            file.write_bytes(chain(_CHAIN, inputs))
            answer = _ask(link, {**bare, "path": link.put(file)}, None, _CHAIN_INFERENCES, on_event)
            blocks = of_blocks(answer)
            count = len(answer["operators"])
            told[inputs + 1] = statistics.median(sum(b.nodes) - b.plain for b in blocks) / count
            total[inputs + 1] = statistics.median(b.profiled - b.plain for b in blocks) / count
    return Profiling(told=Growing.through(told), total=Growing.through(total))


def _ask(
    link: Link,
    row: dict[str, Any],
    inputs: str | None,
    inferences: int,
    on_event: OnEvent | None,
) -> dict[str, Any]:
    answer: dict[str, Any] = link.request(
        "run",
        spec={
            "mode": "profile",
            "row": row,
            "inputs": inputs,
            "inferences": inferences,
            "most_s": _MOST_S,
        },
        limit_s=_LIMIT_S,
        memory_bytes=None,
        timeout_s=_LIMIT_S + _SPARE_S,
        on_event=on_event,
    )["answer"]
    return answer


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """The quickest of some neighbouring inferences, in the mean, in nanoseconds."""

    nodes: tuple[float, ...]
    """As the profile tells."""
    profiled: float
    """The whole, with the profile."""
    plain: float
    """The whole, without."""


def of_blocks(answer: Mapping[str, Any]) -> list[Block]:
    """What the worker's answer says, block by block."""
    whole, plain = answer["whole_ns"], answer["plain_ns"]
    count = len(whole)
    number = min(_BLOCKS, count)
    blocks: list[Block] = []
    for at in range(number):
        span = range(count * at // number, count * (at + 1) // number)
        kept = math.ceil(len(span) / _QUICKEST)
        quickest = sorted(span, key=whole.__getitem__)[:kept]
        blocks.append(
            Block(
                nodes=tuple(
                    statistics.fmean(one["samples_ns"][i] for i in quickest)
                    for one in answer["operators"]
                ),
                profiled=statistics.fmean(whole[i] for i in quickest),
                plain=statistics.fmean(sorted(plain[i] for i in span)[:kept]),
            )
        )
    return blocks


def _profile(
    answer: Mapping[str, Any], profiling: Profiling, multiply_adds: Sequence[int | None]
) -> OperatorProfile:
    blocks = of_blocks(answer)
    told = answer["operators"]
    shapes = [len(one["inputs"]) + len(one["outputs"]) for one in told]
    slowed_ns = min(block.profiled for block in blocks) - min(block.plain for block in blocks)
    parts = profiling.parts(shapes, slowed_ns)
    times = [
        percentile.of_medians([time - part for time in of_node])
        for of_node, part in zip(
            zip(*(block.nodes for block in blocks), strict=True), parts, strict=True
        )
    ]
    return OperatorProfile(
        runtime=answer["runtime"],
        method=METHOD,
        operators=tuple(
            OperatorTime(
                index=index,
                name=one["name"],
                operator=one["operator"],
                ns=time.value,
                interval_ns=(time.low, time.high),
                multiply_adds=adds,
            )
            for index, (one, time, adds) in enumerate(zip(told, times, multiply_adds, strict=True))
        ),
        whole_ns=percentile.of_medians([block.plain for block in blocks]).value,
        rounds=len(answer["whole_ns"]),
    )


def multiply_adds_of(graph: Graph, nodes: Sequence[Mapping[str, Any]]) -> list[int | None]:
    """What each node of a profile multiplies, where it is found in the file.

    The runtime merges nodes, and names the new ones after one of them or after its output. An
    operator of the file is taken for a node that multiplies if it has that name, or if it leads to
    it in a few steps, and makes something of the same size, but for filled up channels.

    Args:
        graph: of the file.
        nodes: ``name``, ``operator`` and ``outputs`` (shapes) of each.
    """
    counted = by_operator(graph)
    shapes = infer(graph)
    made_by = {
        key: place for place, one in enumerate(graph.operators) for key in one.outputs if key
    }
    by_label = {one.label: place for place, one in enumerate(graph.operators) if one.label}

    def multiplying(place: int, steps: int) -> int | None:
        if counted[place] is not None or not steps:
            return place
        for key in graph.operators[place].inputs:
            maker = made_by.get(key or "")
            if maker is None:
                continue
            found = multiplying(maker, steps - 1)
            if found is not None and counted[found] is not None:
                return found
        return None

    results: list[int | None] = []
    for node in nodes:
        name = _ADDED.sub("", node["name"])
        place = by_label.get(name, made_by.get(name))
        found = None
        if place is not None and _MULTIPLYING.search(node["operator"]):
            source = multiplying(place, _STEPS_BACK)
            key = graph.operators[source].outputs[0] if source is not None else None
            made = shapes.get(key) if key else None
            sizes = {math.prod(shape) for shape in node["outputs"]}
            if source is not None and made is not None and sizes & _sizes(made):
                found = counted[source]
        results.append(found)
    return results


def _sizes(shape: Sequence[int]) -> set[int]:
    """How many numbers are made, also where channels are filled up to a vector's length."""
    count = math.prod(shape)
    found = {count}
    if len(shape) > 2 and shape[1]:
        found |= {count // shape[1] * (-(-shape[1] // wide) * wide) for wide in _VECTORS}
    return found
