"""Whether a change may go in: limits on how much worse the measurements may get.

    --max-regress p50=5% --max-regress memory=10%,size=0%,accuracy=0.5pt

A regression **fails** when it is above the limit and its interval excludes "no change": the value
is above ``1 + limit``, and the lower end above 1 by more than noise (for times 3 %, for memory 1 %;
or by the limit, if that is less). It **passes** when the value is within the limit and the interval
leaves no room for twice that. All else is **undecided** (exit code 3): with so few or so scattered
samples nobody knows; measure more processes, or on a calmer machine. What is the same at every
measurement (sizes, instructions, accuracy on the same data) is decided by its value alone. A tail
that other programs may have made (`edgekit_benchmarks.tail`) fails nothing.

So a gate is wrong rarely in either direction. Of 500 simulated changes each, with 9 processes that
differ by 1 %, ``p50=5%`` failed none that changed nothing and all that cost 7 % or more. With one
process in ten disturbed by another 10 % it failed none of the former (4 % were undecided) and 94 %
of those that cost 10 % (the rest were undecided). benchmarks/suites/truth.py does it for real.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

from edgekit.errors import UsageError
from edgekit_benchmarks.comparison import Comparison, RowChange
from edgekit_benchmarks.metric import METRICS, Change
from edgekit_benchmarks.ratio import TOO_FEW, enough_to_compare
from edgekit_benchmarks.report_numbers import counted, factor, factor_enclosed

Outcome = Literal["passed", "failed", "undecided"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """How much worse a metric may get."""

    metric: str
    amount: float
    """A share: 0.05 is five percent, or of accuracy five points."""

    @property
    def text(self) -> str:
        """As it is written: ``p50=5%``."""
        unit = "pt" if self.metric == "accuracy" else "%"
        return f"{self.metric}={self.amount * 100:.6g}{unit}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What one limit says of one row."""

    row: str
    limit: Limit
    outcome: Outcome
    text: str

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "row": self.row,
            "metric": self.limit.metric,
            "limit": self.limit.text,
            "outcome": self.outcome,
            "text": self.text,
        }


def limits(texts: Iterable[str]) -> tuple[Limit, ...]:
    """Limits as they are written, several in one text separated by commas.

    Raises:
        UsageError: no such metric, a wrong unit, no number, or a metric named twice.

    >>> [limit.text for limit in limits(["p50=5%,size=0%", "accuracy=0.5pt"])]
    ['p50=5%', 'size=0%', 'accuracy=0.5pt']
    """
    found: dict[str, Limit] = {}
    for text in (part.strip() for several in texts for part in several.split(",")):
        limit = _limit(text)
        if limit.metric in found:
            message = f"--max-regress {text}: {limit.metric} has a limit already; give one of them"
            raise UsageError(message)
        found[limit.metric] = limit
    return tuple(found.values())


def _limit(text: str) -> Limit:
    name, _, amount = text.partition("=")
    name = name.strip()
    if name not in METRICS:
        message = f"--max-regress {text}: no metric {name!r}; there are: {', '.join(METRICS)}"
        raise UsageError(message)
    unit = "pt" if METRICS[name].kind == "share" else "%"
    matched = re.fullmatch(rf"\s*(\d{{1,6}}(?:\.\d{{1,9}})?|\.\d{{1,9}})\s*{unit}\s*", amount)
    if matched is None:
        example = "0.5pt" if unit == "pt" else "5%"
        message = f"--max-regress {text}: {amount!r} is no limit; write e.g. {name}={example}"
        raise UsageError(message)
    return Limit(metric=name, amount=float(matched[1]) / 100)


def decide(comparison: Comparison, given: Iterable[Limit]) -> tuple[Decision, ...]:
    """Every limit on every row of the earlier result, also on those that have no partner."""
    wanted = tuple(given)
    decisions = [_decided(row, limit) for row in comparison.rows for limit in wanted]
    failures = {(one.path, one.target, one.threads): one for one in comparison.after.failures}
    for row in comparison.only_before:
        failure = failures.get((row.path, row.target, row.threads)) or failures.get(
            (row.path, row.target, None)
        )
        outcome: Outcome = "failed" if failure else "undecided"
        text = (
            f"could not be measured: {failure.error}" if failure else "is not in the later result"
        )
        decisions += [
            Decision(row=row.label, limit=limit, outcome=outcome, text=text) for limit in wanted
        ]
    return tuple(decisions)


def exit_code(comparison: Comparison, decisions: Iterable[Decision]) -> int:
    """1 when a limit is broken; else 3 when one is undecided or a row is INVALID; else 0."""
    outcomes = {decision.outcome for decision in decisions}
    if "failed" in outcomes:
        return 1
    return 3 if "undecided" in outcomes or not comparison.valid else 0


def _decided(row: RowChange, limit: Limit) -> Decision:
    change = row.change(limit.metric)
    if change is None:
        outcome, text = _undecided("neither result has it")
    elif change.reason:
        outcome, text = _undecided(change.reason)
    elif change.metric.name == "accuracy":
        outcome, text = _accuracy(change, limit)
    elif change.metric.is_exact:
        assert change.ratio is not None
        outcome = "failed" if change.ratio.value > 1 + limit.amount + 1e-12 else "passed"
        assert change.difference is not None
        more = "+" if change.difference >= 0 else ""
        what = "instruction" if change.metric.kind == "count" else "byte"
        text = f"{more}{counted(round(change.difference), what)}, {_exact(change.ratio.value)}"
    elif row.invalid:
        outcome, text = _undecided("; ".join(row.invalid))
    else:
        outcome, text = _measured(change, limit)
    return Decision(row=row.label, limit=limit, outcome=outcome, text=text)


def _exact(ratio: float) -> str:
    """As in ``1.0098x``: what is counted is known better than what is measured."""
    return f"{ratio:.4f}x" if 0.9 < ratio < 1.1 else factor(ratio)


def _undecided(why: str) -> tuple[Outcome, str]:
    return "undecided", why


def _accuracy(change: Change, limit: Limit) -> tuple[Outcome, str]:
    assert change.difference is not None
    text = f"{change.difference * 100:+.2f} points on the same samples"
    return ("failed" if -change.difference > limit.amount + 1e-12 else "passed"), text


def _measured(change: Change, limit: Limit) -> tuple[Outcome, str]:
    ratio = change.ratio
    assert ratio is not None
    text = factor_enclosed(ratio.value, ratio.low, ratio.high)
    if not ratio.is_sure:
        return _undecided(
            f"{text}: {TOO_FEW}; {enough_to_compare()} in each of the results are enough"
        )
    advice = (
        f"{change.widened}; use a calmer machine" if change.widened else "measure more processes"
    )
    if ratio.value > 1 + limit.amount:
        if ratio.low > 1 + min(limit.amount, ratio.noise):
            return "failed", text
        return _undecided(f"{text}: above the limit, but perhaps by chance; {advice}")
    if ratio.high > 1 + 2 * max(limit.amount, ratio.noise):
        return _undecided(f"{text}: may be twice the limit; {advice}")
    return "passed", text
