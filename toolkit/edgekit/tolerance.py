"""How far a converted file may be from the original, and the verdict.

Two numbers are judged together, for each output:

- `relative_error`, RMS(output - reference) over the size of what varies in the reference (see
  `edgekit.difference`). At 0.7 the error carries half as much energy as the signal: nothing of
  that size is a rounding effect.
- `flips`, the share of decisions that changed: the lower end of its 95 % Wilson interval, so that
  one flip of four samples does not condemn a file (it may be a rate of 5 %), while 25 of 100 do;
  flips between scores that the reference itself holds nearly equal count less (`edgekit.compare`).

Agreement of decisions alone hides damage: a file may agree on 12 of 12 samples with a relative
error of 0.64. The error alone hides it too, where many classes share it. So:

- **passed**: both within the `passed` bounds;
- **failed**: relative_error / bound + flips / bound > 1 with the `failed` bounds: either one alone
  beyond its bound, or both well on the way;
- **drifted**: in between. Usable, perhaps; never silent.

NaN, infinity, a constant output, a missing output and a wrong shape or dtype fail whatever the
bounds are.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

from edgekit.compare import Comparison, OutputComparison
from edgekit.errors import UsageError
from edgekit.intervals import wilson
from edgekit.recipe import Precision

Status = Literal["passed", "drifted", "failed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """Largest values that are still within."""

    relative_error: float
    flips: float

    def __post_init__(self) -> None:
        """Refuse bounds that nothing can meet."""
        if not (self.relative_error >= 0 and 0 <= self.flips <= 1):
            message = (
                f"tolerance: relative_error={self.relative_error:g}, flips={self.flips:g} is not "
                "possible; relative_error is at least 0, flips a share between 0 and 1"
            )
            raise UsageError(message)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tolerance:
    """Within `passed`, all is well; beyond `failed`, the file is not put in place."""

    passed: Bounds
    failed: Bounds


_QUANTIZED = Tolerance(
    passed=Bounds(relative_error=0.1, flips=0.02),
    failed=Bounds(relative_error=0.7, flips=0.25),
)

TOLERANCES: dict[Precision, Tolerance] = {
    "float32": Tolerance(
        passed=Bounds(relative_error=1e-4, flips=0.01),
        failed=Bounds(relative_error=1e-3, flips=0.02),
    ),
    "float16": Tolerance(
        passed=Bounds(relative_error=0.02, flips=0.02),
        failed=Bounds(relative_error=0.1, flips=0.1),
    ),
    "dynamic": _QUANTIZED,
    "int8": _QUANTIZED,
    "int16x8": _QUANTIZED,
    "int4": Tolerance(
        passed=Bounds(relative_error=0.4, flips=0.1),
        failed=Bounds(relative_error=0.7, flips=0.35),
    ),
}
"""For each precision. Float files differ by the order of summation only, in deep nets by up to
1e-4; float16 by its 11 bits, in deep nets by a few hundredths; 8-bit files of trained nets by 0.01
to 0.05. A classifier that loses half a point of accuracy flips some 2 to 4 % of its decisions."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What a comparison means, and why when it is not ``passed``."""

    status: Status
    reasons: tuple[str, ...] = ()


def judge(comparison: Comparison, tolerance: Tolerance) -> Verdict:
    """The verdict on the worst output, with the reasons of each output that did not pass."""
    reasons = [f"output {name!r} is missing" for name in comparison.missing]
    statuses: list[Status] = ["failed"] if comparison.missing or not comparison.outputs else []
    for output in comparison.outputs:
        status, reason = _judge_one(output, tolerance)
        statuses.append(status)
        if reason:
            where = f"output {output.name!r}: " if len(comparison.outputs) > 1 else ""
            reasons.append(where + reason)
    order: tuple[Status, ...] = ("failed", "drifted", "passed")
    worst = next(status for status in order if status in statuses)
    return Verdict(status=worst, reasons=tuple(reasons))


def _judge_one(output: OutputComparison, tolerance: Tolerance) -> tuple[Status, str]:
    broken = _broken(output)
    if broken:
        return "failed", broken
    # Integers and booleans are decisions: how far 3 is from 9 means nothing between two classes.
    error = 0.0 if output.kind == "decisions" else output.relative_error
    flips = flip_rate(output)
    passed, failed = tolerance.passed, tolerance.failed
    if error <= passed.relative_error and flips <= passed.flips:
        return "passed", ""
    reason = f"relative error {error:.2g} (passes up to {passed.relative_error:g})"
    if output.flips:
        reason += f", {output.flips} of {output.samples} decisions changed"
    damage = _share(error, failed.relative_error) + _share(flips, failed.flips)
    return ("failed" if damage > 1 else "drifted"), reason


def _broken(output: OutputComparison) -> str:
    if output.mismatch:
        return output.mismatch
    if output.reference_nan_count:
        return "the original model itself gives NaN or infinity on these inputs"
    if output.nan_count or output.inf_count:
        return f"{output.nan_count} NaN and {output.inf_count} infinite values"
    if output.is_constant:
        return "the same output whatever the input"
    return ""


def flip_rate(output: OutputComparison) -> float:
    """Share of flipped decisions that is beyond doubt: the lower end of its 95 % interval."""
    if not output.weighted_flips:
        return 0.0
    return wilson(output.weighted_flips, output.samples).low


def _share(value: float, bound: float) -> float:
    if value == 0:
        return 0.0
    return value / bound if bound else math.inf


def parse_tolerance(text: str, base: Tolerance) -> Tolerance:
    """Change `base` as ``--tolerance`` says.

    ``relative_error=0.2`` passes up to 0.2 and fails beyond; ``relative_error=0.2:0.5`` drifts in
    between. The same for ``flips``; several are separated by commas.

    Raises:
        UsageError: an unknown name, or a value that is no number or not possible.

    >>> parse_tolerance("relative_error=0.2:0.5", TOLERANCES["int8"]).failed
    Bounds(relative_error=0.5, flips=0.25)
    """
    for item in text.split(","):
        name, _, value = (part.strip() for part in item.partition("="))
        low, _, high = value.partition(":")
        try:
            bounds = float(low), float(high or low)
        except ValueError:
            message = f"--tolerance {item!r}: not NAME=NUMBER; write e.g. relative_error=0.2"
            raise UsageError(message) from None
        if name not in ("relative_error", "flips"):
            message = f"--tolerance {item!r}: no bound {name!r}; there are: flips, relative_error"
            raise UsageError(message)
        if not bounds[0] <= bounds[1]:
            message = f"--tolerance {item!r}: passes beyond where it fails; write LOW:HIGH"
            raise UsageError(message)
        base = Tolerance(
            passed=replace(base.passed, **{name: bounds[0]}),
            failed=replace(base.failed, **{name: bounds[1]}),
        )
    return base
