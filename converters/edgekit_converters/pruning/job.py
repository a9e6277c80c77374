"""The model that is being pruned, in the process that holds it: loaded, changed, saved."""

from __future__ import annotations

import errno
import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from edgekit import keras_file
from edgekit.child_main import tell
from edgekit.errors import SourceError
from edgekit.prune_request import PruneRequest
from edgekit.quote import first_line
from edgekit_converters import keras_precision, keras_source, keras_worker, samples
from edgekit_converters.loaded_model import LoadedModel
from edgekit_converters.pruning.training.data import TrainingData
from edgekit_converters.pruning.training.judging_data import to_judge_by
from edgekit_converters.tensorflow_setup import tensorflow

CALIBRATION = 256
"""So many training samples set the ranges of the files that the verdict compares."""
_SIZES = (8, 64, 256)
"""Tried along axes that a model leaves free, where no data tell one that it takes."""


@dataclass(slots=True, kw_only=True)
class Job:
    """One call of prune."""

    request: PruneRequest
    path: Path
    """The original's file."""
    workspace: Path
    framework: str
    """Of the model as it is worked on: ``keras``, or ``tf_keras``."""
    model: Any
    """As it is now."""
    loaded: LoadedModel
    """As it was; its inputs stay what they are."""
    data: TrainingData | None
    """To train on, and to judge by."""
    tested: TrainingData | None = None
    """To judge by, where nothing is trained."""
    notes: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    has_zeros: bool = False
    """Whether an earlier call set single weights to zero; they are kept."""

    @classmethod
    def open(cls, plain: dict[str, Any], path: Path, workspace: Path) -> Job:
        """Load the model at `path`, and the data that the request names.

        Raises:
            SourceError: it is no Keras model that can be loaded, or its kind cannot be pruned so.
            DataError: the data do not fit it.
        """
        request = PruneRequest.from_plain(plain | {"source": str(path)})
        tell("importing TensorFlow")
        tensorflow()
        tell("loading the model")
        loaded = load(request, path)
        if loaded.framework == "savedmodel":
            message = (
                f"{path}: a SavedModel has no layers to prune; "
                "give the .keras or .h5 file it was exported from"
            )
            raise SourceError(message)
        job = cls(
            request=request,
            path=path,
            workspace=workspace,
            framework=loaded.framework,
            model=loaded.model,
            loaded=loaded,
            data=None,
            warnings=list(loaded.warnings),
            has_zeros=bool((keras_file.read(path).pruned or {}).get("sparsity")),
        )
        if job.framework == "tf_keras" and request.method.is_structured and request.prunes:
            job._translate()
        if request.data is not None:
            tell("reading the data")
            job.data = TrainingData.open(
                request.data,
                loaded.inputs,
                request.preprocess,
                test=request.test,
                pixel_range=keras_worker._pixel_range(loaded),  # type: ignore[arg-type]
            )
            job.warnings += job.data.warnings
        elif request.test is not None:
            tell("reading the data")
            job.tested = to_judge_by(
                request.test,
                loaded.inputs,
                request.preprocess,
                pixel_range=keras_worker._pixel_range(loaded),  # type: ignore[arg-type]
            )
            job.warnings += job.tested.warnings
        return job

    @property
    def keras(self) -> Any:
        """The module ``keras`` or ``tf_keras`` that the model is of."""
        return importlib.import_module(self.framework)

    @property
    def name(self) -> str:
        """What messages call the model."""
        return self.path.name

    def teacher(self) -> Any:
        """The model to learn from, loaded apart from the one that changes; None without.

        Raises:
            SourceError: it cannot be loaded, or is of another Keras.
        """
        chosen = self.request.teacher
        if chosen is None:
            return None
        tell("loading the teacher")
        found = load(self.request, self.path if chosen == "original" else Path(chosen))
        if found.framework == self.framework:
            return found.model
        if found.framework == "tf_keras":
            from edgekit_converters.pruning.translation.translate import to_keras3

            return to_keras3(found.model, name=str(chosen))
        message = f"--teacher {chosen}: a Keras 3 model cannot teach one of Keras 2; give one of 2"
        raise SourceError(message)

    def save_samples(self) -> dict[str, Any]:
        """Write what the verdict needs: ``calibrate.npz`` and ``test.npz``, prepared.

        Files have one shape, so inputs that leave axes free get that of the samples.

        Raises:
            DataError: a sample cannot be read.
        """
        judging = self.data or self.tested
        if judging is None:
            return {"calibrate": None, "test": None, "prepared": (), "shapes": {}}
        names = [spec.name for spec in judging.dataset.inputs]
        told: dict[str, Any] = {
            "calibrate": None,
            "test": str(judging.save_test(self.workspace / "test.npz")),
            "prepared": [f"{name}:none" for name in names] if len(names) > 1 else ["none"],
            "shapes": _shapes(judging),
        }
        if self.data is None:
            return told
        rows = self.data.train
        chosen = np.sort(np.random.default_rng(0).permutation(rows)[:CALIBRATION])
        arrays = self.data.samples(chosen)
        calibrate = self.workspace / "calibrate.npz"
        samples.save(dict(zip(names, arrays, strict=True)), calibrate)
        return told | {"calibrate": str(calibrate)}

    def _translate(self) -> None:
        from edgekit_converters.pruning.translation.translate import to_keras3

        tell("translating to Keras 3")
        self.notes.append(
            "a Keras 2 model, translated to Keras 3 layer by layer: both give the same outputs"
        )
        self.model = to_keras3(self.model, name=self.name, note=self.notes.append)
        self.framework = "keras"


