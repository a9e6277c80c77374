"""What is fed to a model: made or read, and brought to the stored dtypes, once, before timing."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from .errors import Refused, first_line

if TYPE_CHECKING:
    from collections.abc import Sequence


class Input(NamedTuple):
    """What one input takes: ``stored = round(real / scale) + zero_point`` where it has a scale."""

    name: str
    shape: tuple[int | None, ...]
    dtype: Any
    scale: float | None = None
    zero_point: int = 0


def read_arrays(path: str | None, most: int | None = None) -> dict[str, Any]:
    """The arrays of an .npz file, or their first rows; none without a path.

    Raises:
        Refused: it is not readable; DataError.
    """
    if path is None:
        return {}
    import zipfile

    import numpy as np

    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    except (OSError, ValueError, EOFError, AttributeError, zipfile.BadZipFile) as error:
        name = Path(path).name
        message = f"{name}: not a readable .npz ({first_line(error)}); make it again"
        raise Refused(message, "DataError") from error
    if most is None:
        return arrays
    return {name: array[:most].copy() if array.ndim else array for name, array in arrays.items()}


def rows_of(
    arrays: dict[str, Any], inputs: list[Input], zeros: Sequence[str] = ()
) -> list[list[Any]]:
    """What each inference takes: for every input an array of its stored dtype and shape.

    Args:
        arrays: shape (n, …input's shape), or (n, …) where the input's first size is a batch. If
            there are none: random numbers from a fixed seed, and zeros for integers.
        inputs: of the model.
        zeros: names of inputs to fill with zeros whatever there is: states start so.

    Raises:
        Refused: an array is missing, or does not fit; DataError.
    """
    columns = [_made(one, is_zero=one.name in zeros) for one in inputs]
    wanted = [i for i, one in enumerate(inputs) if one.name not in zeros]
    if arrays:
        if len(wanted) == len(arrays) == 1:
            arrays = {inputs[wanted[0]].name: next(iter(arrays.values()))}
        missing = [inputs[i].name for i in wanted if inputs[i].name not in arrays]
        if missing:
            listed = ", ".join(sorted(arrays))
            message = f"inputs: no array {missing[0]!r}, there are: {listed}; name them so"
            raise Refused(message, "DataError")
        for i in wanted:
            columns[i] = _cut(arrays[inputs[i].name], inputs[i])
    count = max((len(column) for column in columns), default=1)
    return [[column[i % len(column)] for column in columns] for i in range(count)]


def _made(wanted: Input, *, is_zero: bool) -> list[Any]:
    import numpy as np

    shape = tuple(1 if size is None else size for size in wanted.shape)
    dtype = np.dtype(wanted.dtype)
    generator = np.random.default_rng(0)
    if dtype.kind == "f" and not is_zero:
        return [generator.random(shape, np.float32).astype(dtype)]
    if dtype.kind in "iu" and wanted.scale is not None and not is_zero:
        limits = np.iinfo(dtype)
        return [generator.integers(limits.min, limits.max, shape, dtype, endpoint=True)]
    if dtype.kind in "SUO":
        return [np.full(shape, "", dtype=object)]
    return [np.full(shape, wanted.zero_point, dtype)]  # stands for 0


def _cut(array: Any, wanted: Input) -> list[Any]:
    """One piece for each inference."""
    import numpy as np

    rank = len(wanted.shape)
    pieces: list[Any] = []
    if array.ndim == rank + 1:
        pieces = list(array)
    elif array.ndim == rank and rank:
        batch = wanted.shape[0] or 1
        pieces = [array[i : i + batch] for i in range(0, len(array) - batch + 1, batch)]
    if not pieces or any(
        size not in {None, got}
        for size, got in zip(wanted.shape, pieces[0].shape)  # noqa: B905
    ):
        shape = tuple("any" if size is None else size for size in wanted.shape)
        message = (
            f"input {wanted.name!r}: shape {array.shape} has no rows of shape "
            f"({', '.join(map(str, shape))}); reshape the data"
        )
        raise Refused(message, "DataError")
    # reshape: of an array without dimensions, ascontiguousarray makes one with a dimension
    return [np.ascontiguousarray(_stored(piece, wanted)).reshape(piece.shape) for piece in pieces]


def _stored(piece: Any, wanted: Input) -> Any:
    import numpy as np

    dtype = np.dtype(wanted.dtype)
    if piece.dtype == dtype or dtype.kind in "SUO":
        return piece
    if wanted.scale is not None and piece.dtype.kind == "f":
        limits = np.iinfo(dtype)
        scaled = np.rint(piece.astype(np.float32) / np.float32(wanted.scale)) + wanted.zero_point
        return np.clip(scaled, limits.min, limits.max).astype(dtype)
    converted = piece.astype(dtype)
    if dtype.kind != "f" and not np.array_equal(converted, piece):
        message = f"input {wanted.name!r}: takes {dtype}, which these numbers are not; convert them"
        raise Refused(message, "DataError")
    return converted
