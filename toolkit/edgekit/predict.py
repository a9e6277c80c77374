"""Run a model over a data set, and keep of each output only what scoring needs.

Runs in child processes; data is read piece by piece, and never held as a whole.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.child_main import tell
from edgekit.data import Dataset, open_data
from edgekit.data_checks import check
from edgekit.errors import DataError, UsageError, VerificationError
from edgekit.preprocess import Preprocess, for_inputs
from edgekit.sessions.session import Session
from edgekit.task import Kind, Task, class_numbers, decide, match_classes
from edgekit.tensors import TensorSpec

Array = NDArray[Any]

_READ_BYTES = 32 << 20
_CHECKED = 32
_DARK = 1 / 128
"""Pictures divided by 255 that stay below this were within 0..1 before, or are all black."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What to run a model on, and how to score it; the same for every file of an evaluation."""

    data: str
    preprocess: tuple[str, ...] = ()
    """As on the command line; empty for `stored`."""
    stored: Mapping[str, Any] | None = None
    """Preprocessing from a manifest, by input name, as `Preprocess.to_dict`."""
    is_prepared: bool = False
    """A user or a manifest said how to prepare inputs, be it ``none``; silence does not count."""
    class_names: tuple[str, ...] = ()
    """The model's own, from a manifest."""
    output: str | None = None
    task: Task | None = None
    limit: int | None = None

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Question:
        """Read what `dataclasses.asdict` wrote, after a journey through JSON."""
        values = {**data, "preprocess": tuple(data["preprocess"])}
        return cls(**{**values, "class_names": tuple(data["class_names"])})


def predict(
    session: Session, question: Question, *, at_once: int, out: Path, first: Path, is_first: bool
) -> dict[str, Any]:
    """Run `session` over the data, and write what scoring needs, a row a sample, to `out`.

    Scores of classes become ``predicted`` (class numbers) and ``rank`` (of the right class, from
    0); one score ``score``; a class number ``predicted``; numbers ``absolute`` and ``squared``
    errors (means over the numbers of a sample), and ``gap`` and ``size``: mean squared difference
    from the first model's numbers, and their own mean square.

    Args:
        session: the model.
        question: data and task.
        at_once: how many samples go in together where the model leaves that free.
        out: the .npz to write.
        first: the .npy with the numbers that the first model gave, for regression.
        is_first: write `first` rather than read it.

    Returns:
        Facts for the parent. ``classes`` is how many classes have a score, else 0;
        ``classes_counted`` are the classes of the data, where the model does
        not know them by name and they are taken in this order.

    Raises:
        DataError: the data does not fit the model, or the labels do not fit its output.
        UsageError: no such output, or several and none chosen.
        VerificationError: the model fails.
    """
    states = session.manifest.get("states", ())
    carried = {state["input"] for state in states}
    inputs = tuple(spec for spec in session.inputs if spec.name not in carried)
    steps = _preprocess(question, inputs)
    dataset = open_data(question.data, inputs, preprocess=steps)
    warnings = _check(session, question, dataset, steps)
    rows = np.arange(len(dataset))
    if question.limit is not None and question.limit < len(dataset):
        rows = np.sort(dataset.choose(question.limit))
    labels = None if dataset.labels is None else dataset.labels[rows]
    pieces = _outputs(session, dataset, rows, question, at_once)
    made = _Kept(first=first, is_first=is_first, count=len(rows))
    name = ""
    counted: tuple[str, ...] = ()
    kind: Kind = "values"
    classes = 0
    for piece in pieces:
        if not name:
            name = choose_output(list(piece), question.output, {s["output"] for s in states})
            kind = decide(question.task, labels, piece[name])
            classes = piece[name].shape[1] if kind == "classes" else 0
            if kind != "values" and labels is not None:
                known = classes or None
                order = match_classes(dataset.class_names, question.class_names)
                counted = () if order else dataset.class_names or ()
                labels = class_numbers(labels, 2 if kind == "binary" else known, order)
        made.keep(kind, piece[name], labels)
        tell(f"{made.done} of {len(rows)} samples")
    np.savez(out, allow_pickle=False, **made.columns())
    return {
        "kind": kind,
        "output": name,
        "classes": classes,
        "samples": len(rows),
        "available": len(dataset),
        "is_random": dataset.is_random,
        "labels_sha256": None if labels is None else hashlib.sha256(labels.tobytes()).hexdigest(),
        "preprocess": {name: str(step) for name, step in steps.items() if not step.is_identity},
        "nan_rows": made.nan_rows,
        "classes_counted": list(counted),
        "warnings": list(warnings),
    }


