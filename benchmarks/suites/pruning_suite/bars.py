"""What pruning has to reach, and which results do not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .measure import Pair, Result
from .numbers import signed

LEAST_CUT = 0.35
"""Share of the raw bytes, and of p50, that has to go with half of the multiply-adds."""
MOST_LOST = 0.015
"""Of the accuracy, in structured pruning."""
MOST_GZIP = 0.35
"""With 80 % zeros: gzipped int8 file over that of the original's int8 file."""
MOST_LOST_WITH_ZEROS = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class Miss:
    """A bar that is not reached."""

    task: str
    kind: str
    precision: str
    what: str


def missed(results: Sequence[Result]) -> list[Miss]:
    """What is missed by models with channels cut, and by int8 files of those with clusters."""
    misses = []
    for result in results:
        if result.kind == "structured":
            told = [(p.precision, (*_smaller(p), *_lost(p, MOST_LOST))) for p in result.pairs]
        elif result.kind == "clusters":
            pair = result.pair("int8")
            told = [("int8", (*_packed(pair), *_lost(pair, MOST_LOST_WITH_ZEROS)))]
        else:  # there to be compared with
            continue
        misses += [
            Miss(task=result.task, kind=result.kind, precision=precision, what=what)
            for precision, found in told
            for what in found
        ]
    return misses


def _packed(pair: Pair) -> list[str]:
    share = pair.gzip_bytes[1] / pair.gzip_bytes[0]
    return [f"gzipped {signed(share - 1, '+.1%')}"] if share > MOST_GZIP else []


def _smaller(pair: Pair) -> list[str]:
    told = []
    smaller = 1 - pair.size_bytes[1] / pair.size_bytes[0]
    if smaller < LEAST_CUT:
        told.append(f"bytes {signed(-smaller, '+.0%')}")
    if 1 - pair.ratio.value < LEAST_CUT:
        told.append(f"p50 {signed(pair.ratio.value - 1, '+.0%')}")
    return told


def _lost(pair: Pair, most: float) -> list[str]:
    if -pair.difference.value > most + 1e-9:
        return [f"accuracy {100 * pair.difference.value:+.2f} points"]
    return []
