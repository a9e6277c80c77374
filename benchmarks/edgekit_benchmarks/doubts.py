"""What speaks against believing a measurement, in sentences; and what makes it INVALID.

Of the machine (`of_target`, in `edgekit_benchmarks.disturbances`):

| what was seen | INVALID | a doubt |
| --- | --- | --- |
| throttled, capped, too little voltage: seen, or new at the end | yes | with `sustained` |
| the same, since boot but before | | yes |
| frequency, while measured, more than 2 % below its highest | yes | with `sustained` |
| … a single look, where turbo is on (or an x86 does not tell) | | yes |
| frequency never within 2 % of its maximum (no turbo) | | yes |
| 80 °C or more; warmed by more than 10 K | | yes |
| the machine was suspended, or the process stopped | yes | |
| the wall clock was set | | yes |
| an emulator, not a board | yes | |
| time stolen by other virtual machines, over 1 % of a processor | | yes |
| other programs on more than a quarter of a processor | | yes |
| pages swapped | | yes |
| governor powersave | | yes |

Of a row (`judged`):

| what was seen | INVALID | a doubt |
| --- | --- | --- |
| samples | fewer than 11 | fewer than 64: no p90 |
| processes | | fewer than 6: no interval of 95 % |
| interval of the median, to either side | | over 5 % |
| standard deviation of the samples | | over 10 % of their mean |
| samples of over 1.5 times the median; of under half of it | | over 1 % |
| medians of the processes | | slowest over 1.5 times the fastest |
| the reference loop of a process, against its median | | over 10 % slower |
| first tenth of a process against its rest | | over 5 % slower, in most |
| a sample in steps of the clock | under 100 | under 1,000 |
| timing nothing takes | | over 1 % of the median |
| preempted | | in over 5 % of the samples |
| waited for the disk | | ever |
| threads | | more than processors |
| inputs | | made up |

A row of an INVALID target is INVALID. Each such sentence begins with ``INVALID:``.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

from edgekit_benchmarks import disturbances
from edgekit_benchmarks.percentile import CONFIDENCE, enough_processes, nearest_rank, needed
from edgekit_benchmarks.report_numbers import duration, percent
from edgekit_benchmarks.result import Row, TargetRecord

INVALID = "INVALID: "


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """Doubts as sentences, the worst first, and whether the measurement may be trusted."""

    doubts: tuple[str, ...]
    valid: bool

    @classmethod
    def of(cls, found: Iterator[tuple[bool, str]]) -> Judgement:
        """From pairs: whether it is the end of all trust, and the sentence."""
        ordered = sorted(dict.fromkeys(found), key=lambda pair: not pair[0])
        return cls(
            doubts=tuple(f"{INVALID if fatal else ''}{text}" for fatal, text in ordered),
            valid=not any(fatal for fatal, _ in ordered),
        )


def of_target(
    facts: Mapping[str, Any],
    watch: Sequence[Mapping[str, Any]],
    *,
    clock: Sequence[Mapping[str, Any]] = (),
    emulated: bool = False,
    sustained: bool = False,
) -> Judgement:
    """What is to be said of a machine and of what happened on it.

    Args:
        facts: as the worker tells them.
        watch: its looks at the machine, in order, one about every second.
        clock: what it noticed of its clock: ``what``, ``by_ns``.
        emulated: it is not the board that it looks like.
        sustained: the throttled state was to be measured.
    """
    return Judgement.of(
        disturbances.found(facts, watch, clock=clock, emulated=emulated, sustained=sustained)
    )


def judged(row: Row, target: TargetRecord) -> Row:
    """The row with its doubts, and valid only if it and its target are."""
    own = Judgement.of(_of_row(row, target))
    inherited = tuple(text for text in target.doubts if text.startswith(INVALID))
    return replace(row, doubts=(*inherited, *own.doubts), valid=own.valid and target.valid)


def _of_row(row: Row, target: TargetRecord) -> Iterator[tuple[bool, str]]:
    yield from _of_counts(row)
    yield from _of_spread(row)
    yield from _of_reference(row)
    yield from _of_order(row)
    yield from _of_timer(row, target)
    taken = row.sample_count
    if sum(row.preempted) > taken / 20:
        yield (
            False,
            f"another program had its processor {sum(row.preempted)} times in {taken} samples",
        )
    if sum(row.major_faults):
        yield (
            False,
            f"it waited for the disk {sum(row.major_faults)} times; use a machine with more memory",
        )
    cores = disturbances.processors(target.facts)
    if cores is not None and row.threads > cores:
        yield False, f"{row.threads} threads on {cores} processors wait for each other"
    if row.input.random:
        yield False, f"the inputs are made up ({row.input.source}); give real ones with --input"


def _of_counts(row: Row) -> Iterator[tuple[bool, str]]:
    count = row.sample_count
    if count < needed(50):
        yield (
            True,
            f"a median of {count} sample{_plural(count, 's')}; at least {needed(50)} are needed",
        )
    elif count < needed(90):
        yield False, f"{count} samples are too few for p90; at least {needed(90)} are needed"
    if row.processes < enough_processes():
        yield (
            False,
            f"{row.processes} process{_plural(row.processes, 'es are', ' is')} too few for an "
            f"interval of {percent(CONFIDENCE)}; "
            f"at least {enough_processes()} are needed",
        )


def _of_spread(row: Row) -> Iterator[tuple[bool, str]]:
    middle = row.of_percentile(50)
    assert middle is not None
    off = max(middle.value - middle.low, middle.high - middle.value) / middle.value
    if off > 0.05:
        yield False, f"the median is not known better than by {percent(off)}"
    samples = list(chain.from_iterable(row.samples_ns))
    mean = statistics.fmean(samples)
    deviation = statistics.pstdev(samples, mean)
    if deviation > mean / 10:
        yield False, f"the standard deviation is {percent(deviation / mean)} of the mean"
    slow = sum(sample > 1.5 * middle.value for sample in samples) / len(samples)
    if slow > 0.01:
        yield False, f"a long tail: {percent(slow)} of the samples take over 1.5 times the median"
    quick = sum(sample < middle.value / 2 for sample in samples) / len(samples)
    if quick > 0.01:
        yield False, f"{percent(quick)} of the samples take less than half the median"
    medians = [nearest_rank(run, 50) for run in row.samples_ns]
    if max(medians) > 1.5 * min(medians):
        yield False, f"its slowest process took {max(medians) / min(medians):.1f} times its fastest"


def _of_reference(row: Row) -> Iterator[tuple[bool, str]]:
    """Whether the machine itself changed its speed between the processes."""
    loops = [min(run) for run in row.reference_ns if run]
    if loops and max(loops) > 1.1 * statistics.median(loops):
        slower = max(loops) / statistics.median(loops) - 1
        yield False, f"the machine itself was {percent(slower)} slower in one process than in most"


def _of_order(row: Row) -> Iterator[tuple[bool, str]]:
    """Whether processes begin slower than they end: the warm-up was too short."""
    excess = []
    for run in row.samples_ns:
        first = max(3, len(run) // 10)
        if len(run) >= 4 * first:
            excess.append(nearest_rank(run[:first], 50) / nearest_rank(run[first:], 50) - 1)
    if excess and sum(one > 0.05 for one in excess) > len(excess) / 2:
        yield (
            False,
            f"processes begin {percent(statistics.median(excess))} slower than they go on: "
            "the warm-up was too short",
        )


def _of_timer(row: Row, target: TargetRecord) -> Iterator[tuple[bool, str]]:
    if target.timer_ns:
        steps = row.p50_ns * row.repeats / target.timer_ns
        if steps < 1000:
            text = f"a sample is {steps:.0f} steps of the clock ({duration(target.timer_ns)} each)"
            yield steps < 100, f"{text}; 1,000 are needed"
    if target.empty_call_ns:
        share = target.empty_call_ns / row.repeats / row.p50_ns
        if share > 0.01:
            yield (
                False,
                f"timing nothing takes {duration(target.empty_call_ns)}, {percent(share)} of this",
            )


def _plural(count: int, many: str, one: str = "") -> str:
    return one if count == 1 else many
