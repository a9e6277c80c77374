from dataclasses import replace
from xml.etree import ElementTree as ET

import pytest

from edgekit_benchmarks.comparison import Comparison, compare
from edgekit_benchmarks.gate import decide, limits
from edgekit_benchmarks.junit import junit
from edgekit_benchmarks.simulated import Noise, Simulated, simulated

ONE = Simulated(noise=Noise(between=0.005, tail=0))
OTHER = replace(ONE, seed=1)
SLOWER = replace(OTHER, median_ns=1.2e6)


def suite(comparison: Comparison, *texts: str) -> ET.Element:
    """The test suite, after checks that hold for every file of this kind."""
    text = junit(comparison, decide(comparison, limits(texts)))
    assert text.startswith("<?xml version='1.0' encoding='UTF-8'?>\n")
    root = ET.fromstring(text)
    assert root.tag == "testsuites"
    (found,) = root
    assert found.tag == "testsuite"
    for element in (root, found):
        assert element.get("name")
        assert element.get("tests") == str(len(found))
        for tag, key in (("failure", "failures"), ("error", "errors"), ("skipped", "skipped")):
            assert element.get(key) == str(len(found.findall(f"testcase/{tag}")))
    for case in found:
        assert case.tag == "testcase"
        assert case.get("name")
        assert case.get("classname")
        assert float(case.get("time", "")) >= 0
        assert len(case) <= 1
        assert {child.tag for child in case} <= {"failure", "error", "skipped", "system-out"}
        assert all(child.get("message") for child in case if child.tag != "system-out")
    names = [(case.get("classname"), case.get("name")) for case in found]
    assert len(set(names)) == len(names)
    return found


def of(after: Simulated) -> Comparison:
    return compare(simulated(ONE), simulated(after))


def test_a_limit_that_is_kept_is_a_test_that_passes() -> None:
    (case,) = suite(of(OTHER), "p50=5%")
    assert [child.tag for child in case] == ["system-out"]


def test_a_broken_limit_is_a_failure_that_says_by_how_much() -> None:
    (case,) = suite(of(SLOWER), "p50=5%")
    assert case[0].tag == "failure"
    assert case[0].get("message", "").startswith("p50=5%: 1.")
    assert case.get("classname") == "mnist.int8.tflite, 1 thread"


def test_what_is_undecided_is_an_error() -> None:
    (case,) = suite(of(OTHER), "p99=5%")
    assert case[0].tag == "error"


def test_each_limit_of_each_row_is_a_test() -> None:
    rows = [replace(ONE, threads=threads) for threads in (1, 2, 4)]
    assert len(suite(compare(simulated(*rows), simulated(*rows)), "p50=5%,size=0%")) == 6


def test_without_limits_each_row_is_a_test_and_an_invalid_one_an_error() -> None:
    assert [len(case) for case in suite(of(OTHER))] == [0]
    assert suite(of(replace(OTHER, more={"valid": False})))[0][0].tag == "error"


def test_rows_without_a_partner_are_skipped() -> None:
    found = suite(compare(simulated(ONE), simulated(OTHER, replace(ONE, name="new"))), "p50=5%")
    assert found.findall("testcase/skipped")[0].get("message") == "only in the later result"


@pytest.mark.parametrize("name", ['<a&"b">', "\x00\x1b[31m", "\ud800", "\ufffe", "日本 é"])
def test_any_name_gives_valid_xml(name: str) -> None:
    nasty = {"path": f"m/{name}.int8.tflite"}
    (case,) = suite(
        compare(simulated(replace(ONE, more=nasty)), simulated(replace(SLOWER, more=nasty))),
        "p50=5%",
    )
    assert case[0].tag == "failure"
