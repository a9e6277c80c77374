"""Train the model of a job: one stage after pruning, clustering and quantization-aware training."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edgekit.child_main import tell
from edgekit.errors import ConversionError, UsageError
from edgekit.prune_request import PruneRequest
from edgekit.pruning import TRAINING
from edgekit_converters.pruning.job import Job
from edgekit_converters.pruning.training.compiled import goal, output_names
from edgekit_converters.pruning.training.fine_tune import Projection, fine_tune
from edgekit_converters.pruning.training.history import History
from edgekit_converters.pruning.training.settings import TrainingSettings

LINE = "\n"
"""Events that begin so are lines to keep; others are only of the moment."""


def settings_of(request: PruneRequest) -> TrainingSettings:
    """How to train, as the request says; the rest follows from the model."""
    return TrainingSettings(
        epochs=max(1, request.epochs_to_train),
        learning_rate=request.learning_rate,
        optimizer=request.optimizer,
        loss=request.loss,
        metrics=request.metrics or None,
        batch_size=request.batch_size,
        temperature=request.temperature,
    )


def trained_output(job: Job) -> str | None:
    """Which of several outputs is trained, and so is what can be scored; None where there is one.

    Raises:
        UsageError: it is to be trained, and nothing says which.
    """
    names = output_names(job.model)
    if len(names) == 1 or (job.data is None and job.tested is None):
        return None
    try:
        trained = names[goal(job.model, settings_of(job.request), job.keras, name=job.name).output]
    except UsageError:
        if job.request.epochs_to_train:
            raise
        return None
    if not job.request.epochs_to_train:
        return trained
    others = ", ".join(name for name in names if name != trained)
    job.warnings.append(
        f"only the output {trained!r} is trained and scored; what it shares with {others} changes, "
        "too, so look at what became of that"
    )
    return trained


def keep(line: str) -> None:
    """Tell something that stays readable."""
    tell(f"{LINE}{line}")


def steps_of(job: Job) -> int:
    """Steps of the optimizer that one stage takes."""
    assert job.data is not None
    fixed = [spec.shape[0] for spec in job.loaded.inputs if spec.shape and spec.shape[0]]
    batch = max(fixed) if fixed else job.request.batch_size
    whole, rest = divmod(len(job.data.train), batch)
    return max(1, whole + bool(rest and not fixed)) * max(1, job.request.epochs_to_train)


def train(
    job: Job,
    model: Any,
    stage: str,
    *,
    projections: Sequence[Projection] = (),
    folder: Path,
    digest: str,
) -> History:
    """Train `model` in place, with a checkpoint after each epoch in ``folder/stage``.

    Raises:
        ConversionError: the loss became NaN or infinite before any epoch was over, and there is
            nothing to keep: no earlier stage was trained, or its model is no result of this one.
        EdgekitError: as `fine_tune`.
    """
    assert job.data is not None
    request = job.request
    history = fine_tune(
        model,
        job.data,
        settings_of(request),
        keras=job.keras,
        projections=projections,
        teacher=job.teacher(),
        checkpoint=folder / stage,
        digest=f"{digest} {stage}",
        resume=request.resume and (folder / stage).is_dir(),
        report=lambda line: keep(f"{stage}: {line}"),
        tick=tell,
        name=job.name,
    )
    is_first = not any(folder.rglob(TRAINING))
    if history.is_lost and not history.epochs and (is_first or not history.before.is_settled):
        message = f"{job.name}: {stage}: {history.stopped}"
        raise ConversionError(message)
    return history
