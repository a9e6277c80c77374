"""How far a converted model's outputs are from the original's, in numbers.

Nothing is judged here; `edgekit.tolerance` does that.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from edgekit.difference import measure

Kind = Literal["scores", "values", "decisions"]

_TIE = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputComparison:
    """One output against its reference, over `samples` rows."""

    name: str
    kind: Kind
    """``scores``: floats of shape (samples, classes); ``decisions``: integers or booleans."""
    samples: int
    max_abs_error: float
    relative_error: float
    """RMS of the error over the size of the reference: see `edgekit.difference.measure`."""
    cosine: float
    argmax_agreement: float | None
    """Scores: share of rows with the same largest score. Decisions: of equal rows. Else None."""
    flips: int | None
    """Rows that do not agree."""
    weighted_flips: float | None
    """The same, where a flip between scores that the reference holds nearly equal counts less."""
    nan_count: int
    inf_count: int
    reference_nan_count: int
    is_constant: bool
    """Hardly varies over the samples (under 1 % of the reference's variation)."""
    mismatch: str
    """What is wrong with its shape or dtype; empty if nothing is."""

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON; infinity is null."""
        return {k: None if v == np.inf else v for k, v in asdict(self).items()}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> OutputComparison:
        """Read what `to_dict` wrote."""
        unbounded = {"max_abs_error", "relative_error"}
        values: dict[str, Any] = {
            field.name: np.inf
            if data[field.name] is None and field.name in unbounded
            else data[field.name]
            for field in fields(cls)
        }
        return cls(**values)


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """All outputs against their references; each property is the worst of the outputs."""

    outputs: tuple[OutputComparison, ...]
    missing: tuple[str, ...] = ()
    """Outputs of the reference that the file does not have."""

    @property
    def samples(self) -> int:
        """How many rows were compared."""
        return max((o.samples for o in self.outputs), default=0)

    @property
    def max_abs_error(self) -> float:
        """Largest absolute difference of any number."""
        return max((o.max_abs_error for o in self.outputs), default=np.inf)

    @property
    def relative_error(self) -> float:
        """Largest relative RMS error."""
        return max((o.relative_error for o in self.outputs), default=np.inf)

    @property
    def cosine(self) -> float:
        """Smallest cosine between output and reference."""
        return min((o.cosine for o in self.outputs), default=0.0)

    @property
    def argmax_agreement(self) -> float | None:
        """Smallest agreement of the outputs that have one."""
        known = [o.argmax_agreement for o in self.outputs if o.argmax_agreement is not None]
        return min(known, default=None)

    @property
    def flips(self) -> int | None:
        """Most flips of an output that can flip."""
        return max((o.flips for o in self.outputs if o.flips is not None), default=None)

    @property
    def nan_count(self) -> int:
        """NaNs in all outputs that the reference does not have."""
        return sum(o.nan_count for o in self.outputs)

    @property
    def inf_count(self) -> int:
        """Infinities in all outputs that the reference does not have."""
        return sum(o.inf_count for o in self.outputs)

    @property
    def is_constant(self) -> bool:
        """Whether an output hardly varies though its reference does."""
        return any(o.is_constant for o in self.outputs)

    def to_dict(self) -> dict[str, Any]:
        """Plain data: the worst values, then each output. Infinity is null."""
        worst = (
            "samples max_abs_error relative_error cosine argmax_agreement flips "
            "nan_count inf_count is_constant"
        )
        values = {name: getattr(self, name) for name in worst.split()}
        return {
            **{name: None if value == np.inf else value for name, value in values.items()},
            "missing": list(self.missing),
            "outputs": [output.to_dict() for output in self.outputs],
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Comparison:
        """Read what `to_dict` wrote."""
        return cls(
            outputs=tuple(OutputComparison.from_dict(output) for output in data["outputs"]),
            missing=tuple(data["missing"]),
        )


def compare(
    reference: Mapping[str, NDArray[Any]], outputs: Mapping[str, NDArray[Any]]
) -> Comparison:
    """Compare `outputs` with `reference`, output by output.

    Outputs are matched by name; a single one matches whatever its name is.

    Args:
        reference: what the original gives: name to an array of shape (samples, …).
        outputs: what the converted file gives for the same inputs, as real numbers.
    """
    if len(reference) == len(outputs) == 1:
        outputs = dict(zip(reference, outputs.values(), strict=True))
    return Comparison(
        outputs=tuple(
            _compare_one(name, np.asarray(expected), np.asarray(outputs[name]))
            for name, expected in reference.items()
            if name in outputs
        ),
        missing=tuple(name for name in reference if name not in outputs),
    )


def _compare_one(name: str, expected: NDArray[Any], given: NDArray[Any]) -> OutputComparison:
    kind = _kind(expected)
    mismatch = _mismatch(expected, given)
    if mismatch:
        return OutputComparison(
            name=name,
            kind=kind,
            samples=len(expected) if expected.ndim else 1,
            max_abs_error=np.inf,
            relative_error=np.inf,
            cosine=0.0,
            argmax_agreement=None,
            flips=None,
            weighted_flips=None,
            nan_count=0,
            inf_count=0,
            reference_nan_count=0,
            is_constant=False,
            mismatch=mismatch,
        )
    samples = len(expected) if expected.ndim else 1
    rows, found = expected.reshape(samples, -1), given.reshape(samples, -1)
    difference = measure(rows, found)
    flipped, weights = _flips(kind, rows, found)
    return OutputComparison(
        name=name,
        kind=kind,
        samples=samples,
        max_abs_error=difference.max_abs_error,
        relative_error=difference.relative_error,
        cosine=difference.cosine,
        argmax_agreement=None if flipped is None else 1.0 - float(flipped.mean()),
        flips=None if flipped is None else int(flipped.sum()),
        weighted_flips=None if flipped is None else float(weights[flipped].sum()),
        nan_count=difference.nan_count,
        inf_count=difference.inf_count,
        reference_nan_count=difference.expected_nan_count,
        is_constant=difference.is_constant,
        mismatch="",
    )


def _kind(expected: NDArray[Any]) -> Kind:
    if expected.dtype.kind != "f":
        return "decisions"
    return "scores" if expected.ndim == 2 and expected.shape[1] > 1 else "values"


def _mismatch(expected: NDArray[Any], given: NDArray[Any]) -> str:
    if expected.shape != given.shape:
        return f"shape {given.shape} instead of {expected.shape}"
    if (expected.dtype.kind == "f") != (given.dtype.kind == "f"):
        return f"dtype {given.dtype} instead of {expected.dtype}"
    return "" if expected.size else "no values"


def _flips(
    kind: Kind, expected: NDArray[Any], given: NDArray[Any]
) -> tuple[NDArray[np.bool_] | None, NDArray[np.float64]]:
    """Which rows changed their decision, and how much each row's flip counts.

    A flip between two scores that the reference holds nearly equal says little about damage: any
    rounding may do that. It counts as its margin (largest score minus the one chosen instead)
    over a tenth of the reference's RMS, at most 1.
    """
    ones = np.ones(len(expected))
    if kind == "values":
        return None, ones
    if kind == "decisions":
        return (expected != given).any(axis=1), ones
    index = np.arange(len(expected))
    chosen = np.argmax(np.nan_to_num(given, nan=-np.inf, posinf=np.inf, neginf=-np.inf), axis=1)
    clean = np.nan_to_num(expected.astype(np.float64))
    best = np.argmax(clean, axis=1)
    margin = clean[index, best] - clean[index, chosen]
    finite = clean[np.isfinite(expected)]
    tie = _TIE * float(np.sqrt(np.mean(np.square(finite)))) if finite.size else 0.0
    weights = np.minimum(1.0, margin / tie) if tie else np.zeros(len(expected))
    return margin > 0, weights
