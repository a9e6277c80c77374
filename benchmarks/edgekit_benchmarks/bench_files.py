"""One call of ``edgekit bench``: check what is asked for, measure, write, compare."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from edgekit.errors import UsageError
from edgekit.outputs import check_outputs
from edgekit_benchmarks import comparison_text, enough, gate, report_text
from edgekit_benchmarks.bench import bench, steps
from edgekit_benchmarks.bench_outputs import Outputs
from edgekit_benchmarks.bench_request import BenchRequest
from edgekit_benchmarks.comparison import Comparison, compare
from edgekit_benchmarks.gate import Decision, Limit
from edgekit_benchmarks.result import BenchmarkResult
from edgekit_benchmarks.telling import Report

_NO_OUTPUTS: Mapping[str, Path | None] = MappingProxyType({})
INVALID = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Benched:
    """What is to be printed and returned."""

    result: BenchmarkResult
    comparison: Comparison | None = None
    """With the baseline, if there is one."""
    decisions: tuple[Decision, ...] = ()
    unwritten: tuple[str, ...] = ()
    """Outputs that could not be written: why, and what to do."""

    @property
    def exit_code(self) -> int:
        """0 fine, 1 a failure, no output, a broken limit or disagreeing tries, 3 INVALID."""
        disagree = not all(told["passed"] for told in self.result.settings.get("tries", ()))
        if self.result.failures or self.unwritten or disagree:
            return 1
        code = 0
        if self.comparison is not None:
            code = gate.exit_code(self.comparison, self.decisions)
        return code or (0 if self.result.valid else INVALID)

    @property
    def lines(self) -> tuple[str, ...]:
        """For standard output: the result, and what the comparison with the baseline says.

        Nothing of targets that gave nothing, as their failures say it.
        """
        measured = {row.target for row in self.result.rows}
        if not measured:
            return ()
        targets = {name: one for name, one in self.result.targets.items() if name in measured}
        told = report_text.lines(replace(self.result, targets=targets))
        if self.comparison is not None:
            told += ["", *comparison_text.lines(self.comparison, self.decisions)]
        return tuple(told)


def bench_files(
    given: Mapping[str, Any],
    make_report: Callable[[int], AbstractContextManager[Report]],
    *,
    outputs: Mapping[str, Path | None] = _NO_OUTPUTS,
    force: bool = False,
    baseline: Path | None = None,
    max_regress: Sequence[str] = (),
) -> Benched:
    """The plug-in ``bench`` of ``edgekit.benchmarks``.

    Args:
        given: the fields of `BenchRequest`; None stands for its default.
        make_report: makes what is told about the progress, for so many steps.
        outputs: files to write: ``json``, ``html``, ``csv``, ``markdown``, ``samples``.
        force: replace files that exist.
        baseline: an earlier result to compare with.
        max_regress: limits as on the command line.

    Raises:
        UsageError: a request that makes no sense, or a baseline that is none.
        OutputError: an output exists, cannot be written, or is being made by another call.
        EdgekitError: not a single file can be measured.
    """
    fields = {name: value for name, value in given.items() if value is not None}
    fields["files"] = tuple(map(Path, fields["files"]))
    request = BenchRequest(**fields)
    limits = _limits(baseline, max_regress)
    before = None if baseline is None else BenchmarkResult.read(baseline)
    wanted = {kind: path for kind, path in outputs.items() if path is not None}
    read = [*request.files, *([] if baseline is None else [baseline])]
    read += [Path(text.partition(":")[0]) for text in (request.input, request.accuracy) if text]
    check_outputs(wanted.values(), read)
    with Outputs(wanted, request, force=force) as files, make_report(steps(request)) as report:
        for text in enough.warnings(request, before, limits):
            report.note(text)
        result = bench(request, report, check=files.check, save=files.write)
    benched = Benched(result=result, unwritten=tuple(files.errors))
    if before is None or not result.rows:
        return benched
    comparison = compare(before, result)
    return replace(benched, comparison=comparison, decisions=gate.decide(comparison, limits))


def _limits(baseline: Path | None, max_regress: Sequence[str]) -> tuple[Limit, ...]:
    if max_regress and baseline is None:
        message = f"--max-regress {max_regress[0]}: worse than what? give --baseline A.json too"
        raise UsageError(message)
    return gate.limits(max_regress)
