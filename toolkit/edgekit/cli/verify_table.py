"""What ``edgekit verify`` shows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from edgekit.cli.table import aligned, printable

_HEAD = ["file", "on", "inputs", "output", "against", "same bits", "most apart", "class", ""]


def lines(report: Mapping[str, Any]) -> list[str]:
    """A line for each output in each place, and one for each runtime.

    Args:
        report: as ``--json`` prints it.
    """
    rows = [row for file in report["files"] for row in _rows(file)]
    if not rows:
        return []
    made = aligned([_HEAD, *rows], left=(0, 1, 2, 3, 4, 6, 8))
    return [printable(line) for line in (*made, "", *_runtimes(report))]


def _rows(file: Mapping[str, Any]) -> Iterator[list[str]]:
    for target in file["targets"]:
        for one in target["outputs"]:
            yield [
                Path(file["path"]).name,
                _place(target),
                f"{one['inputs']} ({one['samples']})",
                one["output"],
                "here" if one["against"] == "here" else "where it was made",
                "" if one["equal"] is None else _share(one["equal"], one["values"]),
                _apart(one),
                "" if one["argmax_agreement"] is None else f"{one['argmax_agreement']:.1%}",
                _verdict(one),
            ]


def _place(target: Mapping[str, Any]) -> str:
    return f"{target['target']}{' (emulated)' if target['emulated'] else ''}"


def _share(equal: int, values: int) -> str:
    """All only if it is all.

    >>> _share(99_999, 100_000)
    '99.99 %'
    """
    return "all" if equal == values else f"{int(equal / values * 10_000) / 100:.2f} %"


def _apart(one: Mapping[str, Any]) -> str:
    if one["equal"] is not None and one["equal"] == one["values"]:
        return ""
    error = one["max_abs_error"]
    if error is None:
        return "NaN, or another shape"
    if one["max_steps"] is not None:
        steps = one["max_steps"]
        return f"{steps} step{'s' if steps != 1 else ''} ({error:.2g})"
    return f"{error:.2g}"


def _verdict(one: Mapping[str, Any]) -> str:
    if one["tolerance"] is None:
        return "not judged"
    told = f"(tolerance {one['tolerance']:.2g})"
    return f"agrees {told}" if one["agrees"] else f"DIFFERS {told}"


def _runtimes(report: Mapping[str, Any]) -> list[str]:
    told: dict[str, list[str]] = {}
    for file in report["files"]:
        for target in file["targets"]:
            known = told.setdefault(_place(target), [])
            if target["runtime"] and target["runtime"] not in known:
                known.append(target["runtime"])
    return [f"{place}: {', '.join(runtimes)}" for place, runtimes in told.items() if runtimes]
