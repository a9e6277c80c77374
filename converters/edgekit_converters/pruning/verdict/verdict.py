"""What pruning changed: files made from both models, scored and measured side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import edgekit
from edgekit import scoring
from edgekit.artifact import Artifact
from edgekit.child import Limits
from edgekit.errors import EdgekitError
from edgekit.evaluate_request import EvaluateRequest
from edgekit.evaluation import Evaluation, FileScore
from edgekit.progress import Progress
from edgekit.prune_verdict import FileFacts, LatencyRatio, Pair, Precision, Verdict
from edgekit.request import ConvertRequest
from edgekit_converters.convert import convert
from edgekit_converters.pruning.verdict.latency import Latencies, measure
from edgekit_converters.workers import Workers

PRECISIONS: tuple[Precision, ...] = ("float32", "int8")
STEPS = 4
"""Of progress that `verdict` reports, at most."""
_NO_LABELS = "no data with labels"
_FOR_INT8 = "trained for int8, it rounds in a float32 file, too, which is of no use"
_ON_NOISE = "int8 was calibrated on random numbers; give real data with --data"


@dataclass(frozen=True, slots=True, kw_only=True)
class VerdictSettings:
    """What both models are judged by."""

    train: str | None = None
    """A data source; int8 is calibrated on it. Without it on `test`, else on random numbers."""
    test: str | None = None
    """A data source that nothing was trained on, with labels to score by."""
    test_name: str | None = None
    """What the result calls it; a temporary file has no name that says anything."""
    preprocess: tuple[str, ...] = ()
    """How both become input; ``("none",)`` or nothing where they are prepared already."""
    shapes: Mapping[str, tuple[int | None, ...]] = field(default_factory=dict)
    """Of inputs that leave axes free: those of the files."""
    output: str | None = None
    """Which output is scored, where there are several."""
    custom_objects: Path | None = None
    trust: bool = False
    limits: Limits = field(default_factory=Limits)
    verbose: bool = False
    is_quantized: bool = False
    """Whether tensorflow-model-optimization trained the pruned model for int8, so that it rounds in
    any file: shapes are the original's, and a float32 file would say nothing."""
    latency: bool = True
    """Whether latency is measured at all."""
    on: str | None = None
    """The target that measures it; None for here."""


