"""How sparsity grows while a model is trained, as in tensorflow-model-optimization.

Steps count batches from 1: what is due at step 5 is done before the fifth batch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NoReturn, TypeAlias

import numpy as np

from edgekit.errors import UsageError

_UPDATES = 50
_SLOWEST = 100
_SETTLED = 0.75


@dataclass(frozen=True, slots=True, kw_only=True)
class _Steps:
    begin_step: int
    end_step: int
    frequency: int = 100
    """How many steps from one update to the next."""

    def due(self, step: int) -> bool:
        """Whether new masks are chosen at `step`: every `frequency` from begin to end."""
        inside = step >= self.begin_step and (step <= self.end_step or self.end_step < 0)
        return inside and (step - self.begin_step) % self.frequency == 0

    def latest(self, step: int) -> int | None:
        """The last step, from 1 to `step`, at which new masks are due; None before the first."""
        last = step if self.end_step < 0 else min(step, self.end_step)
        found = last - (last - self.begin_step) % self.frequency
        return found if found >= max(self.begin_step, 1) else None

    def _check(self, *, endless: bool) -> None:
        if self.begin_step < 0:
            _refuse("begin_step", self.begin_step, "must not be negative")
        if self.end_step < 0 and not (endless and self.end_step == -1):
            _refuse("end_step", self.end_step, "must not be negative")
        if 0 <= self.end_step < self.begin_step:
            _refuse("end_step", self.end_step, f"comes before the begin, {self.begin_step}")
        if self.frequency < 1:
            _refuse("frequency", self.frequency, "must be at least 1")


@dataclass(frozen=True, slots=True, kw_only=True)
class ConstantSparsity(_Steps):
    """The same share of zeros from `begin_step` on; `end_step` -1: masks are chosen to the end.

    >>> ConstantSparsity(target=0.5, begin_step=1, frequency=10).latest(25)
    21
    """

    target: float
    end_step: int = -1

    def __post_init__(self) -> None:
        _check_share("target", self.target)
        self._check(endless=True)

    @property
    def final(self) -> float:
        """What it reaches."""
        return self.target

    def sparsity(self, step: int) -> float:  # noqa: ARG002  # as the other schedule
        """The share of zeros at `step`, as a float32 number."""
        return float(np.float32(self.target))


@dataclass(frozen=True, slots=True, kw_only=True)
class PolynomialDecay(_Steps):
    """From `initial` to `final`, fast at first (Zhu and Gupta, 2017).

    ``final + (initial - final) * (1 - (step - begin_step) / (end_step - begin_step)) ** power``

    >>> PolynomialDecay(final=0.8, begin_step=0, end_step=100).sparsity(50)
    0.699999988079071
    """

    final: float
    initial: float = 0.0
    power: float = 3

    def __post_init__(self) -> None:
        _check_share("initial", self.initial)
        _check_share("final", self.final)
        self._check(endless=False)

    def sparsity(self, step: int) -> float:
        """The share of zeros at `step`, computed in float32."""
        span = self.end_step - self.begin_step
        if span == 0:
            return float(np.float32(self.final))
        done = min(
            np.float32(1), max(np.float32(0), np.float32(step - self.begin_step) / np.float32(span))
        )
        rest = np.float32(np.float64(np.float32(1) - np.float32(done)) ** self.power)
        grown = np.float32(self.initial - self.final) * rest + np.float32(self.final)
        return float(np.float32(grown))


Schedule: TypeAlias = ConstantSparsity | PolynomialDecay


def plan(
    kind: str,
    sparsity: float,
    steps: int,
    *,
    begin_step: int | None = None,
    end_step: int | None = None,
    frequency: int | None = None,
) -> Schedule:
    """A schedule for a training of `steps` batches that does reach `sparsity`.

    By default zeros come from the first batch on, and grow until three quarters of the training are
    over; the rest lets the remaining weights settle. The end is moved back to the last update, for
    otherwise the target would never be reached.

    Args:
        kind: ``"polynomial"``, or ``"constant"``: all at once, at `begin_step`.
        sparsity: to reach.
        steps: batches of the whole training.
        begin_step: from 1.
        end_step: the last batch before which masks change.
        frequency: batches between changes; by default a fiftieth of the way, at most 100.

    Raises:
        UsageError: there is no such kind, or the steps make no sense or lie behind the end.
    """
    if kind not in {"polynomial", "constant"}:
        message = f"schedule {kind!r}: there is no such schedule; there are: constant, polynomial"
        raise UsageError(message)
    begin = 1 if begin_step is None else begin_step
    end = max(begin, round(_SETTLED * steps)) if end_step is None else end_step
    if begin > steps:
        _refuse("begin_step", begin, f"comes after the last of {steps} steps")
    if end > steps:
        _refuse("end_step", end, f"comes after the last of {steps} steps")
    every = min(_SLOWEST, max(1, (end - begin) // _UPDATES)) if frequency is None else frequency
    if every >= 1 and end > begin:
        end -= (end - begin) % every
    if kind == "constant":
        return ConstantSparsity(
            target=sparsity, begin_step=max(1, begin), end_step=max(1, end), frequency=every
        )
    return PolynomialDecay(final=sparsity, begin_step=begin, end_step=end, frequency=every)


def _check_share(name: str, share: float) -> None:
    if not 0 <= share < 1:
        message = f"{name} sparsity {share:g}: must be at least 0 and below 1; try 0.8"
        raise UsageError(message)


def _refuse(name: str, value: int, why: str) -> NoReturn:
    message = f"{name} {value}: {why}; give another, or leave it out"
    raise UsageError(message)
