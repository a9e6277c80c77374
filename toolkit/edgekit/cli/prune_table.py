"""What ``edgekit prune`` shows when it is done."""

from __future__ import annotations

import shutil
import textwrap
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import click

from edgekit.cli.table import aligned, printable, size_text
from edgekit.evaluation import Estimate, Share
from edgekit.prune_amount import percent
from edgekit.prune_verdict import FileFacts, LatencyRatio, Pair, Verdict
from edgekit.pruned import Cut, EpochRecord, Kept, Pruned, Reached
from edgekit.verdict_sentences import of_pair

_NAMES = 3
_WIDEST = 100
_MISSING = "-"


def print_table(pruned: Pruned, *, verbose: bool = False) -> None:
    """What was cut, what was left, how training went, and the verdict.

    Args:
        pruned: the result.
        verbose: a line for each group of channels, layer and epoch.
    """
    for line in _lines(pruned, verbose=verbose):
        click.echo(printable(line))


def _lines(pruned: Pruned, *, verbose: bool) -> Iterator[str]:
    yield from _wrapped("", f"{pruned.path}: {_how(pruned)}")
    yield from _totals(pruned)
    if pruned.target is not None:
        yield from _wrapped("target", _target(pruned.target))
    yield from _cuts(pruned.cuts, verbose=verbose)
    yield from _zeros(pruned, verbose=verbose)
    yield from _left(pruned.left, verbose=verbose)
    yield from _training(pruned, verbose=verbose)
    for note in pruned.notes:
        yield from _wrapped("note", note)
    if pruned.verdict is not None:
        yield ""
        yield from _verdict(pruned.verdict, verbose=verbose)


def _how(pruned: Pruned) -> str:
    steps = [f"{pruned.method} pruning"] if pruned.method else []
    if pruned.clusters is not None:
        steps.append(f"{pruned.clusters} clusters")
    if pruned.qat:
        steps.append("quantization-aware training")
    original = Path(pruned.source.get("path", "")).name
    return f"{original}, {', '.join(steps) or 'trained further'}"


def _totals(pruned: Pruned) -> Iterator[str]:
    rows = [("parameters", pruned.parameters)]
    if pruned.multiply_adds is not None:
        rows.append(("multiply-adds", pruned.multiply_adds))
    table = [
        [f"{name}:", f"{before:,}", "->", f"{after:,}", _less(before, after)]
        for name, (before, after) in rows
    ]
    yield from aligned(table, left=(0,))


def _less(before: int, after: int) -> str:
    if before == after or not before:
        return "(the same)"
    return f"({(after / before - 1) * 100:+.1f} %)"


def _target(reached: Reached) -> str:
    asked, found, whole = reached.asked, reached.reached, reached.original
    if reached.name == "sparsity":
        texts = [f"sparsity {percent(asked)}", f"{found * 100:.1f} %"]
    elif reached.name == "latency":
        texts = [f"{asked:g}x the latency", f"{found:.2f}x"]
    elif reached.name == "size":
        texts = [f"at most {size_text(int(asked))}", size_text(int(found))]
    else:
        texts = [f"at most {asked:,.0f} multiply-adds", f"{found:,.0f}"]
    if whole:
        shares = (asked / whole * 100, found / whole * 100)
        texts = [f"{text} ({share:.1f} %)" for text, share in zip(texts, shares, strict=True)]
    return f"{texts[0]}; {'reached' if reached.is_met else 'NOT reached'}: {texts[1]}"


def _cuts(cuts: Sequence[Cut], *, verbose: bool) -> Iterator[str]:
    if not cuts:
        return
    before, after = sum(cut.before for cut in cuts), sum(cut.after for cut in cuts)
    kinds = Counter(cut.kind for cut in cuts)
    told = ", ".join(f"{count} of {kind}" for kind, count in kinds.most_common())
    told = f" of {cuts[0].kind}" if len(kinds) == 1 else f" ({told})"
    changed = sum(cut.after < cut.before for cut in cuts)
    groups = f"{changed} of {_plural(len(cuts), 'group')}{told}"
    yield from _wrapped("cut", f"{before:,} -> {after:,} channels, in {groups}")
    if verbose:
        rows = [[f"  {cut.name}", f"{cut.before} -> {cut.after} {cut.kind}"] for cut in cuts]
        yield from aligned(rows, left=(0, 1))


def _zeros(pruned: Pruned, *, verbose: bool) -> Iterator[str]:
    layers, left = pruned.zeros, {one.layer for one in pruned.left}
    taken = [one for one in layers if one.layer not in left]  # others may be in clusters
    weights, zeros = sum(one.weights for one in taken), sum(one.zeros for one in taken)
    sparsity = pruned.sparsity if pruned.sparsity is not None else zeros / max(1, weights)
    if pruned.sparsity is not None or zeros:
        of = f" of {weights:,} weights in {_plural(len(taken), 'layer')}" if taken else ""
        yield from _wrapped("zeros", f"{sparsity * 100:.1f} %{of}")
    if verbose and layers:
        rows = [
            [
                f"  {one.layer}",
                f"{one.zeros / max(1, one.weights) * 100:.1f} % of {one.weights:,}",
                f"{one.clusters} clusters" if one.clusters is not None else "",
            ]
            for one in layers
        ]
        yield from aligned(rows)


