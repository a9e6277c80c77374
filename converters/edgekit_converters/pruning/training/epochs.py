"""What happens around each batch and each epoch of a fine-tuning, and which epoch is the best."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit_converters.pruning.training.checkpoints import Checkpoint
from edgekit_converters.pruning.training.history import Epoch, History
from edgekit_converters.pruning.training.reseed import reseed, seedable
from edgekit_converters.pruning.training.settings import TrainingSettings

Array = NDArray[Any]

_TICK_S = 1.0
_LOWER_RATE = "try a lower --learning-rate"


class _StopNow(Exception):  # noqa: N818 - it is no error
    """Leaves ``fit`` in the middle of an epoch."""


class Follower:
    """Follows one training: projections, checkpoints, progress, early stopping."""

    def __init__(
        self,
        *,
        model: Any,
        optimizer: Any,
        settings: TrainingSettings,
        steps: int,
        projections: Sequence[Any],
        save: Callable[[Checkpoint], None] | None,
        report: Callable[[str], None],
        tick: Callable[[str], None] | None,
    ) -> None:
        """Take what `fine_tune` has put together; the optimizer is built."""
        self._model = model
        self._optimizer = optimizer
        self._settings = settings
        self._steps = steps
        self._projections = projections
        self._save = save
        self._report = report
        self._tick = tick
        self._epochs: list[Epoch] = []
        self._before: Epoch
        self._best: Epoch
        self._best_weights: list[Array] = []
        self._best_states: list[dict[str, Array]] = []
        self._stopped = ""
        self._is_lost = False
        self._waited = 0
        self._batch = 0
        self._began = self._told = time.monotonic()

    @property
    def done(self) -> int:
        """How many epochs are over."""
        return len(self._epochs)

    @property
    def has_ended(self) -> bool:
        """Whether there is nothing left to train."""
        return bool(self._stopped) or self.done >= self._settings.epochs

    def start(self, validation: Mapping[str, Any]) -> None:
        """Take how the model does before any training."""
        values = {name: float(value) for name, value in validation.items()}
        self._before = Epoch(
            number=0,
            of=self._settings.epochs,
            validation_loss=values.pop("loss"),
            validation=values,
            progress=self._progress(),
            seconds=time.monotonic() - self._began,
            is_settled=self._is_settled(),
        )
        self._keep(self._before)
        self._report(str(self._before))

    def restore(self, state: Checkpoint) -> None:
        """Go back to where `state` was taken."""
        facts = state.facts
        self._before = Epoch.from_dict(facts["before"])
        self._epochs = [Epoch.from_dict(epoch) for epoch in facts["epochs"]]
        self._best = [self._before, *self._epochs][facts["best"]]
        self._stopped, self._waited = facts["stopped"], facts["waited"]
        self._best_weights = list(state.arrays["best"])
        self._best_states = [dict(one) for one in state.best_states]
        _assign(self._model.weights, state.arrays["weights"])
        _assign(_variables(self._optimizer), state.arrays["optimizer"])
        _restore(self._projections, state.states)
        self._report(f"going on after epoch {self.done}/{self._settings.epochs}")

    def callback(self, keras: Any) -> Any:
        """This follower, as a callback of `keras`."""
        made = keras.callbacks.Callback()
        made.on_epoch_begin = self._epoch_begins
        made.on_train_batch_end = self._batch_ended
        made.on_epoch_end = self._epoch_ended
        return made

    def run(self, trained: Any, training: Any, validation: Any, callbacks: Sequence[Any]) -> None:
        """Train until the last epoch, or until it makes no more sense."""
        with contextlib.suppress(_StopNow), seedable(self._model):
            trained.fit(
                training,
                initial_epoch=self.done,
                epochs=self._settings.epochs,
                steps_per_epoch=self._steps,
                validation_data=validation,
                callbacks=list(callbacks),
                shuffle=False,
                verbose=0,
            )

    def finish(self, *, notes: Sequence[str]) -> History:
        """Put the best weights into the model."""
        _assign(self._model.weights, self._best_weights)
        _restore(self._projections, self._best_states)
        for projection in self._projections:
            projection.finish()
        if self._stopped:
            self._report(self._stopped)
        elif self._best.number == 0:
            self._report("no epoch was better than the model as it came, which is kept")
        return History(
            before=self._before,
            epochs=tuple(self._epochs),
            best=self._best.number,
            stopped=self._stopped,
            is_lost=self._is_lost,
            notes=tuple(notes),
        )

    def _epoch_begins(self, epoch: int, logs: Any = None) -> None:  # noqa: ARG002 - Keras gives it
        reseed(self._model, self._settings.seed, epoch)
        self._batch = 0
        self._began = time.monotonic()

    def _batch_ended(self, batch: int, logs: Any = None) -> None:  # noqa: ARG002 - Keras gives it
        self._batch += 1
        step = self.done * self._steps + self._batch
        for projection in self._projections:
            projection.after_batch(step)
        if not math.isfinite(float((logs or {}).get("loss", 0.0))):
            self._stop_lost()
        now = time.monotonic()
        if self._tick is not None and now - self._told >= _TICK_S:
            self._told = now
            share = self._batch / self._steps
            self._tick(f"epoch {self.done + 1}/{self._settings.epochs}: {share:.0%}")

    def _epoch_ended(self, epoch: int, logs: Any = None) -> None:
        values = {name: float(value) for name, value in (logs or {}).items()}
        loss, validation_loss = values.pop("loss"), values.pop("val_loss")
        if not math.isfinite(validation_loss):
            self._stop_lost()
        for name in ("lr", "learning_rate"):
            values.pop(name, None)
        made = Epoch(
            number=epoch + 1,
            of=self._settings.epochs,
            loss=loss,
            metrics={n: v for n, v in values.items() if not n.startswith("val_")},
            validation_loss=validation_loss,
            validation={n[4:]: v for n, v in values.items() if n.startswith("val_")},
            progress=self._progress(),
            seconds=time.monotonic() - self._began,
            is_settled=self._is_settled(),
        )
        self._epochs.append(made)
        if _is_better(made, self._best):
            self._keep(made)
            self._waited = 0
        elif made.is_settled:
            self._waited += 1
        if self._waited >= self._settings.patience and made.number < self._settings.epochs:
            self._stopped = (
                f"stopped after epoch {made.number}: {self._waited} epochs without a lower "
                f"validation loss; {self._kept()}"
            )
        self._checkpoint()
        self._report(str(made))
        if self._stopped:
            raise _StopNow

    def _stop_lost(self) -> None:
        self._is_lost = True
        self._stopped = (
            f"stopped in epoch {self.done + 1}: the loss is no longer a finite number; "
            f"{self._kept()}; {_LOWER_RATE}"
        )
        raise _StopNow

    def _kept(self) -> str:
        if self._best.number == 0:
            return "the weights are as they were before training"
        return f"epoch {self._best.number} is kept"

    def _keep(self, epoch: Epoch) -> None:
        self._best = epoch
        self._best_weights = _arrays(self._model.weights)
        self._best_states = _states(self._projections)

    def _checkpoint(self) -> None:
        if self._save is None:
            return
        self._save(
            Checkpoint(
                facts={
                    "before": self._before.to_dict(),
                    "epochs": [epoch.to_dict() for epoch in self._epochs],
                    "best": self._best.number,
                    "stopped": self._stopped,
                    "waited": self._waited,
                },
                arrays={
                    "weights": _arrays(self._model.weights),
                    "optimizer": _arrays(_variables(self._optimizer)),
                    "best": self._best_weights,
                },
                states=_states(self._projections),
                best_states=self._best_states,
            )
        )

    def _progress(self) -> tuple[str, ...]:
        return tuple(projection.progress() for projection in self._projections)

    def _is_settled(self) -> bool:
        return all(getattr(projection, "is_settled", True) for projection in self._projections)


def _is_better(new: Epoch, best: Epoch) -> bool:
    """By the loss, among those that are settled; before there is one, the newer has come further.

    What else changes in a settled state, as ranges that are learned and then held, makes no epoch
    better: each is a model that may be kept.
    """
    if new.is_settled != best.is_settled:
        return new.is_settled
    if not new.is_settled:
        return True
    return new.validation_loss < best.validation_loss or math.isnan(best.validation_loss)


def _variables(optimizer: Any) -> list[Any]:
    found = optimizer.variables
    return list(found() if callable(found) else found)


def _arrays(variables: Sequence[Any]) -> list[Array]:
    return [np.array(variable.numpy()) for variable in variables]


def _assign(variables: Sequence[Any], arrays: Sequence[Array]) -> None:
    for variable, array in zip(variables, arrays, strict=True):
        variable.assign(array)


def _states(projections: Sequence[Any]) -> list[dict[str, Array]]:
    return [
        {key: np.array(value) for key, value in one.state().items()}
        if hasattr(one, "state")
        else {}
        for one in projections
    ]


def _restore(projections: Sequence[Any], states: Sequence[Mapping[str, Array]]) -> None:
    for projection, state in zip(projections, states, strict=False):
        if hasattr(projection, "restore"):
            projection.restore(state)