def _shapes(data: TrainingData) -> dict[str, list[int]]:
    sample = data.dataset.batch([0])
    free = [spec.name for spec in data.dataset.inputs if None in spec.shape[1:]]
    return {name: [1, *sample[name].shape[1:]] for name in free}


def load(request: PruneRequest, path: Path) -> LoadedModel:
    """The model at `path`, as it was saved, to be trained further.

    Raises:
        SourceError: it cannot be loaded.
    """
    custom = request.custom_objects
    return keras_source.load(
        str(path),
        custom_objects=None if custom is None else str(custom),
        trust=request.trust,
        to_train=True,
    )


def save_checked(model: Any, path: Path, job: Job) -> None:
    """Write `model` to `path`, load it again, and see that it gives the same.

    Raises:
        SourceError: it cannot be saved, or what was saved is another model.
    """
    tell("saving")
    before = _answers(model, job)
    try:
        model.save(str(path))
    except Exception as error:  # Keras raises whatever the layers raise
        if getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT):
            raise
        message = (
            f"{job.name}: cannot be saved again: {first_line(error)}; give its layers a config"
        )
        raise SourceError(message) from error
    again = load(job.request, path)
    for ours, theirs in zip(before, _answers(again.model, job), strict=True):
        if not np.allclose(ours, theirs, rtol=1e-4, atol=1e-5, equal_nan=True):
            message = f"{job.name}: gives other results when it is loaded again; report this"
            raise SourceError(message)


def _answers(model: Any, job: Job) -> list[Any]:
    """What `model` gives for seeded random inputs; those that may have any size, of that of data.

    Raises:
        SourceError: there are no data, and it takes none of the sizes that are tried.
    """
    judging = job.data or job.tested
    if judging is not None:
        sample = judging.dataset.batch([0])
        return _answers_to(model, job, {name: array.shape for name, array in sample.items()})
    free = {spec.name: spec.shape for spec in job.loaded.inputs if None in spec.shape[1:]}
    for size in _SIZES if free else ():
        try:
            return _answers_to(model, job, {name: (size,) * len(free[name]) for name in free})
        except Exception as error:  # whatever TensorFlow raises, as of images too small to pool
            failure = error
    if not free:
        return _answers_to(model, job, {})
    message = (
        f"{job.name}: cannot be tried on inputs of {', '.join(map(str, _SIZES))} along their free "
        f"axes ({first_line(failure)}); give samples with --test DATA"
    )
    raise SourceError(message) from failure


def _answers_to(model: Any, job: Job, shapes: Mapping[str, Sequence[int]]) -> list[Any]:
    original = job.loaded
    random = np.random.default_rng(0)
    arrays = []
    for spec in original.inputs:
        shape = [
            size or (1 if at == 0 else shapes[spec.name][at]) for at, size in enumerate(spec.shape)
        ]
        if spec.dtype.startswith("float"):
            arrays.append(random.standard_normal(shape).astype(spec.dtype))
        else:
            bound = keras_worker._integer_bounds(original, (spec,)).get(spec.name, 2)
            arrays.append(random.integers(0, bound, shape).astype(spec.dtype))
    tf = tensorflow()
    with keras_precision.policies_kept(model):
        wrapped = keras_source.from_object(model)
        given = {
            spec.name: tf.constant(array)
            for spec, array in zip(wrapped.inputs, arrays, strict=True)
        }
        made = wrapped.call(given)
    return [np.asarray(value) for _, value in sorted(made.items())]
