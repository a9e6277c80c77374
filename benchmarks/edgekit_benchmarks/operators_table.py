"""Operator times as a table for the terminal: the dearest first, and the check below."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from edgekit_benchmarks.operators import OperatorProfile
from edgekit_benchmarks.report_numbers import share, time_unit

MOST = 15
_NAME_LENGTH = 44
_ELLIPSIS = "\N{HORIZONTAL ELLIPSIS}"


def operators_table(profile: OperatorProfile) -> str:
    """What the operators take, by their share, and whether to believe it.

    Args:
        profile: as `edgekit_benchmarks.operators.profile_operators` gives it.
    """
    return table_of(profile.to_dicts(), profile.check_to_dict())


def table_of(operators: Sequence[Mapping[str, Any]], check: Mapping[str, Any]) -> str:
    """The same from a row of a result.

    Args:
        operators: ``operators`` of the row.
        check: its ``operators_check``.
    """
    ordered = sorted(operators, key=lambda one: -float(one["ns"]))
    shown, rest = ordered[:MOST], ordered[MOST:]
    unit = time_unit([max((float(one["ns"]) for one in shown), default=0.0)])

    def time(value: float) -> str:
        return unit.text(value) if value else "0"

    rows = [["#", "operator", "name", unit.name, "between", "share", "GMAC/s"]]
    for one in shown:
        interval = one.get("interval_ns")
        rows.append(
            [
                str(one["index"]),
                str(one["operator"]),
                _shortened(str(one["name"])),
                time(one["ns"]),
                f"{time(interval[0])} and {time(interval[1])}" if interval else "",
                share(one["share"]),
                _speed(one),
            ]
        )
    if rest:
        took = sum(float(one["ns"]) for one in rest)
        part = sum(float(one["share"]) for one in rest)
        rows.append(["", f"{len(rest)} others", "", time(took), "", share(part), ""])
    rows.append(["", "sum", "", time(check["sum_ns"]), "", "", ""])
    rows.append(["", "between operators", "", time(check["between_ns"]), "", "", ""])
    rows.append(["", "whole inference", "", time(check["whole_ns"]), "", "", ""])
    return "\n".join([*_aligned(rows), _verdict(check)])


def _speed(one: Mapping[str, Any]) -> str:
    """Thousand million multiply-adds a second."""
    count, took = one.get("multiply_adds"), float(one["ns"])
    return f"{count / took:.3g}" if count and took else ""


def _verdict(check: Mapping[str, Any]) -> str:
    told = f"sum {check['ratio']:.2f} of the whole ({check['method']})"
    return told if check.get("trusted", True) else f"{told}: do not trust this profile"


def _shortened(name: str) -> str:
    return name if len(name) <= _NAME_LENGTH else f"{_ELLIPSIS}{name[1 - _NAME_LENGTH :]}"


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    texts = {1, 2}  # the others are numbers, which end alike
    return [
        "  ".join(
            cell.ljust(width) if at in texts else cell.rjust(width)
            for at, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