def choose_output(names: Sequence[str], asked: str | None, states: set[str]) -> str:
    """Which output is scored.

    Raises:
        UsageError: there are several and none was asked for, or there is none of that name.
    """
    names = [name for name in names if name not in states]
    if asked in names:
        return str(asked)
    if asked is not None:
        message = f"--output {asked}: no such output; there are: {', '.join(names)}"
        raise UsageError(message)
    if len(names) == 1:
        return names[0]
    message = f"--output: the model has {len(names)} outputs; choose one of: {', '.join(names)}"
    raise UsageError(message)


def _preprocess(question: Question, inputs: Sequence[TensorSpec]) -> dict[str, Preprocess]:
    if question.preprocess:
        return for_inputs(question.preprocess, inputs)
    stored = {n: Preprocess.from_dict(steps) for n, steps in (question.stored or {}).items()}
    if len(stored) == len(inputs) == 1:
        return {inputs[0].name: next(iter(stored.values()))}
    unknown = set(stored) - {spec.name for spec in inputs}
    if unknown:
        message = (
            f"--preprocess: what is stored is for the inputs {sorted(stored)}, the model has "
            f"{[spec.name for spec in inputs]}; write --preprocess for them"
        )
        raise UsageError(message)
    return stored


def _check(
    session: Session, question: Question, dataset: Dataset, steps: Mapping[str, Preprocess]
) -> tuple[str, ...]:
    """Look at some samples from all over the data: NaN, all the same, pixels in a wrong range."""
    if dataset.is_random:
        return ()
    count = min(len(dataset), _CHECKED)
    chosen = np.unique(np.linspace(0, len(dataset) - 1, count).astype(np.intp))
    batch = dataset.batch(chosen)
    return _scaled_twice(batch, steps, question.data) + check(
        batch,
        dataset.inputs,
        purpose="evaluation",
        pixel_range=session.pixel_range,
        preprocess_was_given=question.is_prepared or session.pixel_range is None,
        labels=None if dataset.labels is None else dataset.labels[chosen],
        source=question.data,
    )


def _scaled_twice(
    batch: Mapping[str, Array], steps: Mapping[str, Preprocess], source: str
) -> tuple[str, ...]:
    """Warnings for inputs that are divided by 255 alone, and then hardly differ from 0."""
    warnings = []
    for name, one in steps.items():
        divided = [step for step in one.steps if step.name in ("scale", "0..1")]
        others = {step.name for step in one.steps} & {"mean", "std", "-1..1"}
        if others or len(divided) != 1 or not np.allclose(divided[0].values, 1 / 255):
            continue
        low, high = float(batch[name].min()), float(batch[name].max())
        if low >= 0 and 0 < high <= _DARK:
            warnings.append(
                f"{source}: input {name!r} reaches only {high:.2g} after {divided[0]}; the data "
                "look scaled already, if so give --preprocess none"
            )
    return tuple(warnings)


