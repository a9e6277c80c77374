"""A comparison as JUnit XML, which every CI service can show.

Each limit on each row is a test case: what is undecided is an error, not a failure. Without limits
each row is one, an error where it is INVALID. Rows that only one result has are skipped.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from xml.etree import ElementTree as ET

from edgekit_benchmarks.comparison import Comparison
from edgekit_benchmarks.gate import Decision

_FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What XML 1.0 cannot say, not even escaped."""
_SUITE = "edgekit compare"


def junit(comparison: Comparison, decisions: Sequence[Decision]) -> str:
    """The text of the file."""
    cases = [_decided(decision) for decision in decisions]
    if not cases:
        cases = [
            _case(row.label, "p50", "error" if row.invalid else "", "; ".join(row.invalid))
            for row in comparison.rows
        ]
    told = {decision.row for decision in decisions}
    for title, rows in (
        ("only in the earlier result", comparison.only_before),
        ("only in the later result", comparison.only_after),
    ):
        cases += [
            _case(row.label, "p50", "skipped", title) for row in rows if row.label not in told
        ]
    outcomes = Counter(child.tag for case in cases for child in case)
    counts = {
        "tests": str(len(cases)),
        "failures": str(outcomes["failure"]),
        "errors": str(outcomes["error"]),
        "skipped": str(outcomes["skipped"]),
        "time": "0",
    }
    root = ET.Element("testsuites", {"name": _SUITE, **counts})
    suite = ET.SubElement(root, "testsuite", {"name": _SUITE, **counts})
    if started := comparison.after.started:
        suite.set("timestamp", _clean(started[:19]))
    suite.extend(cases)
    ET.indent(root, " ")
    return f"<?xml version='1.0' encoding='UTF-8'?>\n{ET.tostring(root, encoding='unicode')}\n"


def _decided(decision: Decision) -> ET.Element:
    tag = {"passed": "", "failed": "failure", "undecided": "error"}[decision.outcome]
    text = f"{decision.limit.text}: {decision.text}"
    return _case(decision.row, decision.limit.metric, tag, text)


def _case(row: str, metric: str, tag: str, text: str) -> ET.Element:
    case = ET.Element(
        "testcase", {"classname": _clean(row), "name": _clean(f"{metric} of {row}"), "time": "0"}
    )
    if tag:
        told = ET.SubElement(case, tag, {"message": _clean(text)})
        if tag != "skipped":
            told.set("type", "regression" if tag == "failure" else "undecided")
            told.text = _clean(text)
    elif text:
        ET.SubElement(case, "system-out").text = _clean(text)
    return case


def _clean(text: str) -> str:
    return _FORBIDDEN.sub("?", text)