def _left(left: Sequence[Kept], *, verbose: bool) -> Iterator[str]:
    """Layers by the reason they were left alone for."""
    reasons: dict[str, list[str]] = {}
    for one in left:
        reasons.setdefault(one.reason, []).append(one.layer)
    for reason, layers in reasons.items():
        shown = layers if verbose else layers[:_NAMES]
        more = f" and {len(layers) - len(shown)} more" if len(layers) > len(shown) else ""
        yield from _wrapped("left alone", f"{', '.join(shown)}{more}: {reason}")


def _training(pruned: Pruned, *, verbose: bool) -> Iterator[str]:
    epochs = [record for record in pruned.history if record.epoch > 0]
    if not epochs:
        return
    stages = list(dict.fromkeys(record.stage for record in pruned.history))
    last = [record for record in pruned.history if record.stage == stages[-1]]
    best = next((record for record in last if record.epoch == pruned.best), last[-1])
    told = f"{_plural(len(epochs), 'epoch')}, {_measured(pruned.history[0], best)}"
    if pruned.best is not None and best is not last[-1]:
        told += f", best in epoch {best.epoch}{f' of {best.stage}' if len(stages) > 1 else ''}"
    if pruned.stopped:
        told += f"; {pruned.stopped}"
    yield from _wrapped("trained", told)
    if verbose:
        for record in epochs:
            values = ", ".join(f"{name} {value:.4g}" for name, value in record.values.items())
            name = f"{record.stage} {record.epoch}" if len(stages) > 1 else record.epoch
            yield f"  {name}: {values}{', ' if record.progress else ''}{record.progress}"


def _measured(before: EpochRecord | None, after: EpochRecord) -> str:
    """The validation accuracy, else the loss: before training and after."""
    names = sorted(after.values, key=lambda name: (not name.startswith("val_"), "acc" not in name))
    for name in names:
        shown = name.removeprefix("val_")
        kind = f"validation {shown}" if name.startswith("val_") else shown
        texts = [
            f"{record.values[name] * 100:.1f} %" if "acc" in name else f"{record.values[name]:.4g}"
            for record in (before, after)
            if record is not None and name in record.values
        ]
        return f"{kind} {' -> '.join(texts)}"
    return "no measurements"


def _verdict(verdict: Verdict, *, verbose: bool) -> Iterator[str]:
    samples = f"{verdict.samples:,} test samples" if verdict.samples else "no test samples"
    processes = f"; p50 over {verdict.processes} processes" if verdict.processes else ""
    yield f"TFLite files, before and after; {samples}{processes}"
    columns = ["", "size", "gzipped", _quality_title(verdict), "p50", "ratio [95 %]"]
    rows = [columns, *(row for pair in verdict.pairs for row in _pair(pair))]
    keep = [i for i in range(len(columns)) if i == 0 or any(row[i] for row in rows[1:])]
    yield from aligned([[row[i] for i in keep] for row in rows])
    for pair in verdict.pairs:
        yield from _wrapped(pair.precision, *of_pair(pair))
    for pair in verdict.pairs:
        for name, facts in (("before", pair.original), ("after", pair.pruned)):
            for note in facts.notes if facts else ():
                yield from _wrapped(f"{pair.precision} {name}", note)
    for note in verdict.notes if verbose else verdict.notes[:_NAMES]:
        yield from _wrapped("note", note)


def _quality_title(verdict: Verdict) -> str:
    return "MAE [95 %]" if verdict.task == "regression" else "accuracy [95 %]"


def _pair(pair: Pair) -> Iterator[list[str]]:
    yield [f"{pair.precision} before", *_file(pair.original), ""]
    yield [f"{pair.precision} after", *_file(pair.pruned), _ratio(pair)]


def _file(facts: FileFacts | None) -> list[str]:
    if facts is None:
        return [_MISSING] * 4
    return [
        size_text(facts.size_bytes),
        size_text(facts.gzip_bytes),
        _quality(facts.accuracy, facts.mae),
        "" if facts.p50_ns is None else _time(facts.p50_ns),
    ]


def _quality(accuracy: Share | None, mae: Estimate | None) -> str:
    if accuracy is not None:
        low, high = accuracy.interval.low * 100, accuracy.interval.high * 100
        return f"{accuracy.value * 100:.1f}% [{low:.1f}, {high:.1f}]"
    if mae is not None:
        return f"{mae.value:.3g} [{mae.interval.low:.3g}, {mae.interval.high:.3g}]"
    return ""


def _ratio(pair: Pair) -> str:
    ratio: LatencyRatio | None = pair.latency
    if ratio is None:
        return ""
    return f"{ratio.value:.2f} [{ratio.low:.2f}, {ratio.high:.2f}]"


def _time(ns: float) -> str:
    for unit, size in (("s", 1e9), ("ms", 1e6)):
        if ns >= size:
            return f"{ns / size:.3g} {unit}"
    return f"{ns / 1e3:.3g} us"


def _plural(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _wrapped(title: str, *texts: str) -> Iterable[str]:
    """Each text as lines no wider than the terminal; the title before the first one."""
    indent = f"{title}: " if title else ""
    width = max(40, min(_WIDEST, shutil.get_terminal_size().columns))
    for number, text in enumerate(texts):
        yield from textwrap.wrap(
            text,
            width,
            initial_indent=indent if number == 0 else " " * len(indent),
            subsequent_indent=" " * (len(indent) + 2 * (len(texts) > 1)),
            break_long_words=False,
            break_on_hyphens=False,
        )