def verdict(
    original: Path,
    pruned: Path,
    *,
    settings: VerdictSettings,
    workspace: Path,
    progress: Progress,
    workers: Workers | None = None,
) -> Verdict:
    """Convert both models, and compare size, quality and latency of what comes out.

    What cannot be made or measured is a reason in the result, not an error.

    Args:
        original: a Keras model file.
        pruned: the one made from it.
        settings: what to judge by.
        workspace: an existing folder for files that nobody needs later.
        progress: told `STEPS` steps at most.
        workers: child processes to convert with, if there are any already; they are stopped
            before anything is measured, as they hold memory and wake up.
    """
    judge = _Judge(settings=settings, workspace=workspace, progress=progress)
    if workers is None:
        workers = Workers(settings.limits, verbose=settings.verbose, on_event=progress.detail)
    with workers:
        made = [
            judge.files("original", original, workers, PRECISIONS),
            judge.files("pruned", pruned, workers, judge.wanted),
        ]
    scores = {precision: judge.scores(precision, *made) for precision in PRECISIONS}
    latencies = judge.latencies(made)
    first = scores["float32"].evaluation or scores["int8"].evaluation
    return Verdict(
        parameters=_both(_parameters(original), _parameters(pruned), same=settings.is_quantized),
        multiply_adds=_both(*map(_multiply_adds, made), same=settings.is_quantized),
        pairs=tuple(
            _pair(precision, made, scores[precision], latencies) for precision in PRECISIONS
        ),
        samples=first.samples if first else 0,
        data=(settings.test_name or settings.test) if first else None,
        task=first.task if first else None,
        processes=latencies.processes,
        notes=(*judge.notes(), *judge.of_data(first), *latencies.doubts),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Files:
    """What was made from one model, or why not."""

    artifacts: dict[str, Artifact] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Scores:
    """Of one precision: both files on the test samples, or why not."""

    evaluation: Evaluation | None = None
    reason: str = ""

    def of(self, index: int) -> FileScore | None:
        return self.evaluation.files[index] if self.evaluation else None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Judge:
    settings: VerdictSettings
    workspace: Path
    progress: Progress

    @property
    def calibration(self) -> str:
        return self.settings.train or self.settings.test or "random"

    def notes(self) -> tuple[str, ...]:
        if self.calibration == self.settings.test:
            return (
                "int8 files are calibrated on some of the test samples, as there are no others",
            )
        if self.calibration == "random":
            return ("int8 files are calibrated on random numbers, as there are no data",)
        return ()

    def of_data(self, evaluation: Evaluation | None) -> tuple[str, ...]:
        """What there is to say about the test samples, called as the user calls them."""
        test, name = self.settings.test, self.settings.test_name
        notes = evaluation.notes if evaluation else ()
        return tuple(note.replace(test, name) for note in notes) if test and name else notes

    @property
    def wanted(self) -> tuple[Precision, ...]:
        """Files that are made of the pruned model."""
        return ("int8",) if self.settings.is_quantized else PRECISIONS

    def files(
        self, name: str, model: Path, workers: Workers, wanted: tuple[Precision, ...]
    ) -> _Files:
        """``NAME.float32.tflite`` and ``NAME.int8.tflite``, as far as they can be made."""
        self.progress.step(f"convert the {name} model")
        out = self.workspace / name
        request = ConvertRequest(
            source=model,
            out=out,
            precisions=wanted,
            calibrate=self.calibration,
            preprocess=self.settings.preprocess,
            shapes=self.settings.shapes,
            custom_objects=self.settings.custom_objects,
            trust=self.settings.trust,
            limits=self.settings.limits,
            verbose=self.settings.verbose,
            force=True,
        )
        try:
            done = convert(request, Quiet(self.progress), workers=workers)
        except EdgekitError as error:
            return _Files(errors=dict.fromkeys(wanted, str(error)))
        unwanted = dict.fromkeys(PRECISIONS, _FOR_INT8)
        return _Files(
            artifacts={made.precision: made for made in done.artifacts},
            errors=unwanted | {failure.precision: failure.error for failure in done.failures},
        )

    def scores(self, precision: str, original: _Files, pruned: _Files) -> _Scores:
        """Both files on the test samples; the second against the first."""
        if self.settings.test is None:
            return _Scores(reason=_NO_LABELS)
        if precision == "int8" and self.calibration == "random":
            return _Scores(reason=_ON_NOISE)
        if not (precision in original.artifacts and precision in pruned.artifacts):
            return _Scores(reason="a file is missing")
        self.progress.detail(f"score the {precision} files")
        request = EvaluateRequest(
            files=(original.artifacts[precision].path, pruned.artifacts[precision].path),
            data=self.settings.test,
            output=self.settings.output,
            preprocess=self.settings.preprocess,
            custom_objects=self.settings.custom_objects,
            trust=self.settings.trust,
            limits=self.settings.limits,
            verbose=self.settings.verbose,
        )
        if precision == "float32":
            self.progress.step("score both on the test samples")
        try:
            evaluation = scoring.run(request, Quiet(self.progress))
        except EdgekitError as error:  # prune has no --output: what is trained is scored
            return _Scores(reason=str(error).removeprefix("--output: "))
        failed = next((file.error for file in evaluation.files if file.error), "")
        if failed:
            return _Scores(reason=failed)
        return _Scores(evaluation=evaluation, reason="" if evaluation.has_labels else _NO_LABELS)

    def latencies(self, made: Sequence[_Files]) -> Latencies:
        files = [artifact.path for files in made for artifact in files.artifacts.values()]
        if not self.settings.latency or not any(
            all(precision in files.artifacts for files in made) for precision in self.wanted
        ):
            return Latencies(reason="not asked for" if not self.settings.latency else "no files")
        self.progress.step("measure latency, all files in turn")
        return measure(files, Quiet(self.progress), on=self.settings.on)


class Quiet(Progress):
    """Steps of a part are details of the whole; what it notes stands in its result."""

    def __init__(self, whole: Progress) -> None:
        """Of which this is a part."""
        super().__init__(total=1, enabled=False)
        self._whole = whole

    def step(self, text: str) -> None:
        """A detail."""
        self._whole.detail(text)

    def detail(self, text: str) -> None:
        """Too fine to be told."""

    def note(self, text: str) -> None:
        """Known from the result."""


def _pair(
    precision: Precision, made: Sequence[_Files], scores: _Scores, latencies: Latencies
) -> Pair:
    missing = [
        f"{name}: {files.errors.get(precision, 'not made')}"
        for name, files in zip(("the original", "the pruned model"), made, strict=True)
        if precision not in files.artifacts
    ]
    facts = [
        _facts(files.artifacts.get(precision), scores.of(index), latencies)
        for index, files in enumerate(made)
    ]
    score = scores.of(1)
    ratio: LatencyRatio | None = None
    reason = latencies.reason
    if not missing:
        original, pruned = (files.artifacts[precision].path for files in made)
        ratio, reason = latencies.ratio(pruned, original)
    return Pair(
        precision=precision,
        original=facts[0],
        pruned=facts[1],
        error="; ".join(missing),
        against=score.against_first if score else None,
        unscored=scores.reason,
        latency=ratio,
        unmeasured=reason,
    )


def _facts(
    artifact: Artifact | None, score: FileScore | None, latencies: Latencies
) -> FileFacts | None:
    if artifact is None:
        return None
    doubt = artifact.verification.reason
    return FileFacts(
        size_bytes=artifact.size_bytes,
        gzip_bytes=artifact.gzip_bytes,
        accuracy=score.accuracy if score else None,
        mae=score.mae if score else None,
        p50_ns=latencies.p50_ns.get(str(artifact.path)),
        notes=(*artifact.notes, *((doubt,) if doubt else ())),
    )


def _parameters(model: Path) -> int | None:
    try:
        weights = edgekit.inspect(model).weights
    except EdgekitError:
        return None
    return weights.parameters if weights else None


def _multiply_adds(files: _Files) -> int | None:
    artifact = files.artifacts.get("float32")
    if artifact is None:
        return None
    compute = edgekit.inspect(artifact.path).compute
    if compute is None or compute.multiply_adds_per_loop_step or compute.uncounted_operators:
        return None  # a loop's turns are not known
    return compute.multiply_adds


def _both(before: int | None, counted: int | None, *, same: bool) -> tuple[int, int] | None:
    after = before if same else counted
    return None if before is None or after is None else (before, after)
