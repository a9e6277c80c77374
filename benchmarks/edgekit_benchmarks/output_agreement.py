"""How alike the results of a file are in two places: bits, steps, and what is tolerated."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from edgekit.golden_record import tolerance_of
from edgekit.recipe import Precision
from edgekit.sessions.decode import as_float32
from edgekit.sessions.quantized import dequantize
from edgekit.tensors import TensorSpec

Array = NDArray[Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputAgreement:
    """One output over some inputs; numbers that do not apply are None."""

    output: str
    dtype: str
    """As the file stores it."""
    inputs: str
    """``golden``, ``random``, or the data source."""
    against: Literal["here", "file"]
    """Compared with what this machine gives, or with the golden results in the file."""
    samples: int
    values: int
    """How many numbers were compared."""
    equal: int | None
    """How many of them have the same bits; golden results are rounded, so that none tell."""
    max_steps: int | None
    """Of quantized outputs: the largest difference of the stored integers."""
    max_abs_error: float
    """Largest difference of real numbers; infinite where only one is NaN, or shapes differ."""
    relative_error: float
    """The same over the largest magnitude, or range, that the output has here."""
    argmax_agreement: float | None
    """Of outputs with a score for each class: share of samples with the same class."""
    tolerance: float | None
    """Largest difference that is accepted; None: it is not judged."""

    @property
    def agrees(self) -> bool:
        """Whether the difference is within the tolerance."""
        return self.tolerance is None or self.max_abs_error <= self.tolerance

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON; infinity is null."""
        told = {key: None if value == math.inf else value for key, value in asdict(self).items()}
        return told | {"agrees": self.agrees}


def compare_outputs(
    spec: TensorSpec,
    here: Sequence[Array],
    there: Sequence[Array],
    *,
    inputs: str,
    precision: Precision,
    stored_tolerance: float | None,
) -> OutputAgreement:
    """Compare what an output gave here and there, call by call.

    Args:
        spec: of the output.
        here: as the file stores it, for each call.
        there: the same.
        inputs: what they were made from.
        precision: of the file.
        stored_tolerance: the one in the file, which is for its golden cases; of other inputs, whose
            results may reach farther, the one that follows from precision and reach counts where it
            is larger.
    """
    real = [_real(array, spec) for array in here]
    tolerance = _derived(spec, real, precision)
    if stored_tolerance is not None:
        is_golden = inputs == "golden"
        tolerance = stored_tolerance if is_golden else max(stored_tolerance, tolerance or 0.0)
    equal, steps, worst, same_class, rows = 0, 0, 0.0, 0, 0
    for ours, theirs, wanted in zip(here, there, real, strict=True):
        if ours.shape != theirs.shape or ours.dtype.kind != theirs.dtype.kind:
            worst = math.inf
            continue
        equal += int(_same_bits(ours, theirs).sum())
        worst = max(worst, _apart(wanted, _real(theirs, spec)))
        if spec.quantization is not None and ours.size:
            steps = max(steps, int(np.abs(ours.astype(np.int64) - theirs.astype(np.int64)).max()))
        if _is_scores(wanted):
            classes = [array.reshape(len(array), -1).argmax(axis=1) for array in (ours, theirs)]
            same_class += int((classes[0] == classes[1]).sum())
            rows += len(wanted)
    return OutputAgreement(
        output=spec.name,
        dtype=spec.dtype,
        inputs=inputs,
        against="here",
        samples=len(here),
        values=sum(array.size for array in here),
        equal=equal,
        max_steps=steps if spec.quantization is not None else None,
        max_abs_error=worst,
        relative_error=worst / _reach(real) if worst else 0.0,
        argmax_agreement=same_class / rows if rows else None,
        tolerance=tolerance,
    )


def _derived(spec: TensorSpec, real: Sequence[Array], precision: Precision) -> float | None:
    """The tolerance that a file made from these results would store."""
    if not real or real[0].dtype.kind not in "biuf":
        return 0.0
    finite = [array[np.isfinite(array)] for array in real]
    return tolerance_of(spec, finite, 0.0, precision) if any(a.size for a in finite) else 0.0


def _real(array: Array, spec: TensorSpec) -> Array:
    if spec.quantization is not None:
        return dequantize(array, spec)
    return as_float32(array) if array.dtype == np.float16 else array


def _same_bits(ours: Array, theirs: Array) -> Array:
    """NaN is like NaN, and 0 like -0: what a program could tell apart differs."""
    same = np.asarray(ours == theirs)
    if ours.dtype.kind == "f":
        same |= np.isnan(ours) & np.isnan(theirs)
    return same


def _apart(ours: Array, theirs: Array) -> float:
    if ours.dtype.kind not in "biuf":
        return 0.0 if bool((ours == theirs).all()) else math.inf
    same = _same_bits(ours, theirs)
    with np.errstate(invalid="ignore", over="ignore"):
        apart = np.abs(ours.astype(np.float64) - theirs.astype(np.float64))
    apart = np.where(same, 0.0, np.where(np.isnan(apart), np.inf, apart))
    return float(apart.max(initial=0.0))


def _is_scores(values: Array) -> bool:
    return values.ndim == 2 and values.shape[1] > 1 and values.dtype.kind == "f"


def _reach(real: Sequence[Array]) -> float:
    """The largest magnitude or range, as tolerances are made from."""
    if not real or real[0].dtype.kind not in "biuf":
        return 1.0
    finite = [array[np.isfinite(array)].astype(np.float64) for array in real]
    joined = np.concatenate([array.reshape(-1) for array in finite])
    if not joined.size:
        return 1.0
    return max(float(np.abs(joined).max()), float(joined.max() - joined.min())) or 1.0
