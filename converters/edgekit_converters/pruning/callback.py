"""Prune in your own training script: a Keras 3 callback for `model.fit`.

Example::

    import edgekit

    prune = edgekit.pruning_callback(0.8, begin_epoch=1, end_epoch=8)
    history = model.fit(images, classes, epochs=10, callbacks=[prune])
    history.history["sparsity"]      # 0.0, 0.33, ... 0.8
    model.save("pruned.keras")       # an ordinary model, with zeros
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from functools import cache
from typing import Any

from edgekit._lazy import need
from edgekit.errors import UsageError
from edgekit.prune_amount import parse_share
from edgekit_converters.pruning.zeros.holding import Masks


def pruning_callback(
    sparsity: float | str | None = None,
    *,
    method: str = "unstructured",
    scope: str = "layer",
    schedule: str = "polynomial",
    begin_epoch: float | None = None,
    end_epoch: float | None = None,
    begin_step: int | None = None,
    end_step: int | None = None,
    frequency: int | None = None,
    skip: Sequence[str] = (),
) -> Any:
    """A callback that makes weights zero while ``model.fit`` trains, and holds them there.

    Works with any optimizer, and adds ``sparsity`` to the logs of each epoch. Nothing has to be
    removed afterwards: the model stays an ordinary one. A second `fit` with the same callback goes
    on where the first one ended; a new callback with ``fit(initial_epoch=...)`` goes on at that
    epoch. Put it behind callbacks that restore weights (EarlyStopping), and let these watch only
    epochs behind `end_epoch`. With ``steps_per_execution=n`` zeros are put back every n batches. A
    model that is built by its first batch (no ``keras.Input``, or subclassed) trains that one
    without zeros.

    Args:
        sparsity: share of zeros to reach, as 0.8 or "80%"; 0.8 by default.
        method: ``"unstructured"``, ``"2:4"`` (any N:M: at most N of every M weights stay, which
            tells the sparsity), or ``"1x4"`` (any block).
        scope: ``"layer"``: every kernel has this share of zeros; ``"global"``: all together.
        schedule: ``"polynomial"``: grows from begin to end, fast at first; ``"constant"``: at once.
        begin_epoch: epochs to train before the first zeros; 0 by default. May be a fraction.
        end_epoch: how many epochs until the full sparsity; three quarters of `epochs` by default.
        begin_step: the same, as the number of a batch, from 1.
        end_step: the same, as a number of batches.
        frequency: batches from one choice of zeros to the next; by default a fiftieth of the way,
            at most 100.
        skip: names, paths or types of layers to leave alone, with all that is inside them.

    Returns:
        A ``keras.callbacks.Callback``.

    Raises:
        UsageError: options that make no sense; in `fit`, a layer to skip that is not there, or
            another backend than TensorFlow.
        SourceError: in `fit`, nothing in the model can be pruned.
        MissingDependencyError: Keras is not installed.
    """
    for kind, epoch, step in (("begin", begin_epoch, begin_step), ("end", end_epoch, end_step)):
        if epoch is not None and step is not None:
            message = f"{kind}_epoch and {kind}_step: say the same; give one of them"
            raise UsageError(message)
        if epoch is not None and not 0 <= epoch < math.inf:
            message = f"{kind}_epoch {epoch:g}: must be 0 or more; give another, or leave it out"
            raise UsageError(message)
    if begin_epoch is not None and end_epoch is not None and end_epoch < begin_epoch:
        message = f"end_epoch {end_epoch:g}: comes before begin_epoch {begin_epoch:g}; give a later"
        raise UsageError(message)
    share = None if sparsity is None else parse_share("sparsity", sparsity)
    make = _callback_class()

    def masks(begin: int | None, end: int | None) -> Masks:
        return Masks(
            share,
            method=method,
            scope=scope,
            schedule=schedule,
            begin_step=begin_step if begin is None else begin,
            end_step=end_step if end is None else end,
            frequency=frequency,
            skip=skip,
        )

    masks(None, None)  # what makes no sense is said now, and not in `fit`
    return make(masks, begin_epoch, end_epoch, needs_length=end_step is None)


@cache
def _callback_class() -> Any:
    keras = need("keras", extra="convert")

    class PruningCallback(keras.callbacks.Callback):  # type: ignore[misc, name-defined]
        """Made by `pruning_callback`."""

        def __init__(
            self, masks: Any, begin_epoch: float | None, end_epoch: float | None, needs_length: bool
        ) -> None:
            super().__init__()
            self.projection: Masks | None = None
            self._make, self._needs_length = masks, needs_length
            self._epochs = (begin_epoch, end_epoch)
            self._held: Any = None
            self._steps = self._batches = self._epoch_began = 0

        # what Keras gives and is not needed is named all the same
        def on_train_begin(self, logs: Any = None) -> None:  # noqa: ARG002
            if keras.backend.backend() != "tensorflow":
                message = (
                    f"pruning_callback: Keras runs on {keras.backend.backend()!r}; "
                    "set KERAS_BACKEND=tensorflow before keras is imported"
                )
                raise UsageError(message)

        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:  # noqa: ARG002
            if self.projection is None or self._held is not self.model:
                self._plan(epoch)
                if self.model.built:
                    self._take_hold()
            self._epoch_began = self._batches

        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:  # noqa: ARG002
            assert self.projection is not None
            length = self.params.get("steps")
            done = batch + 1 if length is None else min(batch + 1, length)
            self._batches = self._epoch_began + done
            if self._held is self.model:
                self.projection.after_batch(self._batches)
            else:  # Keras has built it only now
                self._take_hold()

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:  # noqa: ARG002
            assert self.projection is not None
            if logs is not None:
                logs["sparsity"] = self.projection.share

        def on_train_end(self, logs: Any = None) -> None:  # noqa: ARG002
            if self.projection is None or self._held is not self.model:
                return
            self.projection.finish()  # averages of weights (use_ema) were put in place before
            if not self.projection.is_settled:
                message = (
                    f"pruning_callback: the training ended at {self.projection.progress()}, before "
                    f"{self.projection.sparsity:.1%} was reached; train on, or set an earlier end"
                )
                warnings.warn(message, stacklevel=2)

        def _plan(self, epoch: int) -> None:
            length, epochs = self.params.get("steps"), self.params["epochs"]
            if length is None and (epoch or self._needs_length or any(self._epochs)):
                message = (
                    "pruning_callback: the data do not tell how many batches an epoch has; "
                    "give steps_per_epoch to fit, or begin_step and end_step"
                )
                raise UsageError(message)
            begin, end = (None if at is None else round(at * length) for at in self._epochs)
            begin = None if begin is None else begin + 1
            end = None if end is None else max(end, begin or 1)
            self.projection = self._make(begin, end)
            self._steps = _ENDLESS if length is None else max(length * epochs, end or 0)
            self._batches = epoch * (length or 0)
            self._held = None

        def _take_hold(self) -> None:
            assert self.projection is not None
            self.projection.begin(self.model, self._steps, done=self._batches)
            self._held = self.model

    return PruningCallback


_ENDLESS = 1 << 40
