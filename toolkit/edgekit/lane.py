"""One session and its way of calling: check, encode, execute, decode, and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.errors import DataError
from edgekit.sessions.quantized import decoder, encoder, stored
from edgekit.sessions.session import Session, fits
from edgekit.tensors import TensorSpec

Array = NDArray[Any]
Encode = Callable[[Array, Array], None]
Decode = Callable[[Array, Array | None], Array]

_SMALL = 4096
"""Up to so many values a dot product finds NaN fastest; of more, BLAS would wake its threads."""


class Lane:
    """Calls one session, with as little between the caller and the runtime as can be.

    The usual case, arrays of the shapes and dtypes of the call before, goes through `call` alone;
    all else is made so by `_prepared`. Not for use by several threads at once.
    """

    def __init__(self, session: Session) -> None:
        """Take over `session`, and prepare it where the file fixes all shapes."""
        self.session = session
        self._inputs = session.inputs
        self._dtypes = [result_dtype(spec) for spec in self._inputs]
        self._encode = [self._encoding(*pair) for pair in enumerate(self._dtypes)]
        self._decode = [_decode(spec) for spec in session.outputs]
        self._results = [result_dtype(spec) for spec in session.outputs]
        self._shapes: list[tuple[int, ...]] | None = None
        shapes = [spec.shape for spec in self._inputs]
        fixed = [tuple(size for size in shape if size is not None) for shape in shapes]
        if fixed == shapes and session.prepare(fixed):
            self._shapes = fixed
        self._plan()

    def _encoding(self, number: int, dtype: np.dtype[Any]) -> Encode:
        """How values of `dtype` get into the memory of an input."""
        spec = self._inputs[number]
        if spec.quantization is not None:
            return _copy if dtype.name == spec.dtype else encoder(spec)
        if dtype.kind == "f" and spec.name in self.session.quantizes_inputs:
            return partial(_copy_numbers, spec)
        return _narrow if dtype == np.float64 else _copy

    def _plan(self) -> None:
        """Line up, input by input and output by output, what `call` goes through."""
        views = self.session.input_views if self._shapes is not None else ()
        shapes = self._shapes or ()
        self._into = list(zip(shapes, self._dtypes, self._encode, views, strict=False))
        made = self.session.output_views if self._shapes is not None else ()
        self._out_of = list(zip(self._decode, made, strict=False))
        self._execute = self.session.execute if self._shapes is not None else None

    def call(self, arrays: Sequence[Any], out: Sequence[Array | None] | None) -> list[Array]:
        """Run once.

        Args:
            arrays: a value for each input of the session, in its order.
            out: where to put the results, one for each output; None for new arrays.

        Returns:
            A result for each output: float32 where the file stores quantized or half-precision
            numbers, else what it stores.

        Raises:
            DataError: a value that does not fit its input, or an array of `out` its output.
            VerificationError: the runtime fails.
        """
        into = self._into
        if len(arrays) != len(into):
            return self._otherwise(arrays, out)
        for value, (shape, dtype, encode, view) in zip(arrays, into):  # noqa: B905 - was checked
            if value.__class__ is not np.ndarray or value.shape != shape or value.dtype != dtype:
                return self._otherwise(arrays, out)
            encode(value, view())
        try:
            self._execute()  # type: ignore[misc]
        except self.session.failures as error:
            raise self.session.failed(error) from error
        if out is not None:
            return self._given_out(out)
        return [decode(view(), None) for decode, view in self._out_of]

    def _given_out(self, out: Sequence[Array | None]) -> list[Array]:
        results = []
        for number, (decode, view) in enumerate(self._out_of):
            made, target = view(), out[number]
            if target is not None:
                self._check_out(number, target, made.shape)
            results.append(decode(made, target))
        return results

    def _check_out(self, number: int, target: Array, shape: tuple[int, ...]) -> None:
        name, dtype = self.session.outputs[number].name, self._results[number]
        if (
            target.__class__ is not np.ndarray
            or target.shape != shape
            or target.dtype != dtype
            or not target.flags.writeable
        ):
            is_array = isinstance(target, np.ndarray)
            told = f"{target.dtype} {target.shape}" if is_array else type(target).__name__
            message = f"out {name!r}: is {told}; give a writable {dtype} array of shape {shape}"
            raise DataError(message)

    def _otherwise(self, arrays: Sequence[Any], out: Sequence[Array | None] | None) -> list[Array]:
        """The unusual: other shapes or dtypes than before, rows beyond a fixed batch, text."""
        if len(arrays) != len(self._inputs):
            names = ", ".join(spec.name for spec in self._inputs)
            message = (
                f"inputs: {len(arrays)} given, the model takes {len(self._inputs)} ({names}); "
                "give one array for each"
            )
            raise DataError(message)
        ready = [_ready(value, spec) for value, spec in zip(arrays, self._inputs, strict=True)]
        batch = self.session.fixed_batch
        rows = {value.shape[0] if value.ndim else 1 for value in ready}
        if batch is not None and rows != {batch}:
            return self._in_pieces(ready, rows, batch, out)
        shapes = [value.shape for value in ready]
        if shapes != self._shapes:
            self._shapes = None
            self._plan()  # whatever comes of it, the memory of before is no more to be used
            prepared = self.session.prepare(shapes)
            self._shapes = shapes if prepared else None
        for number, value in enumerate(ready):
            if value.dtype != self._dtypes[number]:
                self._dtypes[number] = value.dtype
                self._encode[number] = self._encoding(number, value.dtype)
        self._plan()
        if self._shapes is None:
            return self._by_name(ready, out)
        return self.call(ready, out)

    def _by_name(self, ready: list[Array], out: Sequence[Array | None] | None) -> list[Array]:
        """Where the runtime has no fixed memory for its tensors."""
        named = {spec.name: value for spec, value in zip(self._inputs, ready, strict=True)}
        for spec, value in zip(self._inputs, ready, strict=True):
            if spec.name in self.session.quantizes_inputs:
                _refuse_nan(value, spec)
        raw = self.session.run({spec.name: stored(named[spec.name], spec) for spec in self._inputs})
        results = []
        for number, (spec, decode) in enumerate(
            zip(self.session.outputs, self._decode, strict=True)
        ):
            target = out[number] if out is not None else None
            if target is not None:
                self._check_out(number, target, raw[spec.name].shape)
            results.append(decode(raw[spec.name], target))
        return results

    def _in_pieces(
        self,
        ready: list[Array],
        rows: set[int],
        batch: int,
        out: Sequence[Array | None] | None,
    ) -> list[Array]:
        """`batch` rows at a time; the last piece is filled up with copies of its last row."""
        if len(rows) > 1:
            sizes = ", ".join(
                f"{s.name}: {v.shape[0]}" for s, v in zip(self._inputs, ready, strict=True)
            )
            message = f"inputs: different numbers of rows ({sizes}); give each input as many"
            raise DataError(message)
        count = rows.pop()
        parts: list[list[Array]] = [[] for _ in self._decode]
        for start in range(0, count, batch):
            piece = [value[start : start + batch] for value in ready]
            missing = batch - len(piece[0])
            if missing:
                piece = [np.concatenate([v, np.repeat(v[-1:], missing, axis=0)]) for v in piece]
            for spec, part, made in zip(
                self.session.outputs, parts, self.call(piece, None), strict=True
            ):
                if not made.ndim or made.shape[0] != batch:
                    message = (
                        f"output {spec.name!r}: has shape {made.shape}, not a row for each of the "
                        f"{batch} inputs the file takes at once; give exactly {batch} rows"
                    )
                    raise DataError(message)
                part.append(made[: batch - missing])
        results = [np.concatenate(part) for part in parts]
        if out is None:
            return results
        for number, made in enumerate(results):
            target = out[number]
            if target is not None:
                self._check_out(number, target, made.shape)
                np.copyto(target, made)
                results[number] = target
        return results

    def reset(self) -> None:
        """Set the session's variables to what they are after loading."""
        self.session.reset_variables()
        self._plan()

    def close(self) -> None:
        """Free the session."""
        self.session.close()


