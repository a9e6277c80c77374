"""What a file gives for inputs that were sent: no timing, and every call for itself."""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .errors import Refused
from .loaded import Loaded

if TYPE_CHECKING:
    from collections.abc import Callable

_TELL_S = 1.0
_ENOUGH_BYTES = 32 << 20
"""Of outputs in one answer: whoever asked asks for the rest."""


def measure(spec: dict[str, Any], tell: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    """Run calls from ``start`` on, until all are done or their outputs are many.

    Calls are in groups, in each of which all shapes are the same. The .npz has an array
    ``group.input`` (by their numbers) for each, with the calls of the group along its first axis,
    in the stored dtypes; ``objects`` are numbers of inputs whose text the runtime wants as objects.

    Args:
        spec: ``row``, ``inputs`` (path), ``groups`` (number of calls of each), ``start``,
            ``objects``.
        tell: says to the agent what is done now.

    Returns:
        ``outputs``, the path of an .npz with the array ``group.output`` for each output, or
        ``group.output.call`` where shapes differ; ``objects``, the outputs that are text; ``next``,
        the call to go on with, and ``runtime``.

    Raises:
        Refused: a file does not load, or does not run, or gives what no .npz holds.
    """
    import numpy as np

    one = Loaded(spec["row"], tell)
    if not hasattr(one.runtime, "predict"):
        message = f"{one.name}: {one.runtime.package} predicts nothing here; convert the file first"
        raise Refused(message, "UsageError")
    one.check()
    one.told("load")
    one.load()
    one.told("predict")
    made = _Made()
    at = begun = 0
    told = time.monotonic()
    start, total = int(spec.get("start", 0)), sum(spec["groups"])
    with np.load(spec["inputs"], allow_pickle=False) as archive:
        count = len({name.partition(".")[2] for name in archive.files})
        for group, calls in enumerate(spec["groups"]):
            at, begun = begun, begun + calls
            if begun <= start or made.is_enough:
                continue
            columns = [archive[f"{group}.{i}"] for i in range(count)]
            for i in spec.get("objects", ()):
                columns[i] = columns[i].astype(object)
            for call in range(max(0, start - at), calls):
                with one.errors("run"):
                    outputs = one.runtime.predict([column[call, ...] for column in columns])
                made.add(group, outputs, one.name)
                if time.monotonic() - told > _TELL_S:
                    told = time.monotonic()
                    tell({"event": {"kind": "predicted", "calls": at + call + 1, "of": total}})
                if made.is_enough:
                    break
    return {
        "outputs": made.write(),
        "groups": made.groups,
        "objects": sorted(made.objects),
        "next": start + made.calls,
        "runtime": one.runtime_version,
    }


class _Made:
    """Outputs so far."""

    def __init__(self) -> None:
        self.calls = 0
        self.objects: set[int] = set()
        self.groups: list[int] = []
        self._bytes = 0
        self._of: dict[int, list[list[Any]]] = {}

    @property
    def is_enough(self) -> bool:
        return self._bytes >= _ENOUGH_BYTES

    def add(self, group: int, outputs: list[Any], name: str) -> None:
        import numpy as np

        arrays = [np.asarray(output) for output in outputs]
        for i, array in enumerate(arrays):
            if array.dtype.kind == "O":
                self.objects.add(i)
                arrays[i] = _text(array, name)
        self._of.setdefault(group, []).append(arrays)
        self._bytes += sum(array.nbytes for array in arrays)
        self.calls += 1

    def write(self) -> str:
        """Into a file of the agent's folder; its path."""
        import numpy as np

        packed: dict[str, Any] = {}
        for number, rows in enumerate(self._of.values()):
            self.groups.append(len(rows))
            for i, first in enumerate(rows[0]):
                column = [row[i] for row in rows]
                if all((one.shape, one.dtype) == (first.shape, first.dtype) for one in column):
                    packed[f"{number}.{i}"] = np.stack(column)
                else:
                    packed.update({f"{number}.{i}.{n}": one for n, one in enumerate(column)})
        handle, path = tempfile.mkstemp(".npz", "outputs-", str(Path.cwd()))
        with os.fdopen(handle, "wb") as file:
            np.savez(file, **packed)
        return path


def _text(array: Any, name: str) -> Any:
    """Text as NumPy stores it without objects; which cannot tell what ends with a NUL."""
    import numpy as np

    flat = array.ravel().tolist()
    is_bytes = all(isinstance(one, bytes) for one in flat)
    if not is_bytes and not all(isinstance(one, str) for one in flat):
        message = f"{name}: gives objects that are no text; use it with edgekit.load"
        raise Refused(message, "DataError")
    if any(one.endswith(b"\0" if is_bytes else "\0") for one in flat):
        message = f"{name}: gives text that ends with a NUL, which is not sent; use edgekit.load"
        raise Refused(message, "DataError")
    return np.array(array, dtype=np.bytes_ if is_bytes else np.str_)
