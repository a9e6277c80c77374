"""What ``edgekit evaluate`` shows when it is done."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import click

from edgekit.evaluation import Against, Estimate, Evaluation, FileScore, Share


def print_table(evaluation: Evaluation) -> None:
    """What was done, then a line for each file."""
    click.echo(_heading(evaluation))
    scored = [file for file in evaluation.files if not file.error]
    columns = _columns(evaluation)
    rows = [[title for title, _ in columns]]
    rows += [[cell(file) for _, cell in columns] for file in scored]
    keep = [i for i in range(len(columns)) if i == 0 or any(row[i] for row in rows[1:])]
    names = 2 if 1 in keep else 1
    for line in _aligned(([row[i] for i in keep] for row in rows), names):
        click.echo(line)
    if any(file.against_first for file in scored):
        click.echo(_legend(evaluation))


def _heading(evaluation: Evaluation) -> str:
    count = f"{evaluation.samples:,} samples"
    if evaluation.samples < evaluation.available:
        count = f"{evaluation.samples:,} of {evaluation.available:,} samples"
    task = evaluation.task
    if evaluation.task_was_guessed:
        task_text = f"{task}, as labels and outputs suggest" if evaluation.has_labels else task
    else:
        task_text = task
    parts = [f"{evaluation.data}: {count}, {task_text}"]
    if evaluation.preprocess:
        steps = ", ".join(
            text if len(evaluation.preprocess) == 1 else f"{name}:{text}"
            for name, text in evaluation.preprocess.items()
        )
        parts.append(f"prepared by {steps} (from {evaluation.preprocess_from})")
    return "; ".join(parts)


def _columns(evaluation: Evaluation) -> list[tuple[str, Callable[[FileScore], str]]]:
    """Titles, and what each column shows of a file; columns that stay empty are not shown."""
    return [
        ("file", lambda f: f.path),
        ("on", _place),
        ("size", lambda f: _size(f.size_bytes)),
        ("accuracy [95 %]", lambda f: _percent(f.accuracy)),
        (f"top-{evaluation.k} [95 %]", lambda f: _percent(f.top_k)),
        ("MAE [95 %]", lambda f: _number(f.mae)),
        ("RMSE [95 %]", lambda f: _number(f.rmse)),
        ("changed [95 %]", lambda f: _percent(f.against_first and f.against_first.changed)),
        ("rel. change", lambda f: _relative(f.against_first)),
        ("difference [95 %]", lambda f: _difference(f.against_first)),
        ("", lambda f: _meaning(f.against_first)),
    ]


def _place(file: FileScore) -> str:
    return f"{file.target or ''}{' (emulated)' if file.emulated else ''}"


def _legend(evaluation: Evaluation) -> str:
    if evaluation.task == "regression":
        return (
            "difference: mean absolute error against the first file, on the same samples, "
            "with its 95 % interval."
            if evaluation.has_labels
            else "rel. change: RMS of the difference from the first file, over RMS of that."
        )
    told = "changed: another class predicted than by the first file"
    if not evaluation.has_labels:
        return f"{told}."
    return (
        f"{told}. difference: of accuracy, in points, with its 95 % interval; "
        "p: McNemar's exact test."
    )


def _aligned(rows: Iterable[list[str]], names: int) -> list[str]:
    """The first `names` columns and the last one flush left, the others flush right."""
    table = list(rows)
    widths = [max(len(row[i]) for row in table) for i in range(len(table[0]))]
    lines = []
    for row in table:
        first, *middle = (
            cell.ljust(width) if i < names or i == len(row) - 1 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        lines.append("  ".join([first, *middle]).rstrip())
    return lines


def _percent(share: Share | None) -> str:
    if share is None:
        return ""
    low, high = share.interval.low * 100, share.interval.high * 100
    return f"{share.value:.2%} [{low:.1f}, {high:.1f}]"


def _number(estimate: Estimate | None) -> str:
    if estimate is None:
        return ""
    return f"{estimate.value:.4g} [{estimate.interval.low:.4g}, {estimate.interval.high:.4g}]"


def _relative(against: Against | None) -> str:
    if against is None or against.relative_difference is None:
        return ""
    return f"{against.relative_difference:.2g}"


def _difference(against: Against | None) -> str:
    if against is None or against.difference is None:
        return ""
    value, interval = against.difference.value, against.difference.interval
    if against.p_value is None:
        return f"{value:+.3g} [{interval.low:+.3g}, {interval.high:+.3g}]"
    return f"{value * 100:+.2f} [{interval.low * 100:+.2f}, {interval.high * 100:+.2f}]"


def _meaning(against: Against | None) -> str:
    if against is None or against.is_significant is None:
        return ""
    p = "" if against.p_value is None else f" (p {_p(against.p_value)})"
    if not against.is_significant:
        return f"no difference shown{p}"
    assert against.difference is not None
    is_better = (against.difference.value > 0) == (against.p_value is not None)
    return f"{'better' if is_better else 'worse'}{p}"


def _p(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def _size(size_bytes: int) -> str:
    if size_bytes < 10_000:
        return f"{size_bytes} B"
    return f"{size_bytes / 1000:,.0f} kB" if size_bytes < 1e7 else f"{size_bytes / 1e6:,.1f} MB"
