"""A function of the user's as data: ``package.module:function``, called without arguments.

It returns, or yields one after the other, samples or batches: arrays, ``(x, y)`` tuples, mappings
by input name, ``(mapping, y)``, or lists in the order of the inputs; also a ``tf.data.Dataset``. A
tuple or mapping that is returned, not yielded, is the whole data.
"""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.child import physical_memory_bytes
from edgekit.data_fit import matches
from edgekit.data_source import ArrayColumn, Source, tidy_labels
from edgekit.errors import DataError
from edgekit.quote import first_line
from edgekit.tensors import TensorSpec

Array = NDArray[Any]

_NAME = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*(\.[^\W\d]\w*)*")


def is_function(text: str) -> bool:
    """Whether `text` is in the form ``package.module:function``."""
    return _NAME.fullmatch(text) is not None


def read_function(text: str, inputs: Sequence[TensorSpec]) -> Source:
    """Import the module (the current folder counts), call the function, collect what it gives.

    Raises:
        DataError: no such module or function, it raises, gives nothing, or what it gives is in none
            of the forms above.
    """
    function = _find(text)
    with _UserCode():
        given = function()
    if given is None:
        message = "returns nothing; return or yield samples"
        raise DataError(message)
    if isinstance(given, tuple | Mapping | np.ndarray):
        columns, labels = _divide(given, inputs)
    else:
        columns, labels = _collect(_items(given), inputs)
    for name, values in columns.items():
        if values.ndim == 0:
            message = f"gives a single number for {name!r}; give (samples, …)"
            raise DataError(message)
    return Source(
        columns={name: ArrayColumn(values) for name, values in columns.items()},
        labels=None if labels is None else tidy_labels(labels),
    )


def _find(text: str) -> Callable[[], object]:
    name, _, path = text.partition(":")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.append(here)
    importlib.invalidate_caches()
    with _UserCode():
        try:
            found: object = importlib.import_module(name)
        except ModuleNotFoundError as error:
            if error.name is None or not f"{name}.".startswith(f"{error.name}."):
                raise
            hint = f"; write {name.removesuffix('.py')}:{path}" if name.endswith(".py") else ""
            advice = hint or "; check the name, and start edgekit in the folder of the module"
            message = f"no module {error.name!r}{advice}"
            raise DataError(message) from None
    for part in path.split("."):
        if not hasattr(found, part):
            has = [key for key in vars(found) if not key.startswith("_")] if _plain(found) else []
            listed = f"; there are: {', '.join(has[:20])}" if has else "; check the name"
            message = f"{name} has no {path!r}{listed}"
            raise DataError(message)
        found = getattr(found, part)
    if not callable(found):
        message = f"is {type(found).__name__}, not a function; write one that returns it"
        raise DataError(message)
    return found


def _plain(found: object) -> bool:
    return hasattr(found, "__dict__")


class _UserCode:
    """What the user's code raises becomes a `DataError` that quotes it."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        if error is None or isinstance(error, DataError | MemoryError | KeyboardInterrupt):
            return
        said = f"{type(error).__name__} ({first_line(error)}){_place(error)}"
        message = f"raises {said}; correct the function"
        raise DataError(message) from error


def _place(error: BaseException) -> str:
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None or trace.tb_frame.f_code.co_filename.startswith("<"):
        return ""
    return f" at {Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}"


def _items(given: object) -> Iterator[object]:
    """What `given` holds, one after the other, with the errors of the user's code as ours."""
    if hasattr(given, "as_numpy_iterator"):
        return _guarded(given.as_numpy_iterator())
    if hasattr(given, "__getitem__") and hasattr(given, "__len__"):
        # Keras' sequences have no end when they are iterated over.
        return _guarded(given[place] for place in range(len(given)))
    if isinstance(given, Iterable):
        return _guarded(given)
    message = (
        f"returns {type(given).__name__}, which holds no samples; "
        "return or yield arrays, (x, y) tuples or mappings by input name"
    )
    raise DataError(message)


def _guarded(items: Iterable[object]) -> Iterator[object]:
    with _UserCode():
        iterator = iter(items)
    while True:
        with _UserCode():
            try:
                item = next(iterator)
            except StopIteration:
                return
        yield item


