"""What two measurements of one file are compared by, and by how much each changed."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import PurePath
from typing import Any, Literal

from edgekit_benchmarks.instructions import ALIKE, TOTAL
from edgekit_benchmarks.percentile import nearest_rank, needed
from edgekit_benchmarks.ratio import NOISE, RUNS_NOISE, Ratio, unpaired_values
from edgekit_benchmarks.report_numbers import percent
from edgekit_benchmarks.result import Row
from edgekit_benchmarks.tail import preempted_share, undisturbed

_MATTERS = 0.97
"""A percentile that other programs may have moved by less than that is taken as it is."""

Kind = Literal["time", "bytes", "share", "count"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """Something that gets worse by growing; `accuracy` alone by shrinking."""

    name: str
    kind: Kind
    title: str
    is_exact: bool = False
    """The same at every measurement: any difference is one."""
    percent: float | None = None
    start: str = ""
    """Name of the value of `StartRecord`."""


METRICS: Mapping[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric(name="p50", kind="time", title="median latency", percent=50),
        Metric(name="p90", kind="time", title="90th percentile of latency", percent=90),
        Metric(name="p99", kind="time", title="99th percentile of latency", percent=99),
        Metric(name="load", kind="time", title="time to load", start="load_ns"),
        Metric(name="first", kind="time", title="first inference", start="first_inference_ns"),
        Metric(
            name="memory", kind="bytes", title="memory of the model", start="model_memory_bytes"
        ),
        Metric(name="peak", kind="bytes", title="peak memory", start="peak_memory_bytes"),
        Metric(name="size", kind="bytes", title="size of the file", is_exact=True),
        Metric(name="gzip", kind="bytes", title="size of the file, gzipped", is_exact=True),
        Metric(
            name="instructions", kind="count", title="instructions of an inference", is_exact=True
        ),
        Metric(name="accuracy", kind="share", title="accuracy", is_exact=True),
    )
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One metric of one row, before and after."""

    metric: Metric
    before: float | None
    after: float | None
    ratio: Ratio | None = None
    """After over before; None for accuracy, and where there is a `reason`."""
    reason: str = ""
    """Why the two cannot be compared."""
    widened: str = ""
    """Why the interval is wider than the samples say; empty where it is not."""

    @property
    def difference(self) -> float | None:
        """After less before."""
        return None if self.before is None or self.after is None else self.after - self.before

    @property
    def verdict(self) -> str:
        """``faster``, ``smaller``, ``better`` … or ``same``, ``no difference shown``, ``invalid``.

        Empty where they cannot be compared.
        """
        if self.reason or self.before is None or self.after is None:
            return ""
        less, more = {
            "time": ("faster", "slower"),
            "bytes": ("smaller", "larger"),
            "share": ("worse", "better"),
            "count": ("fewer", "more"),
        }[self.metric.kind]
        if self.metric.is_exact:
            alike = ALIKE * self.before if self.metric.kind == "count" else 0
            if abs(self.after - self.before) <= alike:
                return "same"
            return less if self.after < self.before else more
        assert self.ratio is not None
        return {"faster": less, "slower": more}.get(self.ratio.verdict, self.ratio.verdict)

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        ratio = self.ratio
        return {
            "metric": self.metric.name,
            "before": self.before,
            "after": self.after,
            "ratio": ratio and ratio.value,
            "low": ratio and ratio.low,
            "high": ratio and ratio.high,
            "confidence": ratio and ratio.confidence,
            "verdict": self.verdict,
            "reason": self.reason,
            "widened": self.widened,
        }


