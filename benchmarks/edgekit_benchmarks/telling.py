"""What is said while a target is measured: what is done now, and how long it still takes."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any, Protocol

from edgekit_benchmarks.instructions import PROCESSES as COUNT_PROCESSES
from edgekit_benchmarks.plan import Plan, PlannedRow


class Report(Protocol):
    """Is told what is done now; `edgekit.progress.Progress` is one."""

    def step(self, text: str) -> None:
        """The next step begins."""

    def detail(self, text: str) -> None:
        """What the step is doing."""

    def note(self, text: str) -> None:
        """Something that stays readable."""


class Telling:
    """Speaks of one target."""

    def __init__(self, plan: Plan, report: Report) -> None:
        """Nothing is said yet."""
        self.groups = 1
        """Processes in each turn of taking latencies."""
        self._plan = plan
        self._report = report
        self._took_s: dict[str, list[float]] = {"start": [], "steady": [], "count": []}
        self._done = {"start": 0, "steady": 0, "count": 0}
        self._has_waited = False

    def step(self, text: str, rows: Sequence[PlannedRow]) -> None:
        """A step with these rows begins."""
        named = rows[0].label if len(rows) == 1 else f"{len(rows)} rows"
        self._report.step(f"{self._plan.target}: {text}, {named}")

    def turn(self, text: str, rows: Sequence[PlannedRow]) -> None:
        """The same, and how long all still takes."""
        left_s = self._left_s()
        left = f", about {_rounded(left_s)} left" if left_s >= 1 else ""
        named = rows[0].label if len(rows) == 1 else f"{len(rows)} rows"
        self._report.step(f"{self._plan.target}: {text}, {named}{left}")

    def detail(self, text: str) -> None:
        """What is done in this moment."""
        self._report.detail(text)

    def note(self, text: str) -> None:
        """Something that stays readable."""
        self._report.note(text)

    def finished(self, kind: str, took_s: float | None = None) -> None:
        """A process of that kind is done; None: it was done earlier."""
        self._done[kind] += 1
        if took_s is not None:
            self._took_s[kind].append(took_s)

    def on_event(self, event: dict[str, Any]) -> None:
        """What the agent tells meanwhile."""
        kind = event.get("kind")
        if kind == "phase":
            self.detail(f"{event.get('name') or ''} {event.get('phase')}".strip())
        elif kind == "waiting" and not self._has_waited:
            self._has_waited = True
            text = f"another benchmark runs there ({event.get('holder')}); waiting for its end"
            self.note(f"{self._plan.target}: {text}")

    def _left_s(self) -> float:
        """By what the processes took so far, where that is known."""
        plan, rows = self._plan, len(self._plan.rows)
        steady = plan.tries * plan.processes * self.groups
        counts = {"start": plan.tries * plan.starts * rows, "steady": steady, "count": 0}
        if plan.counts:
            counts = {"start": 0, "steady": 0, "count": COUNT_PROCESSES * rows}
        guesses = plan.guessed_s(rows / self.groups)
        left_s = 0.0
        for kind, took in self._took_s.items():
            each_s = statistics.fmean(took) if took else guesses[kind]
            left_s += max(0, counts[kind] - self._done[kind]) * each_s
        return left_s


def _rounded(seconds: float) -> str:
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    return f"{round(seconds / 60)} min"
