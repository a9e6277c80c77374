"""Audio or sensor data as it comes: cut into windows, and the model run on each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edgekit.errors import DataError, UsageError
from edgekit.state import State
from edgekit.tensors import TensorSpec
from edgekit.whole import whole

if TYPE_CHECKING:
    from edgekit.model import Model

Array = NDArray[Any]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Window:
    """One window of a stream, and what the model gave for it."""

    start: int
    """Number of its first sample, counted from 0 since the stream was made or reset."""
    output: Any
    """As calling the model gives it: an array, or a dict of them by name."""


class Stream:
    """Feeds a model with windows of a signal, however the signal arrives in pieces.

    >>> stream = model.stream(hop=8000)                        # doctest: +SKIP
    >>> for window in stream.feed(samples):                    # doctest: +SKIP
    ...     print(window.start / 16000, window.output)

    The signal is the model's only input: ``(1, samples)``, ``(1, samples, channels)`` (of features
    ``(1, frames, bins)`` or ``(1, frames, bins, 1)``), or ``(samples,)``. Samples go in as calling
    the model takes them, after the steps that the file has for its input: numbers are cast, never
    scaled. After ``edgekit convert --calibrate sounds/`` a model takes audio from -1 to 1: divide
    16-bit samples by 32768.

    Where the file has its states as inputs and outputs, each stream has states of its own, and
    streams of one model do not disturb each other; `Model.swap` begins them anew. Variables inside
    a TFLite file belong to the model: make one stream of it, and begin anew with `Model.reset`.
    A stream is fed by one thread at a time.
    """

    window: int
    """Samples that the model sees at once."""
    hop: int
    """Samples from the start of one window to the start of the next."""

    _count: int
    """Samples fed so far."""
    _buffer: Array | None
    _dtype: np.dtype[Any] | None
    _row: tuple[int | None, ...]
    """Shape of one sample; a None in it is decided by the first chunk."""
    _first: int
    """Where in the buffer the next window begins."""
    _kept: int
    """How much of that window is there."""
    _gap: int
    """Samples to leave out before the next window."""
    _covered: int
    """Number of the sample after the latest window."""

    def __init__(self, model: Model, *, window: int | None = None, hop: int | None = None) -> None:
        """See `Model.stream`.

        Raises:
            UsageError: the model takes no windows, or a window or hop that does not fit.
        """
        self._model = model
        self._spec = _only_input(model)
        self._time = 1 if len(self._spec.shape) > 1 else 0
        """The input's axis of time."""
        self.window = _window(self._spec, self._spec.shape[self._time], window)
        step = self.window if hop is None else whole(hop)
        if step is None or step < 1:
            message = f"hop={hop!r}: not a number of samples; give 1 or more"
            raise UsageError(message)
        self.hop = step
        self.reset()

    def reset(self) -> None:
        """Forget samples and states; the next sample is number 0."""
        self._begin()
        self._empty()
        self._count = 0

    def feed(self, chunk: ArrayLike) -> list[Window]:
        """Take the next samples, and run each window that they complete.

        Args:
            chunk: ``(n,)`` or ``(n, channels)`` numbers, any n, of one dtype from chunk to chunk.
                It is the caller's again afterwards.

        Returns:
            A result for each window completed, in order; often none.

        Raises:
            DataError: a shape or dtype that does not fit, or NaN for a quantized model; the chunk
                is not taken, and the next one may follow.
            VerificationError: the runtime fails. This and any error of a window drop what was fed:
                the next sample begins a window, and states begin anew; its number counts on.
            ClosedError: the model was closed, or the process forked after loading it.
        """
        samples = self._checked(chunk)
        end, made = self._count + len(samples), []
        try:
            while self._count < end:
                left = end - self._count
                if self._gap:
                    passed = min(self._gap, left)
                    self._gap -= passed
                    self._count += passed
                elif not self._kept and left >= self.window:
                    rest = samples[-left:]
                    made.append(self._run(rest[: self.window], self._count))
                    self._count += min(self.hop, left)
                    self._gap = max(0, self.hop - left)
                elif self._keep(samples[-left:][: self.window - self._kept]) == self.window:
                    made.append(self._run(self._held(), self._count - self.window))
                    self._drop_hop()
        except BaseException:
            self._begin()
            self._empty()
            self._count = end
            raise
        return made

    def flush(self, pad: float = 0.0) -> list[Window]:
        """Run the samples that no window has had yet, padded at the end to a whole window.

        The next sample begins a new window; states stay, see `reset`.

        Args:
            pad: what silence is, in the numbers that are fed (128 for unsigned 8-bit audio).

        Returns:
            One result; none where nothing is left.

        Raises:
            DataError: `pad` has no value in the dtype that was fed.
            VerificationError, ClosedError: as `feed`.
        """
        if not self._kept or self._count <= self._covered:
            self._empty()
            return []
        start, missing = self._count - self._kept, self.window - self._kept
        held = self._held()
        if not _holds(held.dtype, pad):
            message = f"pad={pad}: is no {held.dtype}, as the samples are; give one that is"
            raise DataError(message)
        samples = np.concatenate([held, np.full((missing, *held.shape[1:]), pad, held.dtype)])
        self._empty()
        return [self._run(samples, start)]

    def _begin(self) -> None:
        """Zero the states, for the file that is served now."""
        serving = self._serving = self._model._serving
        if serving.states and self.hop != self.window:
            message = (
                f"hop={self.hop}: {serving.name} carries state from each window to the next, which "
                f"must follow without a gap; leave the hop out, it is {self.window}"
            )
            raise UsageError(message)
        self._state = State(serving)
        steps = serving.preprocess  # what is for a single input is for this one, whatever its name
        self._steps = next(iter(steps.values())) if len(steps) == 1 else None
        session = serving.lanes[0].session
        quantized = self._spec.name in session.quantizes_inputs
        self._refuses_nan = quantized or serving.inputs[0].quantization is not None

    def _empty(self) -> None:
        """Drop the samples; the next one begins a window, and may have another dtype."""
        self._buffer = self._dtype = None
        self._row = self._spec.shape[self._time + 1 :]
        self._first = self._kept = self._gap = self._covered = 0

    def _checked(self, chunk: ArrayLike) -> Array:
        """`chunk` as ``(samples, *row)``."""
        try:
            samples = np.asarray(chunk)
        except (ValueError, TypeError) as error:
            message = f"chunk: no array ({error}); give rows of equal length"
            raise DataError(message) from None
        if samples.ndim and not len(samples):
            return samples
        if samples.dtype.kind not in "biuf":
            message = f"chunk: is {samples.dtype}, the model takes numbers; convert it"
            raise DataError(message)
        row = _as_row(samples.shape[1:], self._row) if samples.ndim else None
        if row is None:
            wanted = ", ".join(["samples", *("any" if n is None else str(n) for n in self._row)])
            message = f"chunk: has shape {samples.shape}, the model takes ({wanted}); reshape it"
            raise DataError(message)
        dtype = samples.dtype.newbyteorder("=")
        if self._dtype not in (None, dtype):
            message = f"chunk: is {dtype}, earlier ones were {self._dtype}; convert it, or reset"
            raise DataError(message)
        if self._refuses_nan and dtype.kind == "f" and np.isnan(samples).any():
            message = "chunk: NaN has no value in a quantized model; remove it from the data"
            raise DataError(message)
        self._dtype, self._row = dtype, row
        return samples.reshape(-1, *row)

    def _keep(self, samples: Array) -> int:
        """Add samples to the buffer, at most as many as the window lacks; how many it has now."""
        if self._buffer is None:
            size = self.window if self.hop >= self.window else 2 * self.window
            self._buffer = np.empty((size, *samples.shape[1:]), self._dtype)
        end = self._first + self._kept
        if end + len(samples) > len(self._buffer):
            self._buffer[: self._kept] = self._held()
            self._first, end = 0, self._kept
        self._buffer[end : end + len(samples)] = samples
        self._kept += len(samples)
        self._count += len(samples)
        return self._kept

    def _held(self) -> Array:
        assert self._buffer is not None
        return self._buffer[self._first : self._first + self._kept]

    def _drop_hop(self) -> None:
        """Go on from a window that was run to the next one."""
        dropped = min(self.hop, self._kept)
        self._gap = self.hop - dropped
        self._kept -= dropped
        self._first = self._first + dropped if self._kept else 0

    def _run(self, samples: Array, start: int) -> Window:
        model = self._model
        if model._serving is not self._serving:
            self._begin()
        batch = samples[np.newaxis] if self._time else samples
        if self._steps is not None and not self._steps.is_identity:
            batch = self._steps.apply(batch, self._spec)
        elif model._observers:
            batch = batch.copy()  # they may keep it
        self._covered = start + self.window
        if not self._serving.states:
            return Window(start=start, output=model(batch))
        results = model._run([batch], None, self._state)
        output = next(iter(results.values())) if len(results) == 1 else results
        return Window(start=start, output=output)


