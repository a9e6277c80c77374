"""What ``edgekit run`` shows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby

from edgekit.cli.table import aligned, printable
from edgekit.run_result import Ranked, Result, RunReport, Summary

_ROWS = 20
"""Of one INPUT, so many samples are shown."""
_VALUES_ALONE, _VALUES_IN_ROWS = 16, 4


def lines(report: RunReport, *, most: int) -> list[str]:
    """The classes or outputs of the only sample, or a table of all, with `most` classes of each."""
    results = report.results
    if not results:
        return []
    if len(results) == 1 and not report.failures:
        return _alone(results[0])
    shown = [
        result for _, some in groupby(results, key=lambda r: r.input) for result in [*some][:_ROWS]
    ]
    are_classes = all(result.classes for result in shown)
    made = (
        aligned(_class_rows(shown, most), left=[0, *range(1, 2 * most, 2)])
        if are_classes
        else aligned(_output_rows(shown), left=range(6))
    )
    if len(shown) < len(results):
        made.append(f"… and {len(results) - len(shown):,} more; --json prints all")
    return [printable(line) for line in made]


def _alone(result: Result) -> list[str]:
    if result.classes:
        return [printable(line) for line in aligned(_alone_rows(result.classes))]
    rows = [_output(one, _VALUES_ALONE) for one in result.outputs]
    return [printable(line) for line in aligned(rows, left=range(5))]


def _alone_rows(classes: Sequence[Ranked]) -> Iterator[list[str]]:
    for one, score in zip(classes, _scores(classes), strict=True):
        is_named = one.label != str(one.index)
        yield [one.label if is_named else f"class {one.index}", score]


def _class_rows(results: Sequence[Result], most: int) -> Iterator[list[str]]:
    most = min(most, max(len(result.classes) for result in results))
    head = [cell for n in range(most) for cell in (f"class {n + 1}" if n else "class", "score")]
    yield ["input", *head]
    for result in results:
        classes = result.classes[:most]
        pairs = zip(classes, _scores(classes), strict=True)
        cells = [cell for one, score in pairs for cell in (one.label, score)]
        yield [result.title, *cells, *[""] * (len(head) - len(cells))]


def _output_rows(results: Sequence[Result]) -> Iterator[list[str]]:
    yield ["input", "output", "dtype", "shape", "values"]
    for result in results:
        for one in result.outputs:
            yield [result.title, *_output(one, _VALUES_IN_ROWS)]


def _output(one: Summary, most: int) -> list[str]:
    shape = f"({', '.join(map(str, one.shape))})"
    return [one.name, one.dtype, shape, _values(one, most)]


def _values(one: Summary, most: int) -> str:
    flat = list(_flat(one.values))
    if one.values is not None and len(flat) <= most:
        return " ".join("nan" if value is None else _number(value) for value in flat)
    told = []
    if one.min is not None and one.mean is not None and one.max is not None:
        told.append(f"from {one.min:.4g} to {one.max:.4g}, mean {one.mean:.4g}")
    if one.not_finite:
        told.append(f"{one.not_finite:,} NaN or infinite")
    return ", ".join(told)


def _flat(values: object) -> Iterator[object]:
    if isinstance(values, list):
        for value in values:
            yield from _flat(value)
    else:
        yield values


def _number(value: object) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _scores(classes: Sequence[Ranked]) -> list[str]:
    form = ".4f" if all(-1 <= one.score <= 1 for one in classes) else ".4g"
    return [f"{one.score:{form}}" for one in classes]
