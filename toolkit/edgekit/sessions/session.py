"""What every opened model does, whichever runtime runs it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from edgekit.errors import DataError
from edgekit.tensors import TensorSpec

if TYPE_CHECKING:
    from typing import Self

    from numpy.typing import NDArray

    from edgekit.data_checks import PixelRange


class Session(ABC):
    """A model, loaded and ready; use it in ``with``, or close it.

    Not for use by several threads at once. `run` and `run_real` check everything and take any
    batch.
    """

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    manifest: dict[str, Any]
    """What edgekit wrote into the file; empty where it wrote nothing."""
    pixel_range: PixelRange | None = None
    """What pictures have to be like, where the model tells."""
    rows_at_once: int = 64
    """How many samples are worth being read before they are run."""

    @abstractmethod
    def _invoke(self, inputs: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Run once on arrays that fit `self.inputs` in name, dtype and shape."""

    @abstractmethod
    def close(self) -> None:
        """Let the model go; safe to call twice."""

    def __enter__(self) -> Self:
        """Close at the end of the block."""
        return self

    def __exit__(self, *_: object) -> None:
        """Let the model go."""
        self.close()

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Run on arrays of the stored dtypes; what comes back are copies of the stored dtypes.

        Arrays whose first dimension differs from a batch size fixed in the file are run piece by
        piece; the last piece is filled up with copies of its last row, whose results are dropped.

        Args:
            inputs: an array for each input, shape ``(batch, …)``.

        Raises:
            DataError: a name is missing or unknown; a dtype or shape does not fit.
            VerificationError: the runtime fails.
        """
        pieces, missing = self._pieces(self._checked(inputs))
        return self._joined([self._invoke(piece) for piece in pieces], missing)

    def run_real(self, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Run on real numbers and give real numbers, whatever the file stores.

        Integer-quantized inputs are quantized (rounded half to even, clipped) and such outputs
        come back as float32. Data that has the file's own dtype already passes through unchanged.

        Raises:
            DataError: as `run`; and NaN, or fractions, where the file takes integers.
            VerificationError: the runtime fails.
        """
        return self._as_real(self.run(self._as_stored(inputs)))

    def run_each(
        self, calls: Sequence[Mapping[str, NDArray[Any]]]
    ) -> list[dict[str, NDArray[Any]]]:
        """`run_real` on each of `calls`; none of them finds what another left.

        Raises:
            DataError: as `run_real`.
            VerificationError: the runtime fails.
        """
        return [self.run_real(inputs) for inputs in calls]

    def _as_stored(self, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        from edgekit.sessions.quantized import stored

        specs = {spec.name: spec for spec in self.inputs}
        return {
            name: stored(values, specs[name]) if name in specs else values
            for name, values in inputs.items()
        }

    def _as_real(self, raw: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        from edgekit.sessions.quantized import dequantize

        return {
            spec.name: dequantize(raw[spec.name], spec) if spec.quantization else raw[spec.name]
            for spec in self.outputs
        }

    def _checked(self, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        wanted = [spec.name for spec in self.inputs]
        if set(inputs) != set(wanted):
            message = f"inputs {sorted(inputs)}: the model takes {wanted}; name them so"
            raise DataError(message)
        arrays = {name: np.asarray(inputs[name]) for name in wanted}
        for spec in self.inputs:
            array = arrays[spec.name]
            if spec.dtype not in ("string", array.dtype.name):
                message = (
                    f"input {spec.name!r}: is {array.dtype}, the file takes {spec.dtype}; "
                    "convert it, or use run_real"
                )
                raise DataError(message)
            if not fits(array.shape, spec.shape):
                shown = tuple("any" if size is None else size for size in spec.shape)
                message = (
                    f"input {spec.name!r}: has shape {array.shape}, the model takes "
                    f"({', '.join(map(str, shown))}); reshape the data, or see --preprocess"
                )
                raise DataError(message)
        return arrays

    @property
    def fixed_batch(self) -> int | None:
        """The batch size that is fixed in the file; None when it is free, or there is none."""
        firsts = {spec.shape[0] if spec.shape else None for spec in self.inputs}
        return firsts.pop() or None if len(firsts) == 1 else None

    def _pieces(self, arrays: dict[str, NDArray[Any]]) -> tuple[list[dict[str, NDArray[Any]]], int]:
        """What is run at once, and how many rows were added to the last piece."""
        batch = self.fixed_batch
        rows = {array.shape[0] if array.ndim else 1 for array in arrays.values()}
        if batch is None or rows == {batch}:
            return [arrays], 0
        if len(rows) > 1:
            sizes = ", ".join(f"{name}: {len(array)}" for name, array in arrays.items())
            message = f"inputs: different numbers of rows ({sizes}); give each input as many"
            raise DataError(message)
        (count,) = rows
        missing = -count % batch
        pieces = [
            {name: array[start : start + batch] for name, array in arrays.items()}
            for start in range(0, count, batch)
        ]
        if missing:
            pieces[-1] = {
                name: np.concatenate([array, np.repeat(array[-1:], missing, axis=0)])
                for name, array in pieces[-1].items()
            }
        return pieces, missing

    def _joined(
        self, made: Sequence[dict[str, NDArray[Any]]], missing: int
    ) -> dict[str, NDArray[Any]]:
        """The results of all pieces, without those of the rows that were added."""
        if len(made) == 1 and not missing:
            return made[0]
        batch = self.fixed_batch
        joined = {}
        for name, first in made[0].items():
            if not first.ndim or first.shape[0] != batch:
                message = (
                    f"output {name!r}: has shape {first.shape}, not a row for each of the "
                    f"{batch} inputs the file takes at once; give exactly {batch} rows"
                )
                raise DataError(message)
            rows = np.concatenate([piece[name] for piece in made])
            joined[name] = rows[: len(rows) - missing]
        return joined


def fits(shape: tuple[int, ...], wanted: tuple[int | None, ...]) -> bool:
    """Whether `shape` can be fed; the first dimension may always be run piece by piece."""
    if len(shape) != len(wanted):
        return False
    pairs = list(zip(shape, wanted, strict=True))
    return all(size == want or want is None for size, want in pairs[1:]) and 0 not in shape
