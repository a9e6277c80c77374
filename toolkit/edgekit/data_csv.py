"""Tables as data: ``.csv`` or ``.csv.gz`` with a header and numbers.

A column called ``label``, ``y``, ``target`` or ``class`` holds the labels: numbers, or names, which
are counted from 0 in sorted order. The other columns are the features of the only input, from left
to right; or each input has a column of its name (or ``NAME_0``, ``NAME_1``, …).
"""

from __future__ import annotations

import csv
import gzip
import zlib
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from edgekit.child import physical_memory_bytes
from edgekit.data_source import ArrayColumn, Source
from edgekit.errors import DataError
from edgekit.quote import first_line
from edgekit.tensors import TensorSpec

Array = NDArray[Any]

LABEL_COLUMNS = ("label", "y", "target", "class")
_LONGEST_LINE = 16 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class _Table:
    header: tuple[str, ...]
    numbers: NDArray[np.float64]
    labels: tuple[str, ...] | None


def read_csv(path: Path, inputs: Sequence[TensorSpec]) -> Source:
    """The rows of `path` as samples; a row is folded to the input's shape where it has its size.

    Raises:
        DataError: no header, a row of another length, a cell that is no number (the message names
            the line), or columns that do not fit the inputs.
    """
    try:
        with _open(path) as file:
            table = _parse(_lines(file), physical_memory_bytes() // 4)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        message = f"is truncated or damaged ({first_line(error)}); save it again"
        raise DataError(message) from None
    except UnicodeDecodeError as error:
        message = f"is no text in UTF-8 ({error.reason} at byte {error.start}); save it as UTF-8"
        raise DataError(message) from None
    except csv.Error as error:
        message = f"cannot be read as a table ({first_line(error)}); save it again"
        raise DataError(message) from None
    columns = {name: ArrayColumn(values) for name, values in _divide(table, inputs).items()}
    labels, class_names = _labels(table.labels) if table.labels is not None else (None, None)
    return Source(columns=columns, labels=labels, class_names=class_names)


def _open(path: Path) -> IO[str]:
    if path.name.lower().endswith(".gz"):
        return gzip.open(path, "rt", encoding="utf-8-sig", newline="")
    return path.open(encoding="utf-8-sig", newline="")


def _lines(file: IO[str]) -> Iterator[str]:
    while line := file.readline(_LONGEST_LINE):
        if len(line) == _LONGEST_LINE:
            message = f"has a line of more than {_LONGEST_LINE >> 20} MiB; is it a table?"
            raise DataError(message)
        yield line


def _parse(lines: Iterator[str], most_bytes: int) -> _Table:
    rows = csv.reader(lines, skipinitialspace=True)
    header = tuple(cell.strip() for cell in next((row for row in rows if row), ()))
    _check_header(header)
    label = next((i for i, name in enumerate(header) if name.casefold() in LABEL_COLUMNS), None)
    numbers = array("d")
    labels: list[str] = []
    for row in rows:
        if not row:
            continue
        if len(row) != len(header):
            message = (
                f"line {rows.line_num} has {len(row)} cells, the header {len(header)}; "
                "make them equal"
            )
            raise DataError(message)
        if label is not None:
            labels.append(row.pop(label).strip())
        try:
            numbers.extend(map(float, row))
        except ValueError:
            names = [name for i, name in enumerate(header) if i != label]
            raise DataError(_wrong_cell(rows.line_num, names, row)) from None
        if len(numbers) * 8 > most_bytes:
            message = f"has more than {most_bytes >> 20} MiB of numbers; give fewer rows, or .npy"
            raise DataError(message)
    width = len(header) - (label is not None)
    if width == 0:
        message = f"has no column but {header[0]!r}; add columns with features"
        raise DataError(message)
    return _Table(
        header=tuple(name for i, name in enumerate(header) if i != label),
        numbers=np.frombuffer(numbers, np.float64).reshape(-1, width),
        labels=None if label is None else tuple(labels),
    )


def _check_header(header: tuple[str, ...]) -> None:
    if not header:
        message = "is empty; give a header and rows of numbers"
        raise DataError(message)
    if all(map(_is_number, header)):
        message = "line 1 is numbers; put a header before it, with 'label' for the labels if any"
        raise DataError(message)
    double = sorted({name for name in header if header.count(name) > 1})
    if double:
        message = f"line 1 names the column {double[0]!r} twice; rename one"
        raise DataError(message)
    labels = [name for name in header if name.casefold() in LABEL_COLUMNS]
    if len(labels) > 1:
        message = f"line 1 has several columns of labels: {', '.join(labels)}; keep one"
        raise DataError(message)


def _wrong_cell(line: int, names: Sequence[str], row: Sequence[str]) -> str:
    name, cell = next(
        (name, cell) for name, cell in zip(names, row, strict=True) if not _is_number(cell)
    )
    what = f"is {cell[:40]!r}, not a number" if cell.strip() else "is empty"
    return f"line {line}, column {name!r} {what}; give a number, or take the column out"


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _divide(table: _Table, inputs: Sequence[TensorSpec]) -> dict[str, Array]:
    """The columns of each input, in the shape of its samples."""
    found = {spec.name: _columns_of(spec.name, table.header) for spec in inputs}
    if len(inputs) == 1 and not found[inputs[0].name]:
        found[inputs[0].name] = list(range(len(table.header)))
    missing = [name for name, columns in found.items() if not columns]
    if missing:
        has = ", ".join(table.header)
        message = (
            f"has no column for {', '.join(missing)} (it has: {has}); "
            f"name it {missing[0]} (or {missing[0]}_0, {missing[0]}_1, …)"
        )
        raise DataError(message)
    return {spec.name: _folded(table.numbers[:, found[spec.name]], spec) for spec in inputs}


def _columns_of(name: str, header: Sequence[str]) -> list[int]:
    if name in header:
        return [header.index(name)]
    numbered = {}
    for place, column in enumerate(header):
        start, _, number = column.rpartition("_")
        if start == name and number.isascii() and number.isdigit():
            numbered[int(number)] = place
    return [numbered[number] for number in sorted(numbered)]


def _folded(rows: Array, spec: TensorSpec) -> Array:
    shape = spec.shape[1:]
    if len(shape) != 1 and None not in shape:
        sizes = [size for size in shape if size is not None]
        if rows.shape[1] == int(np.prod(sizes)):
            return rows.reshape(len(rows), *sizes)
    return rows


def _labels(cells: Sequence[str]) -> tuple[Array, tuple[str, ...] | None]:
    """Whole numbers as int64, others as float64, names as their place among the sorted names."""
    if all(map(_is_number, cells)):
        values = np.array(list(map(float, cells)))
        whole = np.isfinite(values) & (values == np.trunc(values)) & (np.abs(values) < 2**53)
        return (values.astype(np.int64) if whole.all() else values), None
    if "" in cells:
        message = f"sample {cells.index('') + 1} has no label; fill it in, or take the row out"
        raise DataError(message)
    names, numbers = np.unique(np.array(cells), return_inverse=True)
    return numbers.astype(np.int64), tuple(map(str, names))