def change(
    metric: Metric, before: Row, after: Row, *, valid: bool, machine: Ratio | None
) -> Change | None:
    """How a metric changed; None where neither side has it.

    Args:
        metric: which.
        before: the row of the earlier result.
        after: the row of the later one.
        valid: whether both may be trusted.
        machine: how long the same work took the machine itself; None if nothing is known of it. As
            nobody knows how much of it hit the file, the interval is widened from none to all.
    """
    ends = _shown(metric, before), _shown(metric, after)
    if ends == (None, None) and (
        metric.percent is None or not (before.samples_ns and after.samples_ns)
    ):
        return None
    if None in ends:
        return Change(
            metric=metric, before=ends[0], after=ends[1], reason=_missing(metric, before, after)
        )
    if metric.name == "accuracy":
        reason = _other_data(before, after)
        return Change(metric=metric, before=ends[0], after=ends[1], reason=reason)
    values = _values(metric, before), _values(metric, after)
    if min(*values[0], *values[1]) <= 0:
        reason = "it is 0 in a process, which no ratio can be taken of"
        return Change(metric=metric, before=ends[0], after=ends[1], reason=reason)
    noise = RUNS_NOISE if metric.kind == "time" else NOISE
    ratio = unpaired_values(values[1], values[0], noise=noise, valid=valid or metric.is_exact)
    if machine is not None and metric.kind == "time":
        low, high = ratio.low / max(1, machine.high), ratio.high / min(1, machine.low)
        ratio = replace(ratio, low=low, high=high)
    ratio, widened = _with_tails(metric, before, after, ratio)
    return Change(metric=metric, before=ends[0], after=ends[1], ratio=ratio, widened=widened)


def _with_tails(metric: Metric, before: Row, after: Row, ratio: Ratio) -> tuple[Ratio, str]:
    """The interval with room for what other programs may have done to either side's tail."""
    if metric.percent is None or not (any(before.preempted) or any(after.preempted)):
        return ratio, ""
    measured = _values(metric, before), _values(metric, after)
    quiet = undisturbed(before, metric.percent), undisturbed(after, metric.percent)
    medians = [[statistics.median(side) for side in sides] for sides in (quiet, measured)]
    if all(left > _MATTERS * all_ for left, all_ in zip(*medians, strict=True)):
        return ratio, ""
    low = min(ratio.low, unpaired_values(quiet[1], measured[0], widen=False).low)
    high = max(ratio.high, unpaired_values(measured[1], quiet[0], widen=False).high)
    shares = percent(preempted_share(before)), percent(preempted_share(after))
    widened = (
        f"other programs took the processor in up to {shares[0]} of the earlier samples, and "
        f"{shares[1]} of the later, and may have made the slowest {100 - metric.percent:.0f} %"
    )
    return replace(ratio, low=low, high=high), widened


def _shown(metric: Metric, row: Row) -> float | None:
    if metric.percent is not None:
        found = row.of_percentile(metric.percent)
        return None if found is None else found.value
    if metric.start:
        return row.of_starts(metric.start)
    if metric.name == "accuracy":
        value = (row.accuracy or {}).get("value")
        return float(value) if isinstance(value, int | float) else None
    if metric.name == "instructions":
        return None if row.instructions is None else row.instructions[TOTAL]
    return {"size": row.size_bytes, "gzip": row.gzip_bytes}[metric.name]


def _values(metric: Metric, row: Row) -> list[float]:
    """One for each process."""
    if metric.percent is not None:
        return [nearest_rank(run, metric.percent) for run in row.samples_ns]
    if metric.start:
        return row.start_values(metric.start)
    shown = _shown(metric, row)
    assert shown is not None
    return [shown]


def _missing(metric: Metric, before: Row, after: Row) -> str:
    if metric.percent is not None and before.samples_ns and after.samples_ns:
        fewest = min(before.sample_count, after.sample_count)
        return f"{fewest} samples are too few; {needed(metric.percent)} are needed"
    return "only one of the two has it"


def _other_data(before: Row, after: Row) -> str:
    ours, theirs = before.accuracy or {}, after.accuracy or {}
    for key in ("metric", "samples", "data"):
        first, second = (PurePath(str(one.get(key))).name for one in (ours, theirs))
        if first != second:
            return f"it was measured otherwise: {key} {first}, then {second}"
    return ""
