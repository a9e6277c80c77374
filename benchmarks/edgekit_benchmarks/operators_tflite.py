"""Operator times of a TFLite file, whose runtime tells none from Python.

The graph is cut into pieces of one operator each, and the pieces are added to the file as graphs
of their own: one interpreter runs them and the whole with the same threads, weights and values.
A piece alone costs more than it does inside: calling it costs, and its inputs and outputs must be
there as tensors. So all pairs of neighbours are timed too. What a pair saves against its two
pieces, ``cut = first + second - both``, is the cost of having cut between them, and half of the
cost of either cut is taken from each piece:

    time(k) = alone(k) - (cut(k - 1, k) + cut(k, k + 1)) / 2

At the ends of the graph the cost is that of calling a graph without operators.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from edgekit import tflite_file
from edgekit_benchmarks import percentile
from edgekit_benchmarks.link import Link, OnEvent
from edgekit_benchmarks.operators import OperatorProfile, OperatorTime
from edgekit_benchmarks.tflite_pieces import Cut, Part, cut
from edgekit_benchmarks.tflite_subgraphs import TFLiteFile

METHOD = "pieces alone and in pairs"
_BLOCKS = 9
_ROUNDS = 6
"""Of a block: 54 inferences of every piece, at least, but for slow models."""
_BLOCK_S = 0.4
_MOST_S = 30.0
_LIMIT_S = 600.0
_SPARE_S = 30.0
_KINDS = 3
_NAME_LENGTH = 60


def profile_tflite(
    link: Link, file: Path, row: dict[str, Any], on_event: OnEvent | None = None
) -> OperatorProfile:
    """Measure; see `edgekit_benchmarks.operators.profile_operators`.

    Args:
        link: to the target.
        file: a `.tflite` file.
        row: of a request, without ``path``.
        on_event: told what happens meanwhile.
    """
    source = TFLiteFile(file)
    found = cut(tflite_file.read(file), str(file))
    parts = parts_of(found, source.interface.inputs, source.interface.outputs)
    with tempfile.TemporaryDirectory(prefix="edgekit-operators-") as folder:
        head = Path(folder, f"{file.stem}.pieces")
        head.write_bytes(source.head(parts))
        row = {**row, "path": link.put(file)}
        spec = _spec(row, link.put(head), source.graph_count, found, parts)
        answer = _ask(link, spec, on_event)
    return _profile(found, answer)


def parts_of(found: Cut, given: frozenset[int], asked: frozenset[int]) -> tuple[Part, ...]:
    """Every piece, every pair of neighbours, and a graph without operators.

    Args:
        found: the pieces.
        given: inputs of the whole graph.
        asked: its outputs.
    """
    count = len(found.pieces)
    alone = [found.part([number], given, asked) for number in range(count)]
    pairs = [found.part([number, number + 1], given, asked) for number in range(count - 1)]
    return (*alone, *pairs, Part(operators=()))


def _spec(
    row: dict[str, Any], head: str, first: int, found: Cut, parts: Sequence[Part]
) -> dict[str, Any]:
    count = len(found.pieces)
    pairs = range(count, 2 * count - 1)
    return {
        "mode": "pieces",
        "row": row,
        "head": head,
        "inputs": row["inputs"],
        "first": first,
        "parts": [{"inputs": part.inputs, "outputs": part.outputs} for part in parts],
        "chain": list(range(count)),
        # every second pair: a pass that goes through the whole graph once
        "passes": [list(range(count)), list(pairs[::2]), list(pairs[1::2]), [len(parts) - 1]],
        "blocks": _BLOCKS,
        "rounds": _ROUNDS,
        "block_s": _BLOCK_S,
        "most_s": _MOST_S,
    }


def _ask(link: Link, spec: dict[str, Any], on_event: OnEvent | None) -> dict[str, Any]:
    answer: dict[str, Any] = link.request(
        "run",
        spec=spec,
        limit_s=_LIMIT_S,
        memory_bytes=None,
        timeout_s=_LIMIT_S + _SPARE_S,
        on_event=on_event,
    )["answer"]
    return answer


def _profile(found: Cut, answer: dict[str, Any]) -> OperatorProfile:
    """From the quickest of each block; the blocks tell how sure it is."""
    count = len(found.pieces)
    of_parts: list[list[float]] = answer["parts_ns"]
    of_blocks = [
        inside(of_block[:count], of_block[count:-1], of_block[-1])
        for of_block in zip(*of_parts, strict=True)
    ]
    whole = [
        float(took) - of_block[-1]
        for took, of_block in zip(answer["whole_ns"], zip(*of_parts, strict=True), strict=True)
    ]
    times = [percentile.of_medians(own) for own in zip(*of_blocks, strict=True)]
    return OperatorProfile(
        runtime=answer["runtime"],
        method=METHOD,
        operators=tuple(
            OperatorTime(
                index=number,
                name=_name(found, piece),
                operator=kinds(found.operators[place].name for place in piece),
                ns=time.value,
                interval_ns=(time.low, time.high),
                multiply_adds=sum(found.multiply_adds[place] or 0 for place in piece) or None,
            )
            for number, (piece, time) in enumerate(zip(found.pieces, times, strict=True))
        ),
        whole_ns=max(1.0, percentile.of_medians(whole).value),
        rounds=sum(answer["rounds"]),
        difference=answer["difference"],
    )


def inside(alone: Sequence[float], pairs: Sequence[float], empty: float) -> list[float]:
    """What pieces take within the whole.

    Args:
        alone: what each takes as a graph of its own.
        pairs: what each takes with the next one.
        empty: what calling a graph without operators takes.

    >>> inside([5, 7, 4], [10, 9], 1)
    [3.5, 5.0, 2.5]
    """
    cuts = [
        empty,
        *(a + b - both for a, b, both in zip(alone, alone[1:], pairs, strict=False)),
        empty,
    ]
    return [own - (cuts[at] + cuts[at + 1]) / 2 for at, own in enumerate(alone)]


def kinds(names: Iterable[str]) -> str:
    """The kinds of operators in a piece.

    >>> kinds(["ADD"]), kinds(["MUL", "ADD", "MUL", "ADD", "MUL"]), kinds("ABCDEF")
    ('ADD', '3 MUL + 2 ADD', 'A + B + C + 3 more')
    """
    counted = Counter(names)
    shown = [f"{count} {name}" if count > 1 else name for name, count in counted.items()]
    rest = sum(list(counted.values())[_KINDS:])
    return " + ".join([*shown[:_KINDS], *([f"{rest} more"] if rest else [])])


def _name(found: Cut, piece: Sequence[int]) -> str:
    """The first name of what the piece makes last: fused operators carry several."""
    outputs = found.operators[piece[-1]].outputs
    key = next((key for key in outputs if key is not None), None)
    name = found.graph.tensors[key].name.partition(";")[0] if key else ""
    return name if len(name) <= _NAME_LENGTH else f"…{name[1 - _NAME_LENGTH :]}"
