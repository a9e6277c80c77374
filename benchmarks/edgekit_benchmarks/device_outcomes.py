"""A pytest plugin, on the device: runs the tests that were asked for, and writes their outcomes.

The variable ``EDGEKIT_TESTS`` names a JSON file with their ids, and the descriptor to write to: a
JSON object a line, as ``pytest_report_to_serializable`` makes them.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

VARIABLE = "EDGEKIT_TESTS"


class Outcomes:
    """The hooks."""

    def __init__(self, config: pytest.Config, file: Path) -> None:
        """Read what is asked for."""
        asked = json.loads(file.read_text())
        self._ids: list[str] = asked["ids"]
        self._descriptor: int = asked["descriptor"]
        self._config = config
        os.set_inheritable(self._descriptor, False)  # what a test starts must not hold it open

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """A file that cannot be read is told as it is."""
        if report.failed:
            self._tell({"unreadable": report.nodeid, "text": report.longreprtext})

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Only those that were asked for, in that order."""
        found = {item.nodeid: item for item in items}
        items[:] = [found[one] for one in self._ids if one in found]
        missing = [one for one in self._ids if one not in found]
        self._tell({"missing": missing, "folder": str(self._config.rootpath)})

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        """A test begins."""
        self._tell({"begins": nodeid})

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """A test's beginning, middle or end is over."""
        data = self._config.hook.pytest_report_to_serializable(config=self._config, report=report)
        self._tell({"report": data})

    def pytest_runtest_logfinish(self, nodeid: str) -> None:
        """A test is over."""
        self._tell({"ends": nodeid})

    def _tell(self, message: dict[str, Any]) -> None:
        view = memoryview(json.dumps(message).encode() + b"\n")
        while view:
            view = view[os.write(self._descriptor, view) :]


def pytest_configure(config: pytest.Config) -> None:
    """Begin, if there is something to tell."""
    file = os.environ.get(VARIABLE)
    # What starts Python on an emulated board; its own file runs nowhere but there.
    sys.executable = os.environ.get("EDGEKIT_PYTHON") or sys.executable
    if file:
        config.pluginmanager.register(Outcomes(config, Path(file)), "edgekit-outcomes")
