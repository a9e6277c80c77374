"""Measure a plan on one target, process by process, and keep what is finished."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from edgekit.errors import CrashError, EdgekitError, OutputError
from edgekit_benchmarks.bench_request import RESUME
from edgekit_benchmarks.findings import Findings, Taken
from edgekit_benchmarks.heat import cool_down, heat_up
from edgekit_benchmarks.instructions import PROCESSES as COUNT_PROCESSES
from edgekit_benchmarks.journal import Journal
from edgekit_benchmarks.link import Link
from edgekit_benchmarks.plan import (
    Plan,
    PlannedRow,
    count_spec,
    groups_of,
    in_turn,
    limit_s,
    start_spec,
    steady_spec,
)
from edgekit_benchmarks.result import FailureRecord
from edgekit_benchmarks.target import TargetError
from edgekit_benchmarks.telling import Report, Telling

_ASK_S = 60.0
_SPARE_S = 30.0


class LostError(CrashError):
    """The target is gone: nothing more can be measured there now."""


class TargetRun:
    """One target, from the first word to the last."""

    def __init__(
        self,
        plan: Plan,
        connect: Callable[[], Link],
        report: Report,
        *,
        resume: bool,
        wait_s: float,
        check: Callable[[], None] | None = None,
        journals: Path | None = None,
    ) -> None:
        """Nothing is done yet.

        Args:
            plan: what to measure.
            connect: opens the link.
            report: told what is done.
            resume: go on where an earlier call was cut off.
            wait_s: how long to wait while another benchmark has the device.
            check: called when the device is ours; what it raises ends the run.
            journals: folder of the journals; by default the user's.
        """
        self.findings = Findings(plan=plan)
        self._plan = plan
        self._connect = connect
        self._telling = Telling(plan, report)
        self._resume = resume
        self._wait_s = wait_s
        self._check = check
        self._journals = journals
        self._journal: Journal | None = None
        self._link: Link | None = None
        self._is_stopped = False
        self.is_complete = False
        """Whether nothing is left that could be resumed."""
        self._paths: dict[str, str] = {}
        self._repeats: dict[str, int] = {}

    @property
    def finished(self) -> int:
        """How many processes are finished and kept."""
        return 0 if self._journal is None else len(self._journal)

    def stop(self) -> None:
        """End it from another thread, at once: the link is closed, what is finished stays."""
        self._is_stopped = True
        if self._link is not None:
            self._link.close()

    def forget(self) -> None:
        """The result is safe: what was kept for a break is not needed any more."""
        if self.is_complete and self._journal is not None:
            self._journal.remove()

    def measure(self) -> Findings:
        """Do it; a failure is part of the findings, and keeps what was finished before it."""
        try:
            with self._connect() as link:
                self._link = link
                if self._is_stopped:
                    return self.findings
                self._prepare(link)
                if self._plan.counts:
                    self._count_rows()
                else:
                    self._measure_rows()
                with suppress(EdgekitError):
                    link.request("unlock", timeout_s=_ASK_S)
            self.is_complete = True
        except EdgekitError as error:
            told = str(error).removesuffix("; try again") if self.finished else str(error)
            if self.finished:
                told += f"; what is finished is kept, run again with {RESUME}"
            failure = FailureRecord(path="", target=self._plan.target, threads=None, error=told)
            self.findings.failures.append(failure)
        return self.findings

    # -- before anything is measured

    def _prepare(self, link: Link) -> None:
        found = self.findings
        found.worker_sha256 = str(link.hello.get("sha256", ""))
        link.request(
            "lock",
            wait_s=self._wait_s,
            timeout_s=self._wait_s + _ASK_S,
            on_event=self._telling.on_event,
        )
        if self._check is not None:
            self._check()
        found.facts = link.request("facts", timeout_s=_ASK_S)
        if found.facts.get("emulated") and not self._plan.counts:
            message = (
                f"{self._plan.target}: is emulated, where times mean nothing and nobody counts "
                "instructions; emulate it from here: edgekit targets add-emulated BOARD"
            )
            raise TargetError(message)
        for row in self._plan.rows:
            self._send(link, row)
        fingerprint = self._plan.fingerprint(found.worker_sha256)
        try:
            self._journal = Journal(fingerprint, resume=self._resume, folder=self._journals)
        except OutputError as error:
            self._telling.note(f"{error}; until then a broken run cannot be resumed")
        else:
            found.resumed = self._journal.found
        if self._resume and not found.resumed:
            name = self._plan.target
            self._telling.note(f"{name}: no finished measurements to go on with; beginning anew")

    def _send(self, link: Link, row: PlannedRow) -> None:
        """The file and its inputs; one that cannot be sent is that row's failure."""
        wanted = {row.file.sha256: row.file.path}
        if row.feed.path is not None:
            wanted[row.feed.record.sha256] = row.feed.path
        try:
            for sha256, path in wanted.items():
                if sha256 not in self._paths:
                    self._telling.detail(f"send {path.name}")
                    self._paths[sha256] = link.put(path)
        except EdgekitError as error:
            self._check_alive(link, error)
            self.findings.fail([row], error)

    # -- measuring

    def _measure_rows(self) -> None:
        failed = {(one.path, one.threads) for one in self.findings.failures}
        rows = [r for r in self._plan.rows if (str(r.file.path), r.threads) not in failed]
        for attempt in range(self._plan.tries):
            if attempt and not self._plan.sustained:
                self._cool()
            rows = self._start_all(rows, attempt)
            if rows:
                self._take_all(rows, attempt)
        if self._plan.operators:
            self._profile(rows)

    def _count_rows(self) -> None:
        """Every row in fresh processes of its own, and nothing else."""
        failed = {one.path for one in self.findings.failures}
        rows = [row for row in self._plan.rows if str(row.file.path) not in failed]
        for number in range(COUNT_PROCESSES):
            if rows:
                self._telling.turn(f"count {number + 1} of {COUNT_PROCESSES}", rows)
            for row in list(rows):
                spec = count_spec(row, self._paths)
                try:
                    answer = self._run(f"0.count.{number}.{row.key}", "count", spec, [row], 0)
                except LostError:
                    raise
                except EdgekitError as error:
                    self.findings.fail([row], error)
                    rows.remove(row)
                else:
                    self.findings.counts.setdefault(row.key, []).append(answer)

    def _start_all(self, rows: list[PlannedRow], attempt: int) -> list[PlannedRow]:
        """Every row in fresh processes of its own; returns those that start."""
        for number in range(self._plan.starts):
            if not rows:
                break
            self._telling.turn(f"start {number + 1} of {self._plan.starts}", rows)
            for row in in_turn(rows, number):
                run = f"{attempt}.start.{number}.{row.key}"
                spec = start_spec(row, self._paths)
                try:
                    answer = self._run(run, "start", spec, [row], 0)
                except LostError:
                    raise
                except EdgekitError as error:
                    self.findings.fail([row], error)
                    rows = [one for one in rows if one.key != row.key]
                else:
                    self.findings.starts.setdefault(row.key, []).append(answer)
        return rows

    def _take_all(self, rows: list[PlannedRow], attempt: int) -> None:
        memory = self.findings.facts.get("memory_bytes")
        available = memory.get("available") if isinstance(memory, Mapping) else None
        groups = groups_of(
            rows, self._model_bytes(), available if isinstance(available, int) else None
        )
        self._telling.groups = len(groups)
        if self._plan.sustained and not attempt:
            self._heat(groups[0])
        for number in range(self._plan.processes):
            if not groups:
                break
            self._telling.turn(f"process {number + 1} of {self._plan.processes}", rows)
            queue = groups[:: -1 if number % 2 else 1]
            while queue:
                group = queue.pop(0)
                try:
                    self._take(group, number, attempt)
                except LostError:
                    raise
                except EdgekitError as error:
                    apart = self._give_up(group, error)
                    groups = [one for one in groups if one is not group] + apart
                    queue = apart + queue

    def _give_up(self, group: list[PlannedRow], error: EdgekitError) -> list[list[PlannedRow]]:
        """Rows that fail together are tried apart; one that fails alone is a failure."""
        if len(group) == 1:
            self.findings.fail(group, error)
            return []
        self._telling.note(f"{error}; its {len(group)} rows get processes of their own")
        return [[row] for row in group]

    def _take(self, group: Sequence[PlannedRow], number: int, attempt: int) -> None:
        """Latencies of rows that share a process."""
        ordered = in_turn(group, number)
        run = f"{attempt}.steady.{number}.{'+'.join(sorted(row.key for row in group))}"
        budget_s = self._plan.budget_s
        spec = steady_spec(ordered, self._paths, repeats=self._repeats, budget_s=budget_s)
        answer = self._run(run, "steady", spec, ordered, budget_s)
        self.findings.timer_ns.append(answer["timer_ns"])
        self.findings.empty_call_ns.append(answer["empty_call_ns"])
        for key, taken in answer["rows"].items():
            self._repeats.setdefault(key, taken["repeats"])
            self.findings.steady.setdefault(key, []).append(
                Taken(
                    attempt=attempt,
                    process=run,
                    answer=taken | {"reference_ns": answer.get("reference_ns", [])},
                )
            )

    def _run(
        self,
        run: str,
        kind: str,
        spec: dict[str, Any],
        rows: Sequence[PlannedRow],
        budget_s: float,
    ) -> dict[str, Any]:
        """What a process answers, now or earlier; one that died is tried once more."""
        kept = None if self._journal is None else self._journal.get(run)
        if kept is None:
            begun = time.monotonic()
            limit = limit_s(rows, self._quick_s(), budget_s)
            try:
                kept = self._ask(spec, limit)
            except LostError:
                raise
            except CrashError:
                kept = self._ask(spec, limit)
            self._telling.finished(kind, time.monotonic() - begun)
            self._keep(run, kept)
        else:
            self._telling.finished(kind)
        self.findings.watch.extend(kept["watch"])
        self.findings.clock.extend(
            [*kept.get("clock", []), *kept["answer"].get("clock_events", [])]
        )
        answer: dict[str, Any] = kept["answer"]
        return answer

    def _keep(self, run: str, answer: dict[str, Any]) -> None:
        if self._journal is not None:
            try:
                self._journal.add(run, answer)
            except OutputError as error:
                self._telling.note(str(error))
                self._journal = None

    def _ask(self, spec: dict[str, Any], limit: float) -> dict[str, Any]:
        assert self._link is not None
        try:
            return self._link.request(
                "run",
                spec=spec,
                limit_s=limit,
                memory_bytes=None,
                timeout_s=limit + _SPARE_S,
                on_event=self._telling.on_event,
            )
        except EdgekitError as error:
            self._check_alive(self._link, error)
            raise

    @staticmethod
    def _check_alive(link: Link, error: EdgekitError) -> None:
        """Whether it was a row that failed, or all of the target."""
        try:
            link.request("facts", timeout_s=_SPARE_S)
        except EdgekitError:
            raise LostError(str(error)) from error

    def _profile(self, rows: Sequence[PlannedRow]) -> None:
        """Where the time goes; files of which nobody can tell have their latencies all the same."""
        from edgekit_benchmarks.operators import profile_operators  # seldom asked for

        link = self._link
        assert link is not None
        self._telling.step("operators", rows)
        for row in rows:
            if row.key not in self.findings.steady:
                continue
            try:
                self.findings.operators[row.key] = profile_operators(
                    link,
                    row.file.path,
                    threads=row.threads,
                    inputs=row.feed.path,
                    zeros=row.file.states,
                    on_event=self._telling.on_event,
                )
            except EdgekitError as error:
                self._check_alive(link, error)
                self.findings.operators[row.key] = error

    # -- heat

    def _heat(self, group: Sequence[PlannedRow]) -> None:
        self._telling.step("heat up, up to a quarter of an hour", group)

        def work(seconds: float) -> list[dict[str, Any]]:
            spec = steady_spec(group, self._paths, repeats={}, budget_s=seconds / len(group))
            found: list[dict[str, Any]] = self._ask(spec, limit_s(group, self._quick_s(), seconds))[
                "watch"
            ]
            return found

        self.findings.heated_s = heat_up(work, self._telling.detail)

    def _cool(self) -> None:
        link = self._link
        assert link is not None

        def temperature() -> float | None:
            told = link.request("facts", timeout_s=_ASK_S).get("temperature_c")
            return float(told) if isinstance(told, int | float) else None

        before = self.findings.facts.get("temperature_c")
        if isinstance(before, int | float):
            cool_down(float(before), temperature, self._telling.detail)

    # -- what starts told

    def _model_bytes(self) -> dict[str, int | None]:
        return {
            key: max((one["memory"]["model_bytes"] for one in answers), default=None)
            for key, answers in self.findings.starts.items()
        }

    def _quick_s(self) -> dict[str, float]:
        return {
            key: max(one["load_ns"] + one["first_inference_ns"] for one in answers) / 1e9
            for key, answers in self.findings.starts.items()
        }