def _outputs(
    session: Session, dataset: Dataset, rows: Array, question: Question, at_once: int
) -> Iterator[dict[str, Array]]:
    """Outputs for `rows`, piece by piece, as real numbers."""
    sample_bytes = sum(a.nbytes for a in dataset.batch(rows[:1]).values())
    size = max(1, min(max(session.rows_at_once, at_once), _READ_BYTES // max(1, sample_bytes)))
    carried = [s for s in session.inputs if s.name not in {i.name for i in dataset.inputs}]
    for piece in dataset.batches(rows, size):
        count = len(next(iter(piece.values())))
        step = at_once if session.fixed_batch is None else count
        calls = []
        for start in range(0, count, step):
            part = {name: array[start : start + step] for name, array in piece.items()}
            given = len(next(iter(part.values())))
            calls.append(part | {s.name: _zeros(s, given) for s in carried})
        parts = session.run_each(calls)
        for name in parts[0]:
            if sum(len(part[name]) if part[name].ndim else 0 for part in parts) != count:
                message = (
                    f"output {name!r}: has shape {parts[0][name].shape}, not a row for each "
                    f"sample; {question.data} cannot score it"
                )
                raise DataError(message)
        yield {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _zeros(spec: TensorSpec, count: int) -> Array:
    """The initial state of a stateful model: every sample starts afresh."""
    shape = (count, *(1 if size is None else size for size in spec.shape[1:]))
    return np.zeros(shape, np.float32 if spec.quantization else spec.dtype)


class _Kept:
    """Collects, piece by piece, what is kept of the outputs."""

    def __init__(self, *, first: Path, is_first: bool, count: int) -> None:
        self.done = 0
        self.nan_rows = 0
        self._first = first
        self._is_first = is_first
        self._count = count
        self._values: Any = None
        self._parts: dict[str, list[Array]] = {}

    def columns(self) -> dict[str, Array]:
        if self._values is not None and self._is_first:
            self._values.flush()
        return {name: np.concatenate(parts) for name, parts in self._parts.items()}

    def keep(self, kind: Kind, outputs: Array, labels: Array | None) -> None:
        flat = outputs.reshape(len(outputs), -1)
        bad: Array = np.asarray(np.isnan(flat).any(axis=1))
        self.nan_rows += int(bad.sum())
        here = None if labels is None else labels[self.done : self.done + len(flat)]
        if kind == "classes":
            self._keep_classes(flat, bad, here)
        elif kind == "binary":
            self._add("score", flat[:, 0].astype(np.float32))
        elif kind == "decisions":
            self._add("predicted", flat[:, 0].astype(np.int64))
        else:
            self._keep_values(flat.astype(np.float64), here)
        if here is not None and kind in ("binary", "decisions"):
            self._add("label", here)
        self.done += len(flat)

    def _add(self, name: str, column: Array) -> None:
        self._parts.setdefault(name, []).append(column)

    def _keep_classes(self, scores: Array, bad: Array, labels: Array | None) -> None:
        """Equal scores are ranked by class number, as argmax does; a row with NaN is wrong."""
        self._add("predicted", np.where(bad, -1, np.argmax(scores, axis=1)))
        if labels is None:
            return
        right = scores[np.arange(len(scores)), labels][:, np.newaxis]
        before = np.arange(scores.shape[1]) < labels[:, np.newaxis]
        rank = (scores > right).sum(axis=1) + ((scores == right) & before).sum(axis=1)
        self._add("rank", np.where(bad, scores.shape[1], rank))

    def _keep_values(self, values: Array, labels: Array | None) -> None:
        if labels is not None:
            wanted = labels.reshape(len(labels), -1).astype(np.float64)
            if wanted.shape != values.shape:
                message = (
                    f"labels: {wanted.shape[1]} numbers for each sample, the output has "
                    f"{values.shape[1]}; choose another --output, or give such labels"
                )
                raise DataError(message)
            error = values - wanted
            self._add("absolute", np.abs(error).mean(axis=1))
            self._add("squared", np.square(error).mean(axis=1))
        if self._values is None:
            self._values = self._open(values.shape[1])
        here = slice(self.done, self.done + len(values))
        if self._is_first:
            self._values[here] = values
        else:
            origin = self._values[here]
            self._add("gap", np.square(values - origin).mean(axis=1))
            self._add("size", np.square(origin).mean(axis=1))

    def _open(self, width: int) -> Any:
        shape = (self._count, width)
        if self._is_first:
            return np.lib.format.open_memmap(self._first, mode="w+", dtype=np.float64, shape=shape)
        values = np.load(self._first, mmap_mode="r")
        if values.shape != shape:
            message = (
                f"output: {shape[1]} numbers for each of {shape[0]} samples, the first file gives "
                f"{values.shape[1]} for each of {values.shape[0]}; choose another --output"
            )
            raise VerificationError(message)
        return values
