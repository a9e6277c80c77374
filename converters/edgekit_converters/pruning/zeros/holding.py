"""Hold zeros while a model is trained, whatever its optimizer does to the weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.errors import SourceError
from edgekit_converters.pruning.zeros.kernels import Kernel, find_kernels
from edgekit_converters.pruning.zeros.masks import Mask, Pooling, share_of_zeros
from edgekit_converters.pruning.zeros.pattern import Pattern, checked_sparsity, pattern_of
from edgekit_converters.pruning.zeros.schedule import ConstantSparsity, Schedule, plan

Array = NDArray[Any]
_DONE = "done"


class Masks:
    """Weights become zero by a schedule, and stay zero: a projection for `fine_tune`.

    The optimizer sees ordinary variables; after each batch one compiled step puts the zeros back.
    So momentum, weight decay or averages cannot bring a weight back, but one that is pruned can
    come back when masks are chosen anew, as in tensorflow-model-optimization: then its value after
    the last batch counts, which is that batch's update alone.

    Args:
        sparsity: share of zeros to reach, above 0 and below 1; None: 0.8, or what N:M makes.
        method: ``"unstructured"``, ``"2:4"`` (any N:M: N of every M stay), ``"1x4"`` (any block).
        scope: ``"layer"`` or ``"global"``.
        schedule: ``"polynomial"``, ``"constant"``, or a schedule of your own.
        begin_step: see `schedule.plan`; so are the next two.
        end_step: the same.
        frequency: the same.
        skip: names, paths or types of layers to leave alone, with all that is inside them.
        pooling: how a block is judged, ``"average"`` or ``"max"``.

    Raises:
        UsageError: options that make no sense.
    """

    def __init__(
        self,
        sparsity: float | None = None,
        *,
        method: str = "unstructured",
        scope: str = "layer",
        schedule: str | Schedule = "polynomial",
        begin_step: int | None = None,
        end_step: int | None = None,
        frequency: int | None = None,
        skip: Sequence[str] = (),
        pooling: Pooling = "average",
    ) -> None:
        self.pattern: Pattern = pattern_of(method, scope, pooling)
        self.sparsity = checked_sparsity(sparsity, self.pattern)
        self.kernels: tuple[Kernel, ...] = ()
        self._asked = schedule
        self._when = {"begin_step": begin_step, "end_step": end_step, "frequency": frequency}
        self._skip = tuple(skip)
        self._steps = self._done = 0
        self._share = 0.0
        if isinstance(schedule, str):
            plan(schedule, self.sparsity, _MANY, **self._when)

    def begin(self, model: Any, steps: int, *, done: int = 0) -> None:
        """Take hold of `model`; what is due before its first batch is done here.

        Args:
            model: built, of Keras 3 (TensorFlow backend) or tf_keras.
            steps: batches of the whole training.
            done: of these, how many lie behind; the masks are those that belong there.

        Raises:
            SourceError: nothing in it can be pruned this way.
            UsageError: a layer to skip that is not there, or steps beyond the end.
        """
        self.kernels = prunable(model, self.pattern, self._skip)
        self.schedule = self._plan(steps)
        self._steps, self._done = steps, 0
        self._masks, self._apply = _compile(self.kernels)
        self._share = 0.0
        self._choose(done + 1)
        self._apply()

    def after_batch(self, step: int) -> None:
        """Put the zeros back after `step` batches, and choose new ones if they are due next."""
        if step < self._steps:
            self._choose(step + 1)
        self._apply()

    def finish(self) -> None:
        """Leave the model with exact zeros."""
        self._apply()

    def progress(self) -> str:
        """How far it is: ``sparsity 63.2%``."""
        return f"sparsity {self._share:.1%}"

    @property
    def share(self) -> float:
        """The share of zeros that is held now, of all weights in the kernels concerned."""
        return self._share

    @property
    def is_settled(self) -> bool:
        """Whether the full sparsity is reached."""
        if isinstance(self.schedule, ConstantSparsity):
            return self._done > 0
        return self.is_final

    @property
    def is_final(self) -> bool:
        """Whether the masks no longer change."""
        end = self.schedule.end_step
        return end >= 0 and self._done > 0 and self._done == self.schedule.latest(end)

    def masks(self) -> dict[str, Mask]:
        """What stays, by the path of the kernel."""
        return {
            kernel.path: np.asarray(mask.numpy(), bool)
            for kernel, mask in zip(self.kernels, self._masks, strict=True)
        }

    def state(self) -> Mapping[str, Array]:
        """All that `restore` needs in another process."""
        return {_DONE: np.array(self._done), **self.masks()}

    def restore(self, state: Mapping[str, Array]) -> None:
        """Go back to where `state` was taken; after `begin`."""
        self._done = int(state[_DONE])
        self._set([np.asarray(state[kernel.path], bool) for kernel in self.kernels])

    def _plan(self, steps: int) -> Schedule:
        if not isinstance(self._asked, str):
            return self._asked
        if self.pattern.fixed_sparsity is not None:  # chosen once, as it cannot grow
            begin = self._when["begin_step"] or 1
            return ConstantSparsity(target=self.sparsity, begin_step=begin, end_step=begin)
        return plan(self._asked, self.sparsity, steps, **self._when)

    def _choose(self, step: int) -> None:
        due = self.schedule.latest(step)
        if due is None or due <= self._done:
            return
        weights = [kernel.read() for kernel in self.kernels]
        self._set(self.pattern.masks(self.kernels, weights, self.schedule.sparsity(due)))
        self._done = due

    def _set(self, masks: Sequence[Mask]) -> None:
        for variable, mask in zip(self._masks, masks, strict=True):
            variable.assign(mask)
        self._share = share_of_zeros(masks)


_MANY = 1 << 40


class Zeros(Masks):
    """Hold the zeros that the kernels have, as clustering and quantization-aware training need.

    Args:
        skip: names, paths or types of layers to leave alone, with all that is inside them.
    """

    def __init__(self, *, skip: Sequence[str] = ()) -> None:
        super().__init__(schedule=ConstantSparsity(target=0.5, begin_step=1, end_step=1), skip=skip)

    def _choose(self, step: int) -> None:  # noqa: ARG002  # there is nothing to choose later
        if not self._done:
            self._set([kernel.read() != 0 for kernel in self.kernels])
            self._done = 1


def one_shot(
    model: Any,
    sparsity: float | None = None,
    *,
    method: str = "unstructured",
    scope: str = "layer",
    skip: Sequence[str] = (),
    pooling: Pooling = "average",
) -> float:
    """Make weights of `model` zero at once, without data; arguments as for `Masks`.

    Returns:
        The share of zeros among all weights of the kernels concerned.

    Raises:
        UsageError: options that make no sense, or a layer to skip that is not there.
        SourceError: nothing can be pruned this way.
    """
    pattern = pattern_of(method, scope, pooling)
    target = checked_sparsity(sparsity, pattern)
    kernels = prunable(model, pattern, skip)
    weights = [kernel.read() for kernel in kernels]
    masks = pattern.masks(kernels, weights, target)
    for kernel, numbers, mask in zip(kernels, weights, masks, strict=True):
        kernel.variable.assign(np.where(mask, numbers, numbers.dtype.type(0)))
    return share_of_zeros([np.asarray(kernel.read() != 0) for kernel in kernels])


def prunable(model: Any, pattern: Pattern, skip: Sequence[str] = ()) -> tuple[Kernel, ...]:
    """The kernels of `model` that can have `pattern`.

    Raises:
        UsageError: a layer to skip that is not there.
        SourceError: there is no such kernel.
    """
    kernels = tuple(k for k in find_kernels(model, skip) if pattern.takes(k.layout))
    if not kernels:
        message = f"{model.name}: nothing to prune in the pattern {pattern.name}; use unstructured"
        raise SourceError(message)
    return kernels


def stored(variable: Any) -> Any:
    """The TensorFlow variable inside a variable of either Keras."""
    value = variable.value
    return variable if callable(value) else value


def _compile(kernels: Sequence[Kernel]) -> tuple[list[Any], Callable[[], Any]]:
    """Masks as variables, which change without a new trace, and the step that applies them."""
    import tensorflow as tf

    masks = [tf.Variable(tf.ones(kernel.variable.shape, tf.bool)) for kernel in kernels]
    pairs = [(stored(kernel.variable), mask) for kernel, mask in zip(kernels, masks, strict=True)]

    def apply() -> None:
        for variable, mask in pairs:
            variable.assign(tf.where(mask, variable, tf.zeros((), variable.dtype)))

    return masks, tf.function(apply)
