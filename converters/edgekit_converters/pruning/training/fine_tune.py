"""Train a model on, with its pruned weights held, and keep the best that came of it.

data = TrainingData.open("train.npz", loaded.inputs, ["scale=1/255"])
history = fine_tune(model, data, TrainingSettings(epochs=3), keras=keras, report=print)

loss: as compiled …
before: validation 61.2%, 0 s
epoch 1/3: loss 0.41, accuracy 85.2%, validation 88.0%, sparsity 63.2%, 12 s
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from edgekit.errors import ConversionError, DataError, UsageError
from edgekit.quote import first_line
from edgekit_converters.keras_precision import half_precision_layers
from edgekit_converters.pruning.training import checkpoints, distill
from edgekit_converters.pruning.training.compiled import goal, optimizer
from edgekit_converters.pruning.training.data import TrainingData
from edgekit_converters.pruning.training.epochs import Follower
from edgekit_converters.pruning.training.feed import Feed, memory_bound
from edgekit_converters.pruning.training.history import History
from edgekit_converters.pruning.training.labels import fit_labels
from edgekit_converters.pruning.training.settings import TrainingSettings


class Projection(Protocol):
    """Something that holds weights in a set while others move them: masks, clusters.

    It may have more: ``state() -> Mapping[str, array]`` and ``restore(state)``, which make a
    resumed training the same as an uninterrupted one; and ``is_settled``, False as long as a
    schedule has not reached its end: such epochs are kept only as long as there is no other.
    """

    def begin(self, model: Any, steps: int) -> None:
        """Before the first of `steps` batches."""

    def after_batch(self, step: int) -> None:
        """After `step` batches, from 1."""

    def finish(self) -> None:
        """After the last, when the best weights are back in the model."""

    def progress(self) -> str:
        """For the user: ``sparsity 63.2%``."""
        ...


def fine_tune(
    model: Any,
    data: TrainingData,
    settings: TrainingSettings,
    *,
    keras: Any,
    projections: Sequence[Projection] = (),
    teacher: Any = None,
    checkpoint: Path | None = None,
    digest: str = "",
    resume: bool = False,
    report: Callable[[str], None],
    tick: Callable[[str], None] | None = None,
    callbacks: Sequence[Any] = (),
    name: str = "model",
) -> History:
    """Train `model` in place by ``model.fit``; its compilation stays what it was.

    It has the best weights in the end: those of the lowest loss on the validation data, of all
    epochs in which the projections had reached their end, or those it came with.

    Args:
        model: of either Keras.
        data: with labels.
        settings: of the training.
        keras: the module ``keras`` or ``tf_keras``, the one that `model` is of.
        projections: what is held, applied after each batch in this order.
        teacher: a model to learn from, besides the labels.
        checkpoint: a folder for the state after each epoch.
        digest: of model, data and settings: a checkpoint with another one is refused.
        resume: go on from the checkpoint, if there is one.
        report: takes the line of each epoch, and what had to be assumed.
        tick: takes progress within an epoch, at most once a second: ``epoch 3/10: 45%``.
        callbacks: of Keras, besides.
        name: what messages call the model.

    Raises:
        UsageError: no loss is known, unknown names, several outputs, nothing to train, a teacher
            that does not fit, or the checkpoint of another job.
        DataError: the labels do not fit the loss, or a sample cannot be read.
        ConversionError: the loss or a metric cannot be computed of labels and outputs.
        OutputError: the checkpoint cannot be written.
        SourceError: the checkpoint is damaged.
    """
    aim = goal(model, settings, keras, name=name, seen=_seen(model, data))
    trainer = _trainer(model, aim.output, keras, name)
    if not trainer.trainable_variables:
        message = f"{name}: all of its layers are frozen; set trainable=True and save it again"
        raise UsageError(message)
    shape = _output_shape(trainer, data)
    labels = fit_labels(data.labels, aim.family, shape, source=data.text)
    if data.tested is not data.dataset and data.tested.labels is not None:  # before hours of work
        fit_labels(data.tested.labels, aim.family, shape, source=f"--test {data.tested.text}")
    fixed = {spec.shape[0] for spec in data.dataset.inputs if spec.shape} - {None}
    feed = Feed(
        data,
        labels,
        fixed_batch=max((size for size in fixed if size), default=None),
        memory_bytes=memory_bound(),
    )
    steps = feed.steps(data.train, settings.batch_size)
    if not steps or not feed.steps(data.validation, settings.batch_size):
        message = f"{data.text}: has fewer samples than the fixed batch of the model; give more"
        raise DataError(message)
    made, notes = optimizer(model, settings, steps * settings.epochs, keras)
    halved = {layer.compute_dtype for layer in half_precision_layers(model)}
    if keras.__name__ == "keras" and "float16" in halved:  # where small gradients would vanish
        made = keras.optimizers.LossScaleOptimizer(made)
    for note in (*aim.notes, *notes):
        report(note)
    state = checkpoints.load(checkpoint, digest) if resume and checkpoint is not None else None
    kept = _compiled_before(model, trainer)
    trained, targets = trainer, None
    if teacher is not None:
        distill.check_teacher(teacher, model)
        report(f"asking the teacher about {len(data.train)} samples")
        answer = distill.teacher_function(teacher, aim.output, shape)
        targets = distill.teacher_targets(
            answer, feed, len(data.train), family=aim.family, memory_bytes=memory_bound()
        )
        trained = distill.distilling(trainer, settings, aim, keras)
    trained.compile(
        optimizer=made, loss=aim.loss, metrics=list(aim.metrics) or None, jit_compile=False
    )
    validation = feed.validation(settings.batch_size)
    if teacher is not None:
        validation = validation.map(lambda inputs, wanted: ((inputs,), wanted))
    # of Keras 2 there are optimizers of an older kind, too
    build = getattr(made, "build", None) or made._create_all_weights
    build(trainer.trainable_variables)
    for projection in projections:
        projection.begin(model, steps * settings.epochs)
    follower = Follower(
        model=model,
        optimizer=made,
        settings=settings,
        steps=steps,
        projections=projections,
        save=None
        if checkpoint is None
        else lambda state: checkpoints.save(state, checkpoint, digest),
        report=report,
        tick=tick,
    )
    try:
        if state is not None:
            follower.restore(state)
        else:
            if resume:
                report("nothing to resume: starting from the beginning")
            follower.start(_validated(trained, validation, feed, name))
        if not follower.has_ended:
            follower.run(
                trained,
                feed.training(
                    settings.batch_size,
                    first=follower.done,
                    epochs=settings.epochs,
                    seed=settings.seed,
                    extra=targets,
                ),
                validation,
                [*callbacks, follower.callback(keras)],
            )
    except Exception as error:
        if feed.failure is not None:  # TensorFlow tells no more than its text
            raise feed.failure from error
        raise
    finally:
        if kept is not None:
            trainer.compile_from_config(kept)
    return follower.finish(notes=(*aim.notes, *notes))


def _validated(trained: Any, validation: Any, feed: Feed, name: str) -> dict[str, Any]:
    """How `trained` does before any training; loss and metrics are computed for the first time."""
    try:
        return dict(trained.evaluate(validation, verbose=0, return_dict=True))
    except MemoryError:
        raise
    except Exception as error:  # whatever they raise, or TensorFlow does in their place
        if feed.failure is not None:
            raise
        lines = [line.strip() for line in str(error).splitlines()]
        told = [line for line in lines if ": " in line and not line.startswith("File ")]
        message = (
            f"{name}: its loss or a metric cannot be computed ({type(error).__name__}: "
            f"{(told or [first_line(error)])[-1][:200]}); give others with --loss and --metric"
        )
        raise ConversionError(message) from error


def _trainer(model: Any, output: int, keras: Any, name: str) -> Any:
    """A model of the same layers with the one output, which is compiled instead of `model`."""
    inputs = getattr(model, "inputs", None)
    outputs = getattr(model, "outputs", None)
    if inputs and outputs:
        return keras.Model(inputs if len(inputs) > 1 else inputs[0], outputs[output])
    if len(getattr(model, "_build_shapes_dict", None) or "x") > 1:
        message = (
            f"{name}: is a subclassed model with several inputs, which is not fine-tuned; "
            "build it by the functional API"
        )
        raise UsageError(message)
    return model


def _output_shape(trainer: Any, data: TrainingData) -> tuple[int | None, ...]:
    outputs = getattr(trainer, "outputs", None)
    if outputs:
        return tuple(outputs[0].shape)
    made = trainer(data.samples(data.train[:1])[0], training=False)
    return (None, *made.shape[1:])


def _seen(model: Any, data: TrainingData) -> NDArray[Any] | None:
    """Some outputs of a model whose layers do not tell what it ends with."""
    if getattr(model, "outputs", None):
        return None
    made = model(data.samples(data.train[:8])[0], training=False)
    return np.asarray(made) if hasattr(made, "shape") else None


def _compiled_before(model: Any, trainer: Any) -> Any:
    """How to compile `model` again, where it is trained itself."""
    return (getattr(model, "get_compile_config", dict)() or None) if trainer is model else None
