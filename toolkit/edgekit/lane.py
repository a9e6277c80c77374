"""One session and its way of calling: check, encode, execute, decode, and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from edgekit.errors import DataError
from edgekit.sessions.runtime_session import RuntimeSession, View, Write
from edgekit.sessions.session import fits
from edgekit.tensors import TensorSpec

if TYPE_CHECKING:
    from numpy.typing import NDArray

Array: TypeAlias = "NDArray[Any]"
Encode: TypeAlias = "Callable[[Array, Array], None]"
Decode: TypeAlias = "Callable[[Array, Array | None], Array]"


class Lane:
    """Calls one session, with as little between the caller and the runtime as can be.

    The usual case, arrays of the shapes and dtypes of the call before, goes through `call` alone;
    all else is made so by `_prepared`. Not for use by several threads at once.
    """

    def __init__(self, session: RuntimeSession) -> None:
        """Take over `session`, and prepare it where the file fixes all shapes."""
        self.session = session
        self.output_names = [spec.name for spec in session.outputs]
        self._inputs = session.inputs
        self._dtypes = [result_dtype(spec) for spec in self._inputs]
        self._encode = [_encode(spec) for spec in self._inputs]
        self._decode = [_decode(spec) for spec in session.outputs]
        self._results = [result_dtype(spec) for spec in session.outputs]
        self._shapes: list[tuple[int, ...]] | None = None
        shapes = [spec.shape for spec in self._inputs]
        fixed = [tuple(size for size in shape if size is not None) for shape in shapes]
        if fixed == shapes and session.prepare(fixed):
            self._shapes = fixed
        self._plan()

    def _writing(self, number: int, dtype: np.dtype[Any]) -> tuple[Write, Any]:
        """How values of `dtype` get into an input: a function, and the key to call it with."""
        spec, view, encode = self._inputs[number], self.session.input_views[number], None
        write: Write
        if dtype.name == spec.dtype and dtype.isnative:
            write, key = self.session.input_writers[number]
        elif dtype.name != spec.dtype and (encode := self._encode[number]) is not None:
            write, key = partial(_encoded, encode), view
        else:
            write, key = (_narrow if dtype == np.float64 else _copy), view
        if dtype.kind == "f" and spec.name in self.session.quantizes_inputs:
            return partial(_write_numbers, spec, write), key
        return write, key

    def _plan(self) -> None:
        """Line up, input by input and output by output, what `call` goes through."""
        self._into: list[tuple[Any, ...]] | None = None
        self._only: tuple[Any, ...] | None = None
        if self._shapes is None:
            return
        session = self.session
        self._into = [
            (shape, dtype, *self._writing(number, dtype))
            for number, (shape, dtype) in enumerate(zip(self._shapes, self._dtypes, strict=True))
        ]
        self._copies = [
            copy if decode is _copied else partial(_decoded, decode, view)
            for decode, view, copy in zip(
                self._decode, session.output_views, session.output_copies, strict=True
            )
        ]
        self._out_of = list(
            zip(self._results, session.output_views, self._decode, self._copies, strict=True)
        )
        if len(self._into) == len(self._out_of) == 1:
            wanted, view, decode, copy = self._out_of[0]
            self._only = (*self._into[0], copy, wanted, view, decode)
        self._execute = session.execute

    def call_one(self, value: Any, out: Array | None) -> Array:
        """What `call` does, for sessions with one input and one output."""
        if self._only is not None:
            shape, dtype, write, key, copy, wanted, view, decode = self._only
            if (
                value.__class__ is np.ndarray
                and value.shape == shape
                and (value.dtype is dtype or value.dtype == dtype)
            ):
                try:
                    write(key, value)
                    self._execute()
                    if out is None:
                        return copy()  # type: ignore[no-any-return]
                    made = view()
                    if (
                        out.__class__ is np.ndarray
                        and out.shape == made.shape
                        and (out.dtype is wanted or out.dtype == wanted)
                        and out.flags.writeable
                    ):
                        return decode(made, out)  # type: ignore[no-any-return]
                    raise self._refused_out(0, out, made.shape)
                except self.session.failures as error:
                    raise self.session.failed(error) from error
        return self.call((value,), None if out is None else (out,))[0]

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
        if into is not None and len(arrays) == len(into):
            try:
                for value, (shape, dtype, write, key) in zip(arrays, into):  # noqa: B905
                    if (
                        value.__class__ is not np.ndarray
                        or value.shape != shape
                        or (value.dtype is not dtype and value.dtype != dtype)
                    ):
                        break
                    write(key, value)
                else:
                    self._execute()
                    if out is None:
                        return [copy() for copy in self._copies]
                    return self._given_out(out)
            except self.session.failures as error:
                raise self.session.failed(error) from error
        return self._otherwise(arrays, out)

    def _given_out(self, out: Sequence[Array | None]) -> list[Array]:
        results = []
        for target, (dtype, view, decode, copy) in zip(out, self._out_of):  # noqa: B905
            if target is None:
                results.append(copy())
                continue
            made = view()
            if (
                target.__class__ is not np.ndarray
                or target.shape != made.shape
                or (target.dtype is not dtype and target.dtype != dtype)
                or not target.flags.writeable
            ):
                raise self._refused_out(len(results), target, made.shape)
            results.append(decode(made, target))
        return results

    def _check_out(self, number: int, target: Array, shape: tuple[int, ...]) -> None:
        if (
            target.__class__ is not np.ndarray
            or target.shape != shape
            or target.dtype != self._results[number]
            or not target.flags.writeable
        ):
            raise self._refused_out(number, target, shape)

    def _refused_out(self, number: int, target: Array, shape: tuple[int, ...]) -> DataError:
        name, dtype = self.session.outputs[number].name, self._results[number]
        is_array = isinstance(target, np.ndarray)
        told = f"{target.dtype} {target.shape}" if is_array else type(target).__name__
        return DataError(f"out {name!r}: is {told}; give a writable {dtype} array of shape {shape}")

    def _otherwise(self, arrays: Sequence[Any], out: Sequence[Array | None] | None) -> list[Array]:
        """The unusual: other shapes or dtypes than before, rows beyond a fixed batch, text."""
        if len(arrays) != len(self._inputs):
            names = ", ".join(spec.name for spec in self._inputs)
            message = (
                f"inputs: {len(arrays)} given, the model takes {len(self._inputs)} ({names}); "
                "give one array for each"
            )
            raise DataError(message)
        try:
            return self._reshaped(arrays, out)
        except MemoryError:
            message = "inputs: too large for the memory there is; give fewer rows at a time"
            raise DataError(message) from None

    def _reshaped(self, arrays: Sequence[Any], out: Sequence[Array | None] | None) -> list[Array]:
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
            self._dtypes[number] = value.dtype
        self._plan()
        if self._shapes is None:
            return self._by_name(ready, out)
        return self.call(ready, out)

    def _by_name(self, ready: list[Array], out: Sequence[Array | None] | None) -> list[Array]:
        """Where the runtime has no fixed memory for its tensors."""
        named = {spec.name: value for spec, value in zip(self._inputs, ready, strict=True)}
        for spec, value in zip(self._inputs, ready, strict=True):
            if spec.name in self.session.quantizes_inputs:
                refuse_nan(value, spec)
        from edgekit.sessions.quantized import stored

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
        results: list[Array] = []
        for start in range(0, count, batch):
            piece = [value[start : start + batch] for value in ready]
            missing = batch - len(piece[0])
            if missing:
                piece = [np.concatenate([v, np.repeat(v[-1:], missing, axis=0)]) for v in piece]
            made = self.call(piece, None)
            if not start:
                results = self._places(made, batch, count, out)
            stop = start + batch - missing
            for place, rows_made in zip(results, made, strict=True):
                place[start:stop] = rows_made[: batch - missing]
        return results

    def _places(
        self, first: list[Array], batch: int, count: int, out: Sequence[Array | None] | None
    ) -> list[Array]:
        """Where the results of `count` rows go, judged by those of the `first` piece."""
        places: list[Array] = []
        for number, (spec, made) in enumerate(zip(self.session.outputs, first, strict=True)):
            if not made.ndim or made.shape[0] != batch:
                message = (
                    f"output {spec.name!r}: has shape {made.shape}, not a row for each of the "
                    f"{batch} inputs the file takes at once; give exactly {batch} rows"
                )
                raise DataError(message)
            shape = (count, *made.shape[1:])
            target = out[number] if out is not None else None
            if target is not None:
                self._check_out(number, target, shape)
            try:
                places.append(np.empty(shape, made.dtype) if target is None else target)
            except (MemoryError, ValueError):
                message = (
                    f"output {spec.name!r}: the results of {count} rows do not fit into memory; "
                    "give fewer rows at a time"
                )
                raise DataError(message) from None
        return places

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


def _encoded(encode: Encode, view: View, values: Array) -> None:
    encode(values, view())


def _copy(view: View, values: Array) -> None:
    np.copyto(view(), values, "same_kind")


def _narrow(view: View, values: Array) -> None:
    with np.errstate(over="ignore"):  # beyond float32 is infinite
        np.copyto(view(), values, "same_kind")


def _write_numbers(spec: TensorSpec, write: Write, key: Any, values: Array) -> None:
    refuse_nan(values, spec)
    write(key, values)


def refuse_nan(values: Array, spec: TensorSpec) -> None:
    """Raise if there is a NaN. `argmax` stops at the first, and is the fastest to look.

    Raises:
        DataError: there is one.
    """
    if not values.size:
        return
    top = values.item(values.argmax())
    if top != top:  # noqa: PLR0124 - only NaN differs from itself
        message = (
            f"input {spec.name!r}: NaN has no value in a quantized model; remove it from the data"
        )
        raise DataError(message)


def _encode(spec: TensorSpec) -> Encode | None:
    if spec.quantization is None:
        return None
    from edgekit.sessions.quantized import encoder

    return encoder(spec)


def _decode(spec: TensorSpec) -> Decode:
    if spec.quantization is not None:
        from edgekit.sessions.quantized import decoder

        return decoder(spec)
    if spec.dtype == "float16":
        return _widened
    return _copied


def _decoded(decode: Decode, view: View) -> Array:
    return decode(view(), None)


def _copied(made: Array, out: Array | None) -> Array:
    if out is None:
        return made.copy()
    out[...] = made
    return out


def _widened(made: Array, out: Array | None) -> Array:
    if out is None:
        return made.astype(np.float32)
    out[...] = made
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
    is_text = spec.dtype == "string"
    if array.dtype.kind not in ("SUO" if is_text else "biuf"):
        takes = "text" if is_text else "numbers"
        message = f"input {spec.name!r}: is {array.dtype}, the model takes {takes}; convert it"
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
    if is_real or is_text:
        return array
    from edgekit.sessions.quantized import stored

    return stored(array, spec)
