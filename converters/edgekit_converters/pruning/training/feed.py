"""Batches for `model.fit`: shuffled by epoch and seed alone, so that a resumed run sees the same.

Samples are held in memory where they fit; else they are read batch by batch.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.child import physical_memory_bytes
from edgekit.errors import EdgekitError
from edgekit_converters.pruning.training.data import Rows, TrainingData

Array = NDArray[Any]

_PIECE = 256


class Feed:
    """Samples and labels of `TrainingData`, as ``tf.data`` datasets of ``(inputs, labels)``.

    ``inputs`` is one tensor, or a tuple of them in the order of the data's inputs.
    """

    def __init__(
        self, data: TrainingData, labels: Array, *, fixed_batch: int | None, memory_bytes: int
    ) -> None:
        """Take the data.

        Args:
            data: where the samples come from.
            labels: fitted to the loss, a row for each sample of ``data.dataset``.
            fixed_batch: the batch of a model that takes no other; incomplete batches are left out.
            memory_bytes: hold a part of the data in memory up to this size.
        """
        self._data = data
        self._labels = labels
        self._fixed = fixed_batch
        self._memory_bytes = memory_bytes
        self.failure: EdgekitError | None = None
        """Why a sample could not be read; TensorFlow passes on no more than its text."""

    def steps(self, rows: Rows, batch_size: int) -> int:
        """How many batches `rows` make."""
        return len(rows) // self._fixed if self._fixed else -(-len(rows) // batch_size)

    def training(
        self, batch_size: int, *, first: int, epochs: int, seed: int, extra: Array | None = None
    ) -> Any:
        """Batches of the epochs from `first` (from 0) to `epochs`, one after the other.

        Args:
            batch_size: samples a batch; the last of an epoch may have fewer.
            first: epochs before it are over.
            epochs: in all.
            seed: of the order.
            extra: more for each training sample, ``(len(data.train), …)``; makes each element
                ``((inputs, extra), labels)``.
        """
        rows = self._data.train
        size = self._fixed or batch_size
        whole = len(rows) - len(rows) % size if self._fixed else len(rows)

        def orders() -> Iterator[Array]:
            for epoch in range(first, epochs):
                yield np.random.default_rng([seed, epoch]).permutation(len(rows))[:whole]

        import tensorflow as tf

        spec = tf.TensorSpec((whole,), tf.int64)
        batches = tf.data.Dataset.from_generator(orders, output_signature=spec).flat_map(
            lambda order: tf.data.Dataset.from_tensor_slices(order).batch(size)
        )
        return self._gathered(batches, rows, extra)

    def validation(self, batch_size: int) -> Any:
        """Batches of the validation samples, in their order."""
        import tensorflow as tf

        rows = self._data.validation
        size = self._fixed or batch_size
        numbers = tf.data.Dataset.range(len(rows))
        batches = numbers.batch(size, drop_remainder=self._fixed is not None)
        return self._gathered(batches, rows, None)

    def pieces(self) -> Iterator[tuple[Array, ...]]:
        """The training samples, in the order of their rows, for each input."""
        rows = self._data.train
        for start in range(0, len(rows), self._fixed or _PIECE):
            yield self._data.samples(rows[start : start + (self._fixed or _PIECE)])

    def _gathered(self, batches: Any, rows: Rows, extra: Array | None) -> Any:
        """Numbers of `rows`, batch by batch, become samples and labels."""
        import tensorflow as tf

        first = self._data.samples(rows[:1])
        labels = tf.constant(self._labels[rows])
        size = sum(array.nbytes for array in first) * len(rows)
        if size <= self._memory_bytes:
            arrays = [tf.constant(array) for array in self._held(rows, first)]

            def take(chosen: Any) -> tuple[Any, ...]:
                return tuple(tf.gather(array, chosen) for array in arrays)
        else:
            types = [tf.as_dtype(array.dtype) for array in first]

            def take(chosen: Any) -> tuple[Any, ...]:
                made = tf.numpy_function(self._reader(rows), [chosen], types, stateful=True)
                for tensor, array in zip(made, first, strict=True):
                    tensor.set_shape((self._fixed, *array.shape[1:]))
                return tuple(made)

        more = None if extra is None else _taker(extra)

        def element(chosen: Any) -> tuple[Any, Any]:
            taken = take(chosen)
            inputs = taken[0] if len(taken) == 1 else taken
            given = inputs if more is None else (inputs, more(chosen))
            return given, tf.gather(labels, chosen)

        return batches.map(element).prefetch(2)

    def _held(self, rows: Rows, first: tuple[Array, ...]) -> list[Array]:
        held = [np.empty((len(rows), *array.shape[1:]), array.dtype) for array in first]
        for start in range(0, len(rows), _PIECE):
            for whole, part in zip(
                held, self._data.samples(rows[start : start + _PIECE]), strict=True
            ):
                whole[start : start + _PIECE] = part
        return held

    def _reader(self, rows: Rows) -> Any:
        def read(chosen: Array) -> list[Array]:
            try:
                return list(self._data.samples(rows[chosen]))
            except EdgekitError as error:
                self.failure = error
                raise

        return read


def memory_bound() -> int:
    """Bytes up to which a part of the data is held in memory: a quarter of what there is."""
    return physical_memory_bytes() // 4


def _taker(extra: Array) -> Any:
    """Rows of `extra` by number; where it is mapped from a file, it stays there."""
    import tensorflow as tf

    if not isinstance(extra, np.memmap):
        held = tf.constant(extra)
        return lambda chosen: tf.gather(held, chosen)

    def take(chosen: Any) -> Any:
        made = tf.numpy_function(lambda rows: np.asarray(extra[rows]), [chosen], tf.float32)
        made.set_shape((None, *extra.shape[1:]))
        return made

    return take