def _divide(item: object, inputs: Sequence[TensorSpec]) -> tuple[dict[str, Array], Array | None]:
    """Samples by input name, and labels, of one thing given; nothing is said about its axes."""
    labels: object = None
    if isinstance(item, tuple) and 1 <= len(item) <= 3:  # (x,), (x, y), (x, y, weights)
        labels = item[1] if len(item) > 1 else None
        item = item[0]
        if len(inputs) > 1 and not isinstance(item, Mapping | list | tuple):
            names = ", ".join(spec.name for spec in inputs)
            message = f"gives (x, y), the model has the inputs {names}; give x as a mapping by name"
            raise DataError(message)
    if isinstance(item, Mapping):
        missing = [spec.name for spec in inputs if spec.name not in item]
        if missing:
            has = ", ".join(map(str, item)) or "nothing"
            message = f"gives nothing for {', '.join(missing)} (it gives: {has}); use these names"
            raise DataError(message)
        given = [item[spec.name] for spec in inputs]
    elif isinstance(item, list | tuple) and any(hasattr(part, "shape") for part in item):
        if len(item) != len(inputs):
            message = (
                f"gives {len(item)} arrays together, the model has {len(inputs)} inputs; "
                "give one for each, in their order"
            )
            raise DataError(message)
        given = list(item)
    elif len(inputs) == 1:
        given = [item]
    else:
        names = ", ".join(spec.name for spec in inputs)
        message = f"gives single arrays, the model has the inputs {names}; give mappings by name"
        raise DataError(message)
    arrays = {
        spec.name: _array(value, spec.name) for spec, value in zip(inputs, given, strict=True)
    }
    return arrays, None if labels is None else _array(labels, "labels")


def _array(value: object, name: str) -> Array:
    try:
        made = np.asarray(value)
    except (ValueError, TypeError) as error:
        message = (
            f"gives something for {name!r} that is no array ({first_line(error)}); give numbers"
        )
        raise DataError(message) from None
    if made.dtype.kind not in "biuf":
        message = f"gives {made.dtype} for {name!r}; give numbers"
        raise DataError(message)
    return made


def _collect(
    items: Iterator[object], inputs: Sequence[TensorSpec]
) -> tuple[dict[str, Array], Array | None]:
    parts: dict[str, list[Array]] = {spec.name: [] for spec in inputs}
    label_parts: list[Array] = []
    used, most = 0, physical_memory_bytes() // 4
    for item in items:
        arrays, labels = _divide(item, inputs)
        batched = is_batch(arrays[inputs[0].name], inputs[0].shape)
        for name, array in arrays.items():
            part = array if batched else array[np.newaxis]
            parts[name].append(part)
            used += part.nbytes + 200
        if labels is not None:
            label_parts.append(labels if batched else labels[np.newaxis])
        if used > most:
            message = f"gives more than {most / 2**30:.1f} GiB, or never ends; give fewer samples"
            raise DataError(message)
    if not parts[inputs[0].name]:
        message = "yields nothing; yield samples"
        raise DataError(message)
    columns = {name: _join(name, arrays) for name, arrays in parts.items()}
    if label_parts and len(label_parts) != len(parts[inputs[0].name]):
        message = "gives labels with some of its samples only; give them with all, or none"
        raise DataError(message)
    return columns, _join("labels", label_parts) if label_parts else None


def _join(name: str, parts: Sequence[Array]) -> Array:
    shapes = sorted({part.shape[1:] for part in parts})
    if len(shapes) > 1:
        message = (
            f"gives different shapes for {name!r}: {shapes[0]} and {shapes[1]}; make them equal"
        )
        raise DataError(message)
    return np.concatenate(parts)


def is_batch(array: Array, shape: Sequence[int | None]) -> bool:
    """Whether `array` is a batch for an input of `shape` rather than a sample.

    The channel axis of gray pictures may be missing in both: ``(28, 28)`` is a sample for
    ``(None, 28, 28, 1)``, and ``(32, 28, 28)`` a batch.
    """
    if array.ndim >= len(shape):
        return True
    if array.ndim < len(shape) - 1:
        return False
    if matches(array.shape, shape[1:]):
        return False
    without = [size for place, size in enumerate(shape) if place != len(shape) - 1]
    return shape[-1] == 1 and array.ndim > 0 and matches(array.shape[1:], without[1:])
