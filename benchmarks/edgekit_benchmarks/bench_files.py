"""One call of ``edgekit bench``: check what is asked for, measure, write, compare."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from edgekit.errors import OutputError, UsageError
from edgekit.outputs import check_outputs
from edgekit_benchmarks import comparison_text, gate, report_text
from edgekit_benchmarks.bench import bench, steps
from edgekit_benchmarks.bench_request import BenchRequest
from edgekit_benchmarks.comparison import Comparison, compare
from edgekit_benchmarks.gate import Decision, Limit
from edgekit_benchmarks.result import BenchmarkResult
from edgekit_benchmarks.telling import Report
from edgekit_benchmarks.text_file import write_text

_NO_OUTPUTS: Mapping[str, Path | None] = MappingProxyType({})
INVALID = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Benched:
    """What is to be printed and returned."""

    result: BenchmarkResult
    comparison: Comparison | None = None
    """With the baseline, if there is one."""
    decisions: tuple[Decision, ...] = ()

    @property
    def exit_code(self) -> int:
        """0 fine, 1 a failure, a broken limit or tries that do not agree, 3 INVALID."""
        disagree = not all(told["passed"] for told in self.result.settings.get("tries", ()))
        if self.result.failures or disagree:
            return 1
        code = 0
        if self.comparison is not None:
            code = gate.exit_code(self.comparison, self.decisions)
        return code or (0 if self.result.valid else INVALID)

    @property
    def lines(self) -> tuple[str, ...]:
        """For standard output: the result, and what the comparison with the baseline says."""
        told = report_text.lines(self.result)
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
        outputs: files to write: ``json``, ``html``, ``csv``, ``markdown``.
        force: replace files that exist.
        baseline: an earlier result to compare with.
        max_regress: limits as on the command line.

    Raises:
        UsageError: a request that makes no sense, or a baseline that is none.
        OutputError: an output exists, or cannot be written.
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
    _check_outputs(wanted, force=force)

    def save(made: BenchmarkResult) -> None:
        for kind, path in wanted.items():
            write_text(path, text_of(made, kind), force=force)

    with make_report(steps(request)) as report:
        result = bench(request, report, save=save)
    if before is None or not result.rows:
        return Benched(result=result)
    comparison = compare(before, result)
    return Benched(result=result, comparison=comparison, decisions=gate.decide(comparison, limits))


def text_of(result: BenchmarkResult, kind: str) -> str:
    """The result as a file of that kind: ``json``, ``html``, ``csv``, ``markdown``."""
    if kind == "json":
        return result.to_json()
    module = importlib.import_module(f"edgekit_benchmarks.report_{kind}")
    text: str = getattr(module, f"to_{kind}")(result)
    return text


def _limits(baseline: Path | None, max_regress: Sequence[str]) -> tuple[Limit, ...]:
    if max_regress and baseline is None:
        message = f"--max-regress {max_regress[0]}: worse than what? give --baseline A.json too"
        raise UsageError(message)
    return gate.limits(max_regress)


def _check_outputs(wanted: Mapping[str, Path], *, force: bool) -> None:
    """Before the time is spent on measuring."""
    for path in wanted.values():
        if path.is_dir():
            message = f"{path}: is a folder; name a file in it"
            raise OutputError(message)
        if path.exists() and not force:
            message = f"{path}: exists already; add --force to replace it, or choose another name"
            raise OutputError(message)
