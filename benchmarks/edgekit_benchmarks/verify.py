"""Whether files give on targets what they give here; the plug-in behind ``edgekit verify``."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast, get_args

import numpy as np
from numpy.typing import NDArray

from edgekit import golden
from edgekit.errors import EdgekitError, UsageError
from edgekit.inspection import inspect
from edgekit.recipe import Precision
from edgekit_benchmarks.model_file import ModelFile, each_once, read_model_file
from edgekit_benchmarks.on_target import is_emulated, open_target
from edgekit_benchmarks.output_agreement import OutputAgreement, compare_outputs
from edgekit_benchmarks.target import LOCAL
from edgekit_benchmarks.target_file import find_target
from edgekit_benchmarks.target_session import TargetSession
from edgekit_benchmarks.telling import Report
from edgekit_benchmarks.verified import VerifiedFile, VerifiedTarget, VerifyReport
from edgekit_benchmarks.verify_calls import data_calls, golden_calls, random_calls

Array = NDArray[Any]
Outputs = dict[str, Array]
SAMPLES = 32
GOLDEN = "golden"


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifyRequest:
    """One call of verify, checked before anything is started."""

    files: tuple[Path, ...]
    on: tuple[str, ...] = ()
    data: str | None = None
    """A data source; None for random inputs from a fixed seed."""
    preprocess: tuple[str, ...] = ()
    samples: int = SAMPLES
    threads: int = 1
    limit_s: float = 3600.0

    def __post_init__(self) -> None:
        """Refuse what can be refused without a look at the files."""
        if not self.files:
            message = "verify: no files; give at least one"
            raise UsageError(message)
        if self.samples < 1:
            message = f"--samples {self.samples}: nothing to run; {SAMPLES} is usual"
            raise UsageError(message)
        if self.preprocess and self.data is None:
            message = "--preprocess: says how --data becomes input; give --data DATA too"
            raise UsageError(message)
        if self.data is not None and not self.on:
            message = "--data: is run here and there, to be compared; give --on TARGET too"
            raise UsageError(message)

    @property
    def places(self) -> tuple[str, ...]:
        """This machine, and each target once."""
        return tuple(dict.fromkeys((LOCAL, *self.on)))


@dataclass(slots=True, kw_only=True)
class _Task:
    """A file, what it is run on, and what came of it."""

    file: ModelFile
    cases: tuple[golden.Golden, ...]
    calls: list[dict[str, Array]]
    """Of the golden cases, then of the data."""
    source: str
    here: list[Outputs] = field(default_factory=list)
    found: list[VerifiedTarget] = field(default_factory=list)


def verify_files(given: Mapping[str, Any], report: Report) -> VerifyReport:
    """The plug-in ``verify`` of ``edgekit.benchmarks``.

    Args:
        given: the fields of `VerifyRequest`; None stands for its default.
        report: told about the progress: once for each file in each place.

    Raises:
        UsageError: a request that makes no sense, or a target that does not exist.
        EdgekitError: the only file cannot be used.
    """
    fields = {name: value for name, value in given.items() if value is not None}
    request = VerifyRequest(**fields | {"files": tuple(map(Path, fields["files"]))})
    targets = {name: find_target(name) for name in request.places}
    tasks: list[_Task | VerifiedFile] = []
    for path in each_once(request.files):
        try:
            tasks.append(_task(path, request))
        except EdgekitError as error:
            if len(request.files) == 1:
                raise
            tasks.append(VerifiedFile(path=str(path), error=str(error)))
    todo = [task for task in tasks if isinstance(task, _Task)]
    for name, target in targets.items():
        try:
            link = open_target(target)
        except EdgekitError as error:
            for task in todo:
                report.step(f"{task.file.path.name} on {name}")
                task.found.append(VerifiedTarget(target=name, error=str(error)))
            continue
        with link:
            emulated = is_emulated(link)
            for task in todo:
                report.step(f"{task.file.path.name} on {name}")
                session = TargetSession(
                    link,
                    task.file.path,
                    threads=request.threads,
                    limit_s=request.limit_s,
                    tell=report.detail,
                )
                found = _tried(task, session, name)
                task.found.append(replace(found, emulated=emulated))
    return VerifyReport(files=tuple(map(_told, tasks)), notes=_notes(request, todo))


def _told(task: _Task | VerifiedFile) -> VerifiedFile:
    if isinstance(task, VerifiedFile):
        return task
    return VerifiedFile(
        path=str(task.file.path), precision=task.file.precision, targets=tuple(task.found)
    )


def _task(path: Path, request: VerifyRequest) -> _Task:
    file = read_model_file(path)
    if file.kind == "keras":
        message = f"{path}: a keras model, which no target runs; run: edgekit convert"
        raise UsageError(message)
    cases = golden.cases(file.manifest, str(path))
    if not request.on and not cases:
        message = (
            f"{path}: has no golden cases to be compared with; give --on TARGET, or convert the "
            "model with this edgekit"
        )
        raise UsageError(message)
    calls = golden_calls(file, cases)
    source = request.data or "random"
    if request.data is not None:
        calls += data_calls(file, request.data, request.preprocess, request.samples)
    elif request.on:
        calls += random_calls(file, calls, request.samples)
    return _Task(file=file, cases=cases, calls=calls, source=source)


def _tried(task: _Task, session: TargetSession, name: str) -> VerifiedTarget:
    """Run everything in one place, and compare; what fails there is part of the result."""
    try:
        made = session.run_each_stored(task.calls)
        real = [session.real(one) for one in made[: len(task.cases)]]
    except EdgekitError as error:
        return VerifiedTarget(target=name, error=str(error))
    outputs = _against_file(task, session, real)
    if name == LOCAL:
        task.here = made
    elif task.here:
        outputs += _against_here(task, session, made)
    return VerifiedTarget(target=name, runtime=session.runtime, outputs=tuple(outputs))


def _against_file(
    task: _Task, session: TargetSession, real: Sequence[Outputs]
) -> list[OutputAgreement]:
    """Golden results are what the file gave where it was made, rounded and thinned out."""
    found = []
    for spec in session.outputs:
        wanted = [case.outputs[spec.name] for case in task.cases if spec.name in case.outputs]
        if not wanted:
            continue
        given = [one[spec.name] for one in real]
        apart = max(
            one.difference(array) if array.shape == one.shape else math.inf
            for one, array in zip(wanted, given, strict=True)
        )
        reach = max(float(np.abs(one.packed.values().astype(np.float64)).max()) for one in wanted)
        found.append(
            OutputAgreement(
                output=spec.name,
                dtype=spec.dtype,
                inputs=GOLDEN,
                against="file",
                samples=len(wanted),
                values=sum(one.packed.elements for one in wanted),
                equal=None,
                max_steps=None,
                max_abs_error=apart,
                relative_error=apart / (reach or 1.0),
                argmax_agreement=None,
                tolerance=wanted[0].tolerance,
            )
        )
    return found


def _against_here(
    task: _Task, session: TargetSession, made: Sequence[Outputs]
) -> list[OutputAgreement]:
    count = len(task.cases)
    parts = {GOLDEN: slice(0, count), task.source: slice(count, None)}
    found = []
    for source, part in parts.items():
        here, there = task.here[part], made[part]
        for spec in session.outputs if here else ():
            stored = task.cases[0].outputs.get(spec.name) if task.cases else None
            found.append(
                compare_outputs(
                    spec,
                    [one[spec.name] for one in here],
                    [one[spec.name] for one in there],
                    inputs=source,
                    precision=_precision(task.file),
                    stored_tolerance=stored.tolerance if stored is not None else None,
                )
            )
    return found


def _precision(file: ModelFile) -> Precision:
    """What the manifest says; of files without one, whether they compute with integers at all."""
    if file.precision in get_args(Precision) and "recipe" in file.manifest:
        return cast("Precision", file.precision)
    if any("quantize" in name.lower() for name in inspect(file.path).operators):
        return "int8"
    return cast("Precision", file.precision if file.precision in get_args(Precision) else "float32")


def _notes(request: VerifyRequest, tasks: Sequence[_Task]) -> tuple[str, ...]:
    notes = []
    if request.on and request.data is None and tasks:
        notes.append(
            f"random: {request.samples} made-up samples from a fixed seed; real ones say more: "
            "--data DATA"
        )
    for task in tasks:
        here, *others = task.found
        versions = {one.runtime for one in others if one.runtime} - {here.runtime}
        if versions and here.runtime:
            notes.append(
                f"{task.file.path.name}: {here.runtime} here, {', '.join(sorted(versions))} there; "
                "other versions may round differently"
            )
    return tuple(notes)
