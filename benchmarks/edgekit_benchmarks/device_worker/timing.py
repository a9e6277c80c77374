"""The loop that measures."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


def timed(
    call: Callable[[Any], Any], feeds: list[Any], start: int, repeats: int, duration_ns: int
) -> tuple[list[int], int]:
    """Call again and again for so long, at least once, each sample timed by itself.

    Args:
        call: one inference.
        feeds: what to call it with, in turn.
        start: where in `feeds` to begin.
        repeats: inferences in one sample.
        duration_ns: nanoseconds after which no other sample is begun.

    Returns:
        Nanoseconds of one inference in each sample, in order, and where in `feeds` to go on.
    """
    clock = time.perf_counter_ns
    samples: list[int] = []
    append = samples.append
    count = len(feeds)
    stop = clock()
    end = stop + duration_ns
    while stop < end or not samples:
        if repeats == 1:
            feed = feeds[start % count]
            begin = clock()
            call(feed)
            stop = clock()
            append(stop - begin)
        else:
            several = [feeds[(start + i) % count] for i in range(repeats)]
            begin = clock()
            for feed in several:
                call(feed)
            stop = clock()
            append(round((stop - begin) / repeats))
        start += repeats
    return samples, start


def empty_call_ns() -> int:
    """What the loop measures when nothing is called: the harness's own part of each sample."""
    samples, _ = timed(_nothing, [None], 0, 1, 5_000_000)
    return sorted(samples)[len(samples) // 2]


def _nothing(_: Any) -> None:
    pass


def timer_ns() -> int:
    """The smallest step the clock was seen to make."""
    clock = time.perf_counter_ns
    seen = [clock() for _ in range(2000)]
    steps = [b - a for a, b in zip(seen, seen[1:]) if b > a]  # noqa: B905, RUF007
    return min(steps, default=1)


def reference_ns() -> int:
    """How fast the machine is now, whatever the model: the best of some loops of Python's own."""
    clock = time.perf_counter_ns
    best = 1 << 62
    for _ in range(8):
        begin = clock()
        total = 0
        for i in range(3000):
            total += i ^ 5
        best = min(best, clock() - begin)
    return best
