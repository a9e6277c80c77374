"""Counted instructions in results, reports, comparisons and gates."""

from __future__ import annotations

import csv
import io
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from edgekit.errors import UsageError
from edgekit.progress import Progress
from edgekit_benchmarks.bench import bench
from edgekit_benchmarks.bench_request import BenchRequest
from edgekit_benchmarks.comparison import compare
from edgekit_benchmarks.comparison_text import lines as comparison_lines
from edgekit_benchmarks.gate import decide, exit_code, limits
from edgekit_benchmarks.instructions import CLASSES
from edgekit_benchmarks.link import LocalLink
from edgekit_benchmarks.report_csv import samples_to_csv, to_csv
from edgekit_benchmarks.report_html import to_html
from edgekit_benchmarks.report_markdown import to_markdown
from edgekit_benchmarks.report_text import lines
from edgekit_benchmarks.result import BenchmarkResult, InputRecord, Row, TargetRecord

FACTS = {"model": "Raspberry Pi 4 Model B", "qemu": "7.2.22", "cores_online": 4}


def counted_row(total: int = 1_000_000, **more: object) -> Row:
    counts = dict.fromkeys(CLASSES, 0) | {"dot": total // 2, "integer": total - total // 2}
    row = Row(
        path="mnist.int8.tflite", name="mnist", sha256="ab", size_bytes=10, format="tflite",
        precision="int8", target="pi4", threads=1, runtime="ai-edge-litert 2.3.0",
        input=InputRecord(source="golden"), samples_ns=(),
        instructions={"total": total, **counts}, instructions_per_call=((total, total + 500),) * 2,
    )  # fmt: skip
    return replace(row, **more)  # type: ignore[arg-type]


def result(*rows: Row, **facts: object) -> BenchmarkResult:
    target = TargetRecord(url="emulated://pi4", emulated=True, facts={**FACTS, **facts})
    return BenchmarkResult(
        started="2026-11-23T21:00:00+00:00", targets={"pi4": target}, rows=rows or (counted_row(),)
    )


def test_a_result_with_counts_has_no_times_and_is_read_as_it_was_written() -> None:
    text = result().to_json()
    row = json.loads(text)["rows"][0]
    assert row["instructions"]["total"] == 1_000_000
    assert row["samples_ns"] == []
    assert all(row[name] is None for name in ("p50_ns", "p90_ns", "throughput_per_s", "outliers"))
    assert BenchmarkResult.from_dict(json.loads(text)).to_json() == text


def test_a_result_with_counts_is_valid() -> None:
    assert result().valid


def test_every_report_says_how_many_and_that_it_is_not_a_timing() -> None:
    for text in ("\n".join(lines(result())), to_markdown(result()), to_html(result())):
        assert "1.000 M instructions" in text
        assert "emulated: not a timing" in text
        assert "INVALID" not in text
    (line,) = csv.DictReader(io.StringIO(to_csv(result())))
    assert (line["instructions"], line["instructions_dot"]) == ("1000000", "500000")
    assert line["p50_ns"] == ""
    assert samples_to_csv(result()).count("\n") == 1


@pytest.mark.parametrize(
    ("total", "limit", "outcome", "verdict"),
    [
        (1_000_000, "instructions=0%", "passed", "same"),
        (1_000_400, "instructions=0.5%", "passed", "same"),
        (1_004_900, "instructions=0.5%", "passed", "more"),
        (1_005_100, "instructions=0.5%", "failed", "more"),
        (900_000, "instructions=0%", "passed", "fewer"),
    ],
)
def test_counts_are_decided_by_the_numbers(
    total: int, limit: str, outcome: str, verdict: str
) -> None:
    compared = compare(result(), result(counted_row(total)))
    change = compared.rows[0].change("instructions")
    assert change is not None
    assert change.verdict == verdict
    decisions = decide(compared, limits([limit]))
    assert [one.outcome for one in decisions] == [outcome]
    assert exit_code(compared, decisions) == (1 if outcome == "failed" else 0)


def test_a_comparison_of_counts_says_nothing_of_times_and_processes() -> None:
    compared = compare(result(), result(counted_row(1_010_000)))
    told = "\n".join(comparison_lines(compared, decide(compared, limits(["instructions=0.5%"]))))
    assert "1.0100x" in told
    assert "+10,000 instructions" in told
    assert not compared.notes
    assert "p50" not in told


def test_counts_of_another_host_are_compared_and_of_another_qemu_are_not() -> None:
    assert compare(result(), result(kernel="other", cores_online=8)).rows
    with pytest.raises(UsageError, match="QEMU: 7.2.22, then 10.0.2"):
        compare(result(), result(qemu="10.0.2"))
    with pytest.raises(UsageError, match="runtime: ai-edge-litert 2.3.0, then ai-edge-litert 2.4"):
        compare(result(), result(counted_row(runtime="ai-edge-litert 2.4")))


def test_a_limit_on_times_is_undecided_where_only_counts_are() -> None:
    compared = compare(result(), result())
    (decision,) = decide(compared, limits(["p50=5%"]))
    assert decision.outcome == "undecided"


def test_counting_on_what_is_not_emulated_is_refused(tmp_path: Path) -> None:
    request = BenchRequest(files=(tmp_path / "none.tflite",), count=True)
    with pytest.raises(UsageError, match=r"^local: its instructions cannot be counted .*add-emul"):
        bench(request, Progress(total=1, enabled=False))


def test_the_worker_says_that_nobody_counts(tiny_tflite: Callable[..., Path]) -> None:
    path = tiny_tflite()
    row = {"key": "a", "path": str(path), "runtime": "auto", "threads": 1}
    spec = {"mode": "count", "row": row, "inputs": None, "calls": 2}
    with LocalLink() as link, pytest.raises(UsageError, match="nobody counts instructions here"):
        link.request("run", spec=spec, limit_s=60, memory_bytes=None, timeout_s=90)


@pytest.fixture
def on_pi4() -> str:
    missing = [name for name in ("gcc", "qemu-aarch64", "apt-get") if shutil.which(name) is None]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}")
    return "emulated://pi4"


def measured(target: str, *paths: Path) -> BenchmarkResult:
    return bench(BenchRequest(files=paths, on=(target,)), Progress(total=9, enabled=False))


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["tflite", "onnx"])
def test_one_percent_more_work_on_an_emulated_board_breaks_a_limit_of_half_a_percent(
    kind: str, dense_chain: Callable[..., Path], on_pi4: str
) -> None:
    path = dense_chain(kind, (800, 800, 800, 800, 800, 800, 16))
    before, again = measured(on_pi4, path), measured(on_pi4, path)
    assert dense_chain(kind, (800, 800, 820, 800, 800, 800, 16)) == path
    after = measured(on_pi4, path)
    assert not (*before.failures, *again.failures, *after.failures)
    compared = compare(before, after)
    change = compared.rows[0].change("instructions")
    assert change is not None
    assert change.ratio is not None
    assert 1.005 < change.ratio.value < 1.02
    limit = limits(["instructions=0.5%"])
    assert exit_code(compared, decide(compared, limit)) == 1
    unchanged = compare(before, again)
    assert exit_code(unchanged, decide(unchanged, limit)) == 0
    same = unchanged.rows[0].change("instructions")
    assert same is not None
    assert same.verdict == "same"