def result_dtype(spec: TensorSpec) -> np.dtype[Any]:
    """The dtype of results: float32 for quantized and half-precision outputs, else as stored."""
    if spec.quantization is not None or spec.dtype == "float16":
        return np.dtype(np.float32)
    return np.dtype(object) if spec.dtype == "string" else np.dtype(spec.dtype)


def _copy(values: Array, memory: Array) -> None:
    np.copyto(memory, values, "same_kind")


def _narrow(values: Array, memory: Array) -> None:
    with np.errstate(over="ignore"):  # beyond float32 is infinite
        np.copyto(memory, values, "same_kind")


def _copy_numbers(spec: TensorSpec, values: Array, memory: Array) -> None:
    _refuse_nan(values, spec)
    _narrow(values, memory)


def _refuse_nan(values: Array, spec: TensorSpec) -> None:
    """Raise if there is a NaN; both ways are faster than `np.isnan`, and allocate nothing."""
    if not values.size:
        return
    seen = np.vdot(values, values) if values.size <= _SMALL else values.min()
    if seen != seen:  # noqa: PLR0124 - only NaN differs from itself
        message = (
            f"input {spec.name!r}: NaN has no value in a quantized model; remove it from the data"
        )
        raise DataError(message)


def _decode(spec: TensorSpec) -> Decode:
    if spec.quantization is not None:
        return decoder(spec)
    if spec.dtype == "float16":
        return _widened
    return _copied


def _copied(made: Array, out: Array | None) -> Array:
    if out is None:
        return made.copy()
    np.copyto(out, made)
    return out


def _widened(made: Array, out: Array | None) -> Array:
    if out is None:
        return made.astype(np.float32)
    np.copyto(out, made)
    return out


def _ready(value: Any, spec: TensorSpec) -> Array:
    """`value` as an array that fits the input `spec`; whole numbers and bools as they are stored.

    Raises:
        DataError: ragged, no numbers, another rank or size, empty, or a dtype that cannot be meant.
    """
    try:
        array = np.asarray(value)
    except (ValueError, TypeError) as error:
        message = f"input {spec.name!r}: no array ({error}); give rows of equal length"
        raise DataError(message) from None
    if array.dtype.kind not in "biufSUO" or (array.dtype.kind in "SUO" and spec.dtype != "string"):
        message = f"input {spec.name!r}: is {array.dtype}, the model takes numbers; convert it"
        raise DataError(message)
    if not fits(array.shape, spec.shape):
        shown = ", ".join("any" if size is None else str(size) for size in spec.shape)
        told = "is empty" if 0 in array.shape else f"has shape {array.shape}"
        hint = "reshape it"
        if array.shape == spec.shape[1:]:
            hint = "add the batch dimension: array[None]"
        message = f"input {spec.name!r}: {told}, the model takes ({shown}); {hint}"
        raise DataError(message)
    is_real = spec.quantization is not None or spec.dtype.startswith("float")
    return array if is_real or spec.dtype == "string" else stored(array, spec)
