"""The child's side of ``edgekit run``: loads the model, reads inputs, runs them one by one."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.classification import rank
from edgekit.errors import DataError, UsageError
from edgekit.input_file import Interface, Samples, read_inputs
from edgekit.loading import load
from edgekit.preprocess import parse_prefixed
from edgekit.run_result import Ranked, Result, Summary
from edgekit.serving import Serving

Array = NDArray[Any]

_MOST_VALUES = 1000
_AT_ONCE = 256
_AT_ONCE_S = 1.0
_SURE = 0.01
"""How far from 1 the sum of probabilities may be."""


@dataclass(slots=True, kw_only=True)
class Work:
    """The model, the samples being run, and the outputs that will be saved."""

    serving: Serving
    forward: Callable[[dict[str, Array]], dict[str, Array]]
    """Runs the model anew."""
    top: int
    is_asked_for_classes: bool
    keeps: bool
    title: str = ""
    samples: Samples | None = None
    kept: dict[str, list[Array]] = field(default_factory=dict)

    def call(self, start: int) -> tuple[dict[str, Array], int]:
        """What the model is fed with from sample `start` on, and how many samples that are.

        Raises:
            DataError: the samples do not fit together.
        """
        assert self.samples is not None
        sizes = {spec.shape[0] for spec in self.serving.inputs if len(spec.shape) > 1}
        step = (sizes.pop() or 1) if len(sizes) == 1 else 1
        return self.samples.take(start, start + step), min(step, self.samples.count - start)


_work: list[Work] = []


def current() -> Work:
    """What is being done."""
    return _work[0]


def open_model(
    *,
    path: str,
    options: dict[str, Any],
    preprocess: list[str],
    top: int,
    is_asked_for_classes: bool,
    keeps: bool,
) -> dict[str, Any]:
    """Load the file that is run; see `edgekit.load` for `options`.

    Raises:
        EdgekitError: as `edgekit.load`.
    """
    model = load(path, preprocess=steps_of(preprocess), **options)

    def forward(given: dict[str, Array]) -> dict[str, Array]:
        model.reset()
        return model.run(given)

    begin(
        Work(
            serving=model._serving,
            forward=forward,
            top=top,
            is_asked_for_classes=is_asked_for_classes,
            keeps=keeps,
        )
    )
    return {"backend": model.backend, "inputs": [spec.name for spec in model.inputs]}


def begin(work: Work) -> None:
    """Do this from now on."""
    _work[:] = [work]


def steps_of(texts: list[str]) -> str | dict[str, str] | None:
    """Preprocessing from the command line, as `edgekit.load` takes it.

    Raises:
        UsageError: not clear for which input, or twice for one.
    """
    if len(texts) < 2:
        return texts[0] if texts else None
    found: dict[str, str] = {}
    for text in texts:
        name, steps = parse_prefixed(text)
        if name is None or name in found:
            what = "says not for which input" if name is None else f"is given twice for {name!r}"
            message = f"--preprocess {text}: {what}; write it once for each input, as INPUT:STEPS"
            raise UsageError(message)
        found[name] = str(steps)
    return found


def read(*, texts: list[tuple[str | None, str]], title: str) -> dict[str, Any]:
    """Read the inputs that go together; `run` takes them from here.

    Raises:
        DataError: as `read_inputs`.
    """
    work = _work[0]
    serving = work.serving
    interface = Interface(
        name=serving.name, inputs=serving.inputs, preprocess=dict(serving.preprocess)
    )
    work.title, work.samples = title, read_inputs(dict(texts), interface)
    return {"count": work.samples.count, "notes": list(work.samples.notes)}


def run(*, start: int) -> dict[str, Any]:
    """Run the samples from `start` on, each one anew, for about a second.

    Returns:
        ``results``, and as ``next`` where to go on; None at the end.

    Raises:
        DataError: a sample does not fit the model.
        VerificationError: the runtime fails, or gives NaN as a score.
    """
    work = _work[0]
    samples = work.samples
    assert samples is not None
    results: list[Result] = []
    notes: list[str] = []
    until = time.monotonic() + _AT_ONCE_S
    while start < samples.count and len(results) < _AT_ONCE and time.monotonic() < until:
        given, count = work.call(start)
        made = work.forward(given)
        for row, outputs in _rows(made, count):
            number = None if samples.count == 1 else start + row
            results.append(_result(work, number, outputs, notes))
        if work.keeps:
            for name, array in made.items():
                work.kept.setdefault(name, []).append(array)
        start += count
    return {
        "results": [result.to_dict() for result in results],
        "next": start if start < samples.count else None,
        "notes": list(dict.fromkeys(notes)),
    }


def _rows(made: dict[str, Array], count: int) -> list[tuple[int, dict[str, Array]]]:
    """The outputs of each sample; all of them once where they are not a row for each."""
    if count == 1 or any(array.ndim == 0 or len(array) != count for array in made.values()):
        return [(0, made)]
    return [(r, {name: array[r : r + 1] for name, array in made.items()}) for r in range(count)]


def _result(work: Work, row: int | None, outputs: dict[str, Array], notes: list[str]) -> Result:
    classes: tuple[Ranked, ...] = ()
    serving = work.serving
    if serving.labels or work.is_asked_for_classes or _are_probabilities(outputs):
        try:
            classes = tuple(
                Ranked(label=one.label, score=_rounded(one.score, np.float32), index=one.index)
                for one in rank(serving, outputs, work.top)
            )
        except DataError as error:
            if work.is_asked_for_classes:
                raise
            notes.append(str(error))
    return Result(
        input=work.title,
        row=row,
        classes=classes,
        outputs=tuple(_summary(name, array) for name, array in outputs.items()),
    )


def _are_probabilities(outputs: dict[str, Array]) -> bool:
    """Whether the only output is positive and sums to 1, as that of a classifier is."""
    if len(outputs) != 1:
        return False
    (array,) = outputs.values()
    is_vector = array.ndim >= 1 and array.size > 1 and array.size == max(array.shape)
    return (
        is_vector
        and array.dtype.kind == "f"
        and bool((array >= 0).all())
        and abs(float(array.sum()) - 1) <= _SURE
    )


def _summary(name: str, array: Array) -> Summary:
    is_text = array.dtype.kind not in "biuf"
    finite = array.astype(np.float64)[np.isfinite(array)] if not is_text else np.empty(0)
    low, mean, high = (
        (finite.min(), finite.mean(), finite.max()) if finite.size else (None, None, None)
    )
    return Summary(
        name=name,
        dtype="string" if is_text else str(array.dtype),
        shape=array.shape,
        values=_plain(array.tolist(), array.dtype) if array.size <= _MOST_VALUES else None,
        min=None if low is None else _rounded(float(low), array.dtype),
        mean=None if mean is None else _rounded(float(mean), array.dtype),
        max=None if high is None else _rounded(float(high), array.dtype),
        not_finite=0 if is_text else int(array.size - finite.size),
    )


def _plain(values: Any, dtype: Any) -> Any:
    if isinstance(values, list):
        return [_plain(value, dtype) for value in values]
    if isinstance(values, float):
        return _rounded(values, dtype) if np.isfinite(values) else None
    return values.decode(errors="replace") if isinstance(values, bytes) else values


def _rounded(value: float, dtype: Any) -> float:
    """With the digits that tell one float32 from the next, and no more."""
    return value if dtype == np.float64 else float(f"{value:.9g}")


def save(*, out: str) -> None:
    """Write all outputs, each as one array, to the .npz file `out`.

    Raises:
        DataError: the samples gave arrays of different shapes.
    """
    with open(out, "wb") as file:  # noqa: PTH123 - savez would add a suffix to a path
        np.savez(file, allow_pickle=False, **{n: _joined(n, a) for n, a in _work[0].kept.items()})


def _joined(name: str, arrays: Sequence[Array]) -> Array:
    if len(arrays) == 1:
        return arrays[0]
    shapes = {array.shape[1:] for array in arrays}
    if len(shapes) > 1 or any(array.ndim == 0 for array in arrays):
        if len({array.shape for array in arrays}) == 1:
            return np.stack(arrays)
        told = ", ".join(map(str, sorted({array.shape for array in arrays})[:3]))
        message = f"--save: output {name!r} has different shapes ({told}, …); save one input a time"
        raise DataError(message)
    return np.concatenate(arrays)
