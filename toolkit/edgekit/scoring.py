"""Score model files, whatever their format, on the same labelled data."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.benchmarking import TARGET_PREDICTOR
from edgekit.child import Child, Limits
from edgekit.data_name import data_name
from edgekit.errors import EdgekitError, UsageError
from edgekit.evaluate_request import EvaluateRequest
from edgekit.evaluate_row import EvaluateRow, rows_of
from edgekit.evaluation import (
    Decided,
    Evaluation,
    FileScore,
    numeric_against,
    numeric_scores,
)
from edgekit.predict import Question
from edgekit.progress import Progress
from edgekit.task import Task, task_of

Array = NDArray[Any]

_NO_FACTS: Mapping[str, Any] = MappingProxyType({})


def evaluate(
    files: Sequence[str | os.PathLike[str]],
    *,
    data: str | os.PathLike[str],
    preprocess: str | Sequence[str] = (),
    top_k: int | None = None,
    task: Task | None = None,
    output: str | None = None,
    limit: int | None = None,
    custom_objects: str | os.PathLike[str] | None = None,
    trust_model: bool = False,
    limits: Limits | None = None,
    on: str | Sequence[str] = (),
) -> Evaluation:
    """Score every file on `data`, and compare each with the first, sample by sample.

        edgekit.evaluate(["mnist.keras", "mnist.int8.tflite"], data="mnist.npz:test")

    Args:
        files: any mix of ``.keras``, ``.h5``, SavedModel, ``.tflite`` and ``.onnx``.
        data: a data source as on the command line; without labels only changes are counted.
        preprocess: how data becomes input; by default what the first artifact's manifest says.
        top_k: also count how often the right class is among the k highest scores.
        task: by default guessed from labels and outputs; the result says so.
        output: which output is scored, by name, where there are several.
        limit: use only so many samples, of every class its share; always the same ones.
        custom_objects: a Python file that defines a Keras model's own layers.
        trust_model: also load models that hold Lambda layers, that is, arbitrary code.
        limits: time for one file, and memory of one child process.
        on: targets that run the ``.tflite`` and ``.onnx`` files, as of `edgekit.bench`; with
            several, each file has a row for each. Other files run here.

    Raises:
        EdgekitError: the first file cannot be scored; the message says why. Errors of other files
            are in their `FileScore`.
    """
    request = EvaluateRequest(
        files=tuple(Path(file) for file in files),
        data=data_name("data", data),
        preprocess=(preprocess,) if isinstance(preprocess, str) else tuple(preprocess),
        top_k=top_k,
        task=task,
        output=output,
        limit=limit,
        custom_objects=None if custom_objects is None else Path(custom_objects),
        trust=trust_model,
        limits=limits or Limits(),
        on=(on,) if isinstance(on, str) else tuple(on),
    )
    return run(request, Progress(total=len(request.files), enabled=False))


def run(request: EvaluateRequest, progress: Progress) -> Evaluation:
    """Do what `request` says; a failure of a file other than the first is part of the result.

    Raises:
        EdgekitError: the first file cannot be scored.
    """
    rows = rows_of(request.files, request.on)
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="edgekit-evaluate-"))
        run_ = _Run(request, rows, progress, Path(folder), stack)
        return run_.evaluation()


class _Run:
    """One evaluation: its children, its folder, and what the first file gave."""

    def __init__(
        self,
        request: EvaluateRequest,
        rows: tuple[EvaluateRow, ...],
        progress: Progress,
        folder: Path,
        stack: ExitStack,
    ) -> None:
        self.request = request
        self.rows = rows
        self.progress = progress
        self.folder = folder
        self.stack = stack
        self.children: dict[str, Child] = {}
        self.notes: list[str] = []
        self.question = Question(
            data=request.data,
            preprocess=request.preprocess,
            output=request.output,
            task=request.task,
            limit=request.limit,
        )

    def evaluation(self) -> Evaluation:
        preprocess_from = self._read_manifests()
        facts, kept = self._predict(0)
        kind = facts["kind"]
        self.question = _replaced(self.question, task=task_of(kind))
        self._check_first(facts)
        scores = [self._score(0, kept, facts, kept)]
        for index in range(1, len(self.rows)):
            try:
                other, columns = self._predict(index)
                self._check_same(index, other, facts)
                scores.append(self._score(index, columns, other, kept))
            except EdgekitError as error:
                scores.append(self._file(index, error=str(error)))
        if TARGET_PREDICTOR in self.children:
            self.children[TARGET_PREDICTOR].call("close")
        has_labels = facts["labels_sha256"] is not None
        return Evaluation(
            data=self.request.data,
            samples=facts["samples"],
            available=facts["available"],
            is_random=facts["is_random"],
            has_labels=has_labels,
            task=task_of(kind),
            task_was_guessed=self.request.task is None,
            output=facts["output"],
            k=self.request.top_k,
            preprocess=facts["preprocess"],
            preprocess_from=preprocess_from,
            files=tuple(scores),
            notes=tuple(self.notes),
        )

    def _read_manifests(self) -> str:
        """Preprocessing and class names of the first artifact that has any; says where from."""
        stored: dict[str, tuple[str, Any]] = {}
        is_prepared = bool(self.request.preprocess)
        for row in self.rows:
            file = row.file
            if not row.is_for_devices:
                continue
            try:
                found = self._child(row).call("describe", path=str(file))
            except EdgekitError:
                continue  # the same error comes again, with the file's own row, when it is run
            is_prepared = is_prepared or bool(found["preprocess"])
            for name, value in found.items():
                if value and name not in stored:
                    stored[name] = (str(file), value)
                elif value and stored[name][1] != value and not self.request.preprocess:
                    self._note(f"{file}: stores other {name} than {stored[name][0]}, which holds")
        self.question = _replaced(self.question, is_prepared=is_prepared)
        if "labels" in stored:
            names = tuple(stored["labels"][1])
            self.question = _replaced(self.question, class_names=names)
        if self.request.preprocess:
            return "--preprocess"
        if "preprocess" in stored:
            self.question = _replaced(self.question, stored=stored["preprocess"][1])
            return stored["preprocess"][0]
        return ""

    def _predict(self, index: int) -> tuple[dict[str, Any], dict[str, Array]]:
        row = self.rows[index]
        self.progress.step(f"predict with {row.short_title}")
        out = self.folder / f"{index}.npz"
        custom = self.request.custom_objects
        options: dict[str, Any] = {
            "custom_objects": None if custom is None else str(custom),
            "trust": self.request.trust,
        }
        if row.target is not None:
            options = {"target": row.target, "limit_s": self.request.limits.time_s}
        facts: dict[str, Any] = self._child(row).call(
            "predict",
            path=str(row.file),
            question=asdict(self.question),
            out=str(out),
            first=str(self.folder / "first.npy"),
            is_first=index == 0,
            options=options,
        )
        with np.load(out, allow_pickle=False) as archive:
            kept = {name: archive[name] for name in archive.files}
        out.unlink()
        for warning in facts["warnings"]:
            self._note(warning)
        if facts["nan_rows"]:
            self._note(f"{row.title}: NaN in the outputs for {facts['nan_rows']} samples")
        return facts, kept

    def _child(self, row: EvaluateRow) -> Child:
        module = row.predictor()
        if module not in self.children:
            child = Child(
                module,
                limits=self.request.limits,
                verbose=self.request.verbose,
                on_event=self.progress.detail,
            )
            self.children[module] = self.stack.enter_context(child)
        return self.children[module]

    def _check_first(self, facts: dict[str, Any]) -> None:
        has_labels = facts["labels_sha256"] is not None
        if not has_labels and len(self.rows) == 1:
            message = (
                f"{self.request.data}: has no labels, so a single file cannot be scored; "
                "give labels (y in a .npz, sub-folders of images, a column 'label'), or two files"
            )
            raise UsageError(message)
        if not has_labels:
            self._note(f"{self.request.data}: no labels, so only changes are counted")
        if facts["classes_counted"]:
            names = facts["classes_counted"]
            told = ", ".join(names[:3]) + (", …" if len(names) > 3 else "")
            self._note(
                f"{self.request.data}: no file stores class names, so its {len(names)} classes are "
                f"counted from 0 in this order: {told}"
            )
        if facts["is_random"]:
            self._note(f"{self.request.data}: random numbers, which say nothing about real inputs")
        if self.request.top_k is not None and facts["kind"] != "classes":
            message = (
                f"--top-k {self.request.top_k}: output {facts['output']!r} has no scores for "
                "several classes; leave it out"
            )
            raise UsageError(message)
        if self.request.top_k is not None and self.request.top_k > facts["classes"]:
            message = (
                f"--top-k {self.request.top_k}: output {facts['output']!r} has only "
                f"{facts['classes']} classes; give fewer"
            )
            raise UsageError(message)

    def _check_same(self, index: int, facts: dict[str, Any], first: dict[str, Any]) -> None:
        file = self.rows[index].title
        if facts["kind"] != first["kind"]:
            message = (
                f"{file}: gives {facts['kind']}, the first file gives {first['kind']}; "
                "compare models of one task"
            )
            raise UsageError(message)
        if (facts["samples"], facts["labels_sha256"]) != (
            first["samples"],
            first["labels_sha256"],
        ):
            message = (
                f"{self.request.data}: gave other samples or labels for {file} than for the "
                "first file; it must give the same each time it is read"
            )
            raise UsageError(message)
        if facts["preprocess"] != first["preprocess"] and len(facts["preprocess"]) > 1:
            self._note(f"{file}: its inputs are prepared differently: {facts['preprocess']}")

    def _score(
        self, index: int, kept: dict[str, Array], facts: dict[str, Any], first: dict[str, Array]
    ) -> FileScore:
        if facts["kind"] == "values":
            against = numeric_against(kept, first) if index else None
            return self._file(index, facts, **numeric_scores(kept), against_first=against)
        threshold = self._threshold(first.get("score"), say=index == 0)
        decided = Decided.of(kept, threshold=threshold, k=self.request.top_k)
        reference = Decided.of(first, threshold=threshold, k=self.request.top_k)
        against = decided.against(reference) if index else None
        return self._file(index, facts, **decided.scores(), against_first=against)

    def _threshold(self, scores: Array | None, *, say: bool) -> float:
        if scores is None or (scores.min() >= 0 and scores.max() <= 1):
            return 0.5
        if say:
            self._note("the one score goes beyond 0..1, so it is taken as a logit: yes above 0")
        return 0.0

    def _file(self, index: int, facts: Mapping[str, Any] = _NO_FACTS, **scores: Any) -> FileScore:
        row = self.rows[index]
        return FileScore(
            path=str(row.file),
            format=row.kind,
            size_bytes=row.size_bytes,
            target=row.target,
            emulated=facts.get("emulated", False),
            runtime=facts.get("runtime"),
            **scores,
        )

    def _note(self, text: str) -> None:
        if text not in self.notes:
            self.notes.append(text)


def _replaced(question: Question, **changes: Any) -> Question:
    return Question(**{**asdict(question), **changes})
