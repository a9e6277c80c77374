"""Benchmarks in a test suite: the fixture ``edgekit_bench``.

    def test_the_model_is_not_slower_than_in_the_last_release(edgekit_bench):
        result = edgekit_bench("mnist.int8.tflite")
        edgekit_bench.assert_no_regression(result, "baseline.json", {"p50": "5%", "size": "0%"})

pytest loads this module in every run, so it imports nothing before a test asks for the fixture.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from edgekit_benchmarks.result import BenchmarkResult

Path = str | os.PathLike[str]


class Bench:
    """Measures as ``edgekit.bench`` does, with less patience unless told otherwise."""

    def __call__(self, *files: Path, **options: Any) -> BenchmarkResult:
        """Measure files.

        Args:
            files: ``.tflite``, ``.onnx``, ``.keras``.
            options: those of `edgekit.bench`; by default 1 second for a row.

        Raises:
            EdgekitError: nothing can be measured; or something cannot, and its message is in it.
        """
        from edgekit.benchmarking import bench

        result = bench(files, **({"seconds": 1.0} | options))
        if result.failures:
            pytest.fail("\n".join(failure.error for failure in result.failures), pytrace=False)
        return result  # type: ignore[return-value]

    def assert_no_regression(
        self,
        result: BenchmarkResult,
        baseline: Path,
        max_regress: Mapping[str, str],
        *,
        allow_other_machine: bool = False,
    ) -> None:
        """Fail the test where the result is worse than the baseline by more than a limit.

        Rows of the baseline that the test did not measure are left out. A test is skipped where it
        cannot be decided: what was measured is INVALID, or too scattered.

        Args:
            result: what was just measured.
            baseline: a file that ``edgekit bench -o`` wrote.
            max_regress: limits as ``edgekit compare --max-regress`` takes them, by metric.
            allow_other_machine: compare although the baseline is of another machine.

        Raises:
            UsageError: the baseline is none, is of another machine, or a limit makes no sense.
        """
        from dataclasses import replace

        from edgekit_benchmarks import gate
        from edgekit_benchmarks.comparison import compare
        from edgekit_benchmarks.result import BenchmarkResult

        limits = gate.limits(f"{metric}={limit}" for metric, limit in max_regress.items())
        comparison = compare(
            BenchmarkResult.read(baseline), result, allow_other_machine=allow_other_machine
        )
        if not result.failures:  # a test judges what it measured
            comparison = replace(comparison, only_before=())
        decisions = gate.decide(comparison, limits)
        code = gate.exit_code(comparison, decisions)
        if not code:
            return
        wanted = "failed" if code == 1 else "undecided"
        told = [
            f"{one.row}: {one.limit.text}: {one.text}" for one in decisions if one.outcome == wanted
        ] or [f"{row.label}: {text}" for row in comparison.rows for text in row.invalid]
        if code == 1:
            pytest.fail("\n".join(told), pytrace=False)
        pytest.skip("cannot be decided: " + "; ".join(told))


@pytest.fixture(scope="session")
def edgekit_bench() -> Bench:
    """Measures model files, and holds results against a baseline."""
    return Bench()