def _only_input(model: Model) -> TensorSpec:
    """The input that takes the signal.

    Raises:
        UsageError: there are several, or it takes no windows.
    """
    if len(model.inputs) != 1:
        names = ", ".join(spec.name for spec in model.inputs)
        message = f"stream: the model has the inputs {names}; only models with one can be streamed"
        raise UsageError(message)
    spec = model.inputs[0]
    shape = ", ".join("any" if size is None else str(size) for size in spec.shape)
    has_windows = spec.shape and (len(spec.shape) == 1 or spec.shape[0] in (1, None))
    if not has_windows or spec.dtype == "string":
        message = (
            f"stream: the input {spec.name!r} is {spec.dtype} ({shape}), not one window such as "
            "(1, samples) or (1, samples, channels); call the model yourself"
        )
        raise UsageError(message)
    return spec


def _window(spec: TensorSpec, fixed: int | None, asked: int | None) -> int:
    """How many samples a window has.

    Raises:
        UsageError: `asked` is not what the model takes, or neither says it.
    """
    if asked is None and fixed is None:
        message = f"stream: the input {spec.name!r} takes any number of samples; give window="
        raise UsageError(message)
    window = fixed if asked is None else whole(asked)
    if window is None or window < 1 or fixed not in (None, window):
        takes = "1 or more" if fixed is None else str(fixed)
        message = f"window={asked!r}: the input {spec.name!r} takes {takes} samples; give that"
        raise UsageError(message)
    return window


def _holds(dtype: np.dtype[Any], value: float) -> bool:
    if dtype.kind not in "iu":
        return dtype.kind == "f" or value in (0, 1)
    limits = np.iinfo(dtype)
    return bool(limits.min <= value <= limits.max and value == int(value))


def _as_row(given: tuple[int, ...], wanted: tuple[int | None, ...]) -> tuple[int, ...] | None:
    """The shape of one sample as the model takes it, where `given` differs by axes of 1 only."""
    while len(given) < len(wanted) and wanted[len(given)] in (1, None):
        given = (*given, 1)
    while len(given) > len(wanted) and given[-1] == 1:
        given = given[:-1]
    if len(given) != len(wanted) or 0 in given:
        return None
    pairs = zip(given, wanted, strict=True)
    return given if all(size == want or want is None for size, want in pairs) else None
