"""The fixture ``edgekit_bench`` in somebody else's test suite."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from edgekit_benchmarks.result import BenchmarkResult

Build = Callable[..., Path]

SUITE = """
import pytest
from edgekit_benchmarks.result import BenchmarkResult

@pytest.mark.skipif("{measure}")
def test_speed(edgekit_bench):
    result = BenchmarkResult.read("after.json")
    edgekit_bench.assert_no_regression(result, "before.json", {limits})

@pytest.mark.skipif("not {measure}")
def test_measuring(edgekit_bench):
    result = edgekit_bench("tiny.tflite", processes=1, seconds=0.05)
    assert result.rows[0].p50_ns > 0
"""


@pytest.fixture
def suite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Runs pytest in a folder of its own; what it printed."""
    if not entry_points(group="pytest11", name="edgekit"):
        pytest.skip("edgekit is not installed as a pytest plugin")
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    def run(limits: dict[str, str] | None = None, *, measure: bool = False) -> str:
        text = SUITE.replace("{limits}", repr(limits or {})).replace("{measure}", repr(measure))
        (tmp_path / "test_suite.py").write_text(text)
        (tmp_path / "pytest.ini").write_text("[pytest]\n")
        command = [sys.executable, "-m", "pytest", "-q", "-rs", "-p", "no:cacheprovider"]
        done = subprocess.run(
            command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120
        )
        return done.stdout

    return run


def test_it_costs_nothing_until_it_is_used() -> None:
    code = (
        "import sys; before = set(sys.modules); import pytest; import edgekit_benchmarks."
        "pytest_plugin; print([n for n in ('numpy', 'edgekit.benchmarking', 'click') "
        "if n in sys.modules])"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "[]"


@pytest.mark.slow
def test_a_suite_measures(suite: Callable[..., str], tiny_tflite: Build) -> None:
    tiny_tflite()
    assert "1 passed" in suite(measure=True)


@pytest.fixture
def results(tmp_path: Path, tiny_tflite: Build) -> Callable[[float], None]:
    """Writes ``before.json``, and ``after.json`` so much slower and as much larger."""
    from edgekit_benchmarks.result import InputRecord, Row, StartRecord, TargetRecord

    def make(factor: float, processes: int = 9) -> None:
        runs = tuple(tuple(1e6 + 100 * i + 10 * j for j in range(100)) for i in range(processes))
        row = Row(
            path="tiny.tflite", name="tiny", sha256="0", size_bytes=1000, format="tflite",
            precision="float32", target="local", threads=1, runtime="ai-edge-litert 2.3.0",
            input=InputRecord(source="x.npz"), samples_ns=runs,
            starts=(StartRecord(load_ns=1e6),) * 5,
        )  # fmt: skip
        before = BenchmarkResult(
            started="", targets={"local": TargetRecord(url="local")}, rows=(row,)
        )
        slower = tuple(tuple(factor * value for value in run) for run in runs)
        after = replace(
            before,
            rows=(replace(row, samples_ns=slower, size_bytes=round(1000 * factor), sha256="1"),),
        )
        before.write(tmp_path / "before.json")
        after.write(tmp_path / "after.json")

    return make


def test_no_regression_passes(suite: Callable[..., str], results: Callable[[float], None]) -> None:
    results(1.0)
    assert "1 passed" in suite({"p50": "5%", "size": "0%"})


def test_a_regression_fails_with_the_limit_and_the_number(
    suite: Callable[..., str], results: Callable[[float], None]
) -> None:
    results(1.2)
    told = suite({"p50": "5%"})
    assert "1 failed" in told
    assert "p50=5%: 1.20" in told


def test_what_cannot_be_decided_is_skipped(
    suite: Callable[..., str], results: Callable[..., None]
) -> None:
    results(1.2, processes=1)
    told = suite({"p50": "5%"})
    assert "failed" not in told
    assert "cannot be decided" in told


def test_rows_of_the_baseline_that_were_not_measured_are_left_out(
    suite: Callable[..., str], results: Callable[[float], None], tmp_path: Path
) -> None:
    results(1.0)
    before = BenchmarkResult.read(tmp_path / "before.json")
    two = replace(before.rows[0], threads=2)
    replace(before, rows=(*before.rows, two)).write(tmp_path / "before.json", force=True)
    assert "1 passed" in suite({"p50": "5%"})
