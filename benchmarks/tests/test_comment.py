import re
from dataclasses import replace

import pytest

from edgekit_benchmarks.comment import MARK, comment
from edgekit_benchmarks.comparison import Comparison, compare
from edgekit_benchmarks.gate import decide, limits
from edgekit_benchmarks.result import FailureRecord
from edgekit_benchmarks.simulated import FACTS, Noise, Simulated, simulated

ONE = Simulated(noise=Noise(between=0.005, tail=0))
OTHER = replace(ONE, seed=1)
SLOWER = replace(OTHER, median_ns=1.2e6)


def text(comparison: Comparison, *texts: str) -> str:
    return comment(comparison, decide(comparison, limits(texts)))


def of(after: Simulated) -> Comparison:
    return compare(simulated(ONE), simulated(after))


@pytest.mark.parametrize(
    ("after", "limit", "title"),
    [
        (OTHER, "p50=5%", "### Benchmark: within all 1 limits"),
        (SLOWER, "p50=5%,size=0%", "### Benchmark: 1 of 2 limits broken"),
        (OTHER, "p99=5%", "### Benchmark: 1 of 1 limits undecided"),
    ],
)
def test_the_title_says_how_it_ended(after: Simulated, limit: str, title: str) -> None:
    assert text(of(after), limit).splitlines()[:2] == [MARK, title]


def test_without_limits_the_title_says_only_what_cannot_be_trusted() -> None:
    assert "### Benchmark compared" in text(of(OTHER))
    assert "### Benchmark: INVALID" in text(of(replace(OTHER, more={"valid": False})))


def test_every_line_of_the_table_has_as_many_cells() -> None:
    lines = [line for line in text(of(SLOWER), "p50=5%").splitlines() if line.startswith("|")]
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in lines} == {7}
    assert "1.20 ms" in lines[2]
    assert "**slower**" in lines[2]


def test_what_is_broken_stands_above_the_table() -> None:
    told = text(of(SLOWER), "p50=5%,p90=50%")
    assert "- **failed**: mnist.int8.tflite, 1 thread, limit p50=5%: 1.2" in told
    assert "p90=50%" not in told


def test_remarks_follow_the_table() -> None:
    comparison = compare(
        simulated(ONE, replace(ONE, name="old")),
        simulated(
            replace(OTHER, more={"valid": False}),
            replace(ONE, name="new"),
            facts=FACTS | {"kernel": "7"},
            failures=(FailureRecord(path="x.onnx", target="local", threads=1, error="x: y; z"),),
        ),
        allow_other_machine=True,
    )
    told = text(comparison)
    for said in (
        "INVALID: the later measurement is INVALID",
        "only in the earlier result: old.int8.tflite",
        "only in the later result: new.int8.tflite",
        "not measured: x.onnx: x: y; z",
        "another machine: kernel: 6.6.31+rpt-rpi-v8, then 7",
        "Raspberry Pi 4 Model B Rev 1.4, ARM Cortex-A72, performance",
    ):
        assert said in told.replace("\\", "")


@pytest.mark.parametrize("name", ["a|b", "<script>", "@everyone", "`a`", "**b**", "a\nb", "[x](y)"])
def test_names_are_no_markup_and_call_nobody(name: str) -> None:
    nasty = {"path": f"{name}.int8.tflite"}
    told = text(compare(simulated(replace(ONE, more=nasty)), simulated(replace(OTHER, more=nasty))))
    lines = [line for line in told.splitlines() if line.startswith("|")]
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in lines} == {7}
    assert "<script" not in told
    assert "@everyone" not in told
    assert "](y)" not in told.replace("\\]", "")
