"""The honest words for what pruning changed in a pair of files."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from edgekit.evaluation import Against, Share

if TYPE_CHECKING:
    from edgekit.prune_verdict import LatencyRatio, Pair

_SAME = 0.01
"""Sizes that differ by less are the same to anybody."""
_SMALL_LOSS = 0.01
"""A loss of accuracy that is excluded or not: worth a word from a point on."""


def of_pair(pair: Pair) -> Iterator[str]:
    """Size, latency and quality, in this order."""
    if pair.original is None or pair.pruned is None:
        yield f"not compared: {pair.error}"
        return
    raw = (pair.original.size_bytes, pair.pruned.size_bytes)
    yield of_sizes(raw, (pair.original.gzip_bytes, pair.pruned.gzip_bytes))
    if pair.latency is not None:
        yield of_latency(pair.latency)
    else:
        yield f"latency not measured: {pair.unmeasured or 'not asked for'}"
    if pair.against is None:
        yield f"accuracy not measured: {pair.unscored or 'no data with labels'}"
    else:
        yield from _of_quality(pair, pair.against)


def of_sizes(raw: tuple[int, int], gzipped: tuple[int, int]) -> str:
    """On disk, and compressed for the download; before and after, in bytes.

    >>> of_sizes((327_000, 327_000), (297_000, 112_000))
    'not smaller on disk (same 327 kB), only the compressed download shrinks: 297 -> 112 kB (-62 %)'
    """
    compressed = f"gzipped {change(*gzipped)}"
    if raw[1] < raw[0] * (1 - _SAME):
        return f"smaller on disk: {change(*raw)}, {compressed}"
    is_same = raw[1] <= raw[0] * (1 + _SAME)
    size = f"same {one_size(raw[1])}" if is_same else change(*raw)
    if gzipped[1] < gzipped[0] * (1 - _SAME):
        return (
            f"not smaller on disk ({size}), only the compressed download shrinks: "
            f"{change(*gzipped)}"
        )
    return f"not smaller: {size} on disk, {compressed}"


def of_latency(ratio: LatencyRatio) -> str:
    """Faster only where the interval says so."""
    told = f"latency ratio {ratio.value:.2f} [{ratio.low:.2f}, {ratio.high:.2f}]"
    if ratio.meaning in ("faster", "slower"):
        return f"{ratio.meaning}: {told}"
    if ratio.meaning == "no difference shown":
        within = ", within the noise of the measurement" if ratio.high < 1 or ratio.low > 1 else ""
        return f"not faster: {told}{within}"
    return f"latency not judged: {ratio.meaning}"


def _of_quality(pair: Pair, against: Against) -> Iterator[str]:
    if against.difference is None:
        yield f"accuracy not measured: {pair.unscored or 'no data with labels'}"
    elif against.p_value is None:
        yield _of_errors(pair, against)
    else:
        yield _of_accuracy(against)
    if against.changed is not None:
        yield f"another class for {share(against.changed)} of {against.changed.samples:,} samples"
    elif against.difference is None and against.relative_difference is not None:
        yield f"outputs differ by {against.relative_difference:.1%} (RMS)"


def _of_accuracy(against: Against) -> str:
    assert against.difference is not None
    assert against.p_value is not None
    points = against.difference.value * 100
    low, high = (against.difference.interval.low * 100, against.difference.interval.high * 100)
    interval = f"[{low:+.1f}, {high:+.1f}]"
    p = "p < 0.001" if against.p_value < 0.001 else f"p {against.p_value:.2g}"
    if against.is_significant:
        word = "less" if points < 0 else "more"
        return f"{abs(points):.1f} points {word} accurate {interval}, shown by the data ({p})"
    loss = f"; a loss of {-low:.1f} points is not excluded" if low < -_SMALL_LOSS * 100 else ""
    return f"no loss of accuracy shown: {points:+.1f} points {interval}, {p}{loss}"


def _of_errors(pair: Pair, against: Against) -> str:
    assert against.difference is not None
    value, interval = against.difference.value, against.difference.interval
    told = f"{value:+.3g} [{interval.low:+.3g}, {interval.high:+.3g}]"
    before, after = (one and one.mae for one in (pair.original, pair.pruned))
    sizes = f"{before.value:.4g} -> {after.value:.4g}, " if before and after else ""
    if not against.is_significant:
        return f"no loss shown in the mean absolute error: {sizes}{told}"
    word = "larger" if value > 0 else "smaller"
    return f"mean absolute error {word}, shown by the data: {sizes}{told}"


def change(before: int, after: int) -> str:
    """Two sizes in one unit, and how much less that is.

    >>> change(297_000, 112_000), change(0, 0), change(99_000, 5_000)
    ('297 -> 112 kB (-62 %)', '0 -> 0 B', '99 -> 5.0 kB (-95 %)')
    """
    scale, unit = (1, "B") if max(before, after) < 10_000 else (1e3, "kB")
    if max(before, after) >= 1e7:
        scale, unit = 1e6, "MB"
    percent = f" ({(after / before - 1) * 100:+.0f} %)" if before else ""
    percent = percent.replace("-0 %", "0 %").replace("+0 %", "0 %")
    return f"{_number(before / scale, unit)} -> {_number(after / scale, unit)} {unit}{percent}"


def one_size(size_bytes: int) -> str:
    """A single one, in decimal units.

    >>> one_size(327_100), one_size(812)
    ('327 kB', '812 B')
    """
    return change(size_bytes, size_bytes).partition(" -> ")[2].rpartition(" (")[0] or "0 B"


def share(of: Share) -> str:
    """A share with its interval: ``3.2 % [2.4, 4.2]``."""
    low, high = of.interval.low * 100, of.interval.high * 100
    return f"{of.value * 100:.1f} % [{low:.1f}, {high:.1f}]"


def _number(value: float, unit: str) -> str:
    return f"{value:,.0f}" if unit == "B" or value >= 10 else f"{value:.1f}"
