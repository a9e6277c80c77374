"""A pytest plugin, here: tests are collected here, run on a target, and their outcomes told here.

    plugin = OnTarget(config, "pi5")
    config.pluginmanager.register(plugin)

The file ``conftest.py`` of the tests does so. Everything that listens to outcomes works as ever:
progress, ``-x``, ``--durations``, ``--junit-xml``, ``--last-failed``.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from edgekit.errors import EdgekitError
from edgekit_benchmarks.target_file import find_target
from edgekit_benchmarks.tested_target import TESTS, TestedTarget


class OnTarget:
    """The hooks, and the target."""

    def __init__(self, config: pytest.Config, name: str, models: Callable[[], Path]) -> None:
        """Connect.

        Args:
            config: of this run.
            name: of the target, or its URL.
            models: gives the folder of model files when they are needed.

        Raises:
            pytest.UsageError: the target is unknown, unreachable, or lacks what tests need.
        """
        self._config = config
        self._models = models
        self._items: dict[str, pytest.Item] = {}
        self._running: str | None = None
        self._done: set[str] = set()
        self._root = ""
        try:
            self.tested = TestedTarget(find_target(name), say=self._say)
        except EdgekitError as error:
            raise pytest.UsageError(str(error)) from error

    def pytest_report_header(self) -> str:
        """What runs the tests."""
        facts = self.tested.facts
        about = f"{facts['model']}, {facts['cpu']}, {facts['machine']}, Python {facts['python']}"
        emulated = ", emulated: no time means anything" if facts.get("emulated") is True else ""
        return f"target: {self.tested.target.name} ({about}{emulated})"

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool | None:
        """Run the collected tests there."""
        if session.config.option.collectonly or session.testsfailed:
            return None  # pytest says itself what there is, or what cannot be collected
        self._items = {item.nodeid: item for item in session.items}
        others = [one for one in self._items if not one.startswith(f"{TESTS}/")]
        if others:
            message = f"{others[0]}: does not run on a target; name {TESTS} alone"
            raise pytest.UsageError(message)
        try:
            if self._items:
                self.tested.bring(session.config.rootpath, self._models())
            self._run(session)
        except EdgekitError as error:
            raise pytest.UsageError(str(error)) from error
        return True

    def pytest_unconfigure(self) -> None:
        """Leave nothing there."""
        self.tested.close()

    def _run(self, session: pytest.Session) -> None:
        """All tests; those after one that takes the process down run in another."""

        def heard(message: Mapping[str, Any]) -> None:
            self._tell(message)
            if session.shouldfail:
                raise session.Failed(session.shouldfail)
            if session.shouldstop:
                raise session.Interrupted(session.shouldstop)

        while waiting := [one for one in self._items if one not in self._done]:
            self._running = None
            before = len(self._done)
            code, said = self.tested.run(waiting, self._arguments(), heard)
            if self._running is not None:
                self._died(self._running, code, said)
            elif len(self._done) == before:
                message = f"{self.tested.target.name}: {_end(code)} there, and no test ran ({said})"
                raise pytest.UsageError(message)

    def _arguments(self) -> Sequence[str]:
        """How failures are shown is decided where they happen."""
        option = self._config.option
        words = [f"--tb={option.tbstyle}", *["-v"] * max(0, option.verbose)]
        return [*words, *(["--showlocals"] if option.showlocals else [])]

    def _tell(self, message: Mapping[str, Any]) -> None:
        hook = self._config.hook
        if "folder" in message:
            self._root = message["folder"]
            for nodeid in message["missing"]:
                self._fail(nodeid, "is not among the tests that were found there")
        elif "unreadable" in message:
            text = f"{self.tested.target.name}: {message['unreadable']}: {message['text']}"
            raise pytest.UsageError(text)
        elif "begins" in message:
            self._running = message["begins"]
            item = self._items[self._running]
            hook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
        elif "report" in message:
            data = self._relocated(message["report"])
            report = hook.pytest_report_from_serializable(config=self._config, data=data)
            hook.pytest_runtest_logreport(report=report)
        elif "ends" in message:
            self._running = None
            self._finish(message["ends"])

    def _relocated(self, data: dict[str, Any]) -> dict[str, Any]:
        """A skipped test says where: here, not in a folder there."""
        why = data.get("longrepr")
        if isinstance(why, list | tuple) and len(why) == 3:
            path = str(why[0])
            if path.startswith(f"{self._root}/"):
                path = str(self._config.rootpath / path[len(self._root) + 1 :])
            data["longrepr"] = (path, why[1], why[2])
        return data

    def _died(self, nodeid: str, code: int | None, said: str) -> None:
        """The test that ran when the process ended is the one that failed."""
        quoted = f"; it said: {said}" if said else ""
        self._fail(nodeid, f"{_end(code)} there while this test ran{quoted}")

    def _fail(self, nodeid: str, text: str) -> None:
        item = self._items[nodeid]
        report = pytest.TestReport(
            nodeid=nodeid,
            location=item.location,
            keywords={},
            outcome="failed",
            longrepr=f"{self.tested.target.name}: {text}",
            when="call",
        )
        self._config.hook.pytest_runtest_logreport(report=report)
        self._finish(nodeid)

    def _finish(self, nodeid: str) -> None:
        item = self._items[nodeid]
        self._done.add(nodeid)
        self._config.hook.pytest_runtest_logfinish(nodeid=nodeid, location=item.location)

    def _say(self, text: str) -> None:
        reporter = self._config.pluginmanager.get_plugin("terminalreporter")
        if reporter is not None and self._config.option.verbose >= 0:
            reporter.write_line(f"{text} …")


def _end(code: int | None) -> str:
    if code is None:
        return "pytest hung, and was stopped"
    if code >= 0:
        return f"pytest ended with exit code {code}"
    try:
        return f"pytest died of {signal.Signals(-code).name}"
    except ValueError:
        return f"pytest died of signal {-code}"
