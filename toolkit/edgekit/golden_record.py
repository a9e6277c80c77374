"""Make golden cases: choose samples, run the file on them, and find out how far results may vary.

See docs/self-test.md for where the numbers come from.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.errors import EdgekitError, SourceError
from edgekit.golden import KEY, GoldenInput, cases
from edgekit.golden_array import PackedArray, exact, in_steps, on_lattice
from edgekit.other_kernels import run_otherwise
from edgekit.recipe import CALIBRATED, Precision
from edgekit.sessions import RuntimeSession, open_session
from edgekit.tensors import TensorSpec

Arrays = Mapping[str, NDArray[Any]]

BUDGET_BYTES = (2 << 10, 64 << 10)
"""Of the manifest, for all cases: at least, and at most; in between a hundredth of the file."""
_CANDIDATES = 8
_INPUTS_SHARE = 0.75
_MAX_ELEMENTS = 1 << 24
_FEWEST = 16
"""Numbers of an input, and of an output, that are stored whatever the budget is."""

_HOPELESS = 64
"""So many numbers a character of the budget are not even tried to be packed."""

_RANGE_SHARES: dict[Precision, float] = {
    "float32": 1e-4,
    "float16": 1e-3,
    "dynamic": 0.01,
    "int8": 0.01,
    "int16x8": 2e-3,
    "int4": 0.01,
}
"""Least tolerance, as a share of an output's range over the cases."""
_STEPS = 3
"""Least tolerance of an output in integer steps."""
_SAFETY = 4
"""How many times the difference between two sets of kernels is tolerated."""
_FINENESS = 16
"""Stored outputs are rounded to at most this part of the tolerance."""


def record(
    path: Path, samples: Arrays, precision: Precision, *, other_kernels: bool = True
) -> dict[str, Any] | None:
    """Make the manifest's ``golden`` for a file.

    Args:
        path: the file, as it will be.
        samples: an array for each input, shape ``(n, *input shape)``.
        precision: of the file.
        other_kernels: also run the file on the runtime's other kernels; where these crash, the
            process ends.

    Returns:
        None where there is nothing to compare: inputs of text, too large, or results that are not
        finite.

    Raises:
        SourceError: the file is damaged.
        VerificationError: the runtime refuses the file or fails.
        DataError: the samples do not fit the file's inputs.
    """
    smallest, largest = BUDGET_BYTES
    budget = min(max(smallest, path.stat().st_size // 100), largest)
    with open_session(path) as session:
        if any(spec.dtype == "string" for spec in (*session.inputs, *session.outputs)):
            return None
        if sum(math.prod(array.shape[1:]) for array in samples.values()) > _MAX_ELEMENTS:
            return None
        chosen = _choose(session, _packed(session, samples, budget))
        if not chosen:
            return None
        inputs = [{name: one.values() for name, one in case.items()} for case in chosen]
        outputs = [_fresh_run(session, case) for case in inputs]
        if not all(array.size for case in outputs for array in case.values()):
            return None
        others = run_otherwise(path, session, inputs) if other_kernels else None
        share = budget * (1 - _INPUTS_SHARE) / len(chosen) / len(session.outputs)
        made_with = session.runtime
        tolerances: dict[str, float | None] = {}
        packed: list[dict[str, Any]] = [{} for _ in chosen]
        for spec in session.outputs:
            values = [case[spec.name] for case in outputs]
            apart = [
                _apart(v, o[spec.name]) for v, o in zip(values, others or outputs, strict=True)
            ]
            tolerance = tolerance_of(spec, values, max(apart), precision)
            tolerances[spec.name] = tolerance
            for into, value in zip(packed, values, strict=True):
                into[spec.name] = _output(spec, value, tolerance, share)
    made = {
        "made_with": made_with,
        "tolerances": tolerances,
        "cases": [
            {"inputs": {name: _input(one) for name, one in case.items()}, "outputs": results}
            for case, results in zip(chosen, packed, strict=True)
        ],
    }
    try:
        cases({KEY: made}, path.name)
    except SourceError:  # larger than a device would take from a file
        return None
    return made


def _fresh_run(session: RuntimeSession, inputs: Arrays) -> dict[str, NDArray[Any]]:
    session.reset_variables()
    return session.run_real(inputs)


# ---- inputs -----------------------------------------------------------------------------------


def _packed(session: RuntimeSession, samples: Arrays, budget: int) -> list[dict[str, GoldenInput]]:
    """Some of the samples, evenly spaced, as small as the budget wants them."""
    if len(samples) == len(session.inputs) == 1:  # a single input needs no name
        samples = {session.inputs[0].name: next(iter(samples.values()))}
    specs = {spec.name: spec for spec in session.inputs}
    count = min(len(array) for array in samples.values())
    places = sorted({round(i * (count - 1) / (_CANDIDATES - 1)) for i in range(_CANDIDATES)})
    found = []
    for place in places:
        case = {
            name: array[place].astype(np.float32) if specs[name].quantization else array[place]
            for name, array in samples.items()
        }
        if all(np.isfinite(a).all() for a in case.values() if a.dtype.kind == "f"):
            share = budget * _INPUTS_SHARE / 3 / len(case)
            found.append({name: _coarse(array, share) for name, array in case.items()})
    return found


def _coarse(array: NDArray[Any], budget: float) -> GoldenInput:
    """An input in few bytes: fewer and fewer of its numbers, along its longest axis each time."""
    every = [1] * array.ndim
    while True:
        kept = array[tuple(slice(None, None, step) for step in every)]
        if kept.size <= max(_FEWEST, _HOPELESS * budget):
            packed = _coded(kept)
            if len(packed.data) <= budget or kept.size <= _FEWEST:
                return GoldenInput(packed=packed, shape=array.shape, every=tuple(every))
        every[int(np.argmax(kept.shape))] *= 2


def _coded(array: NDArray[Any]) -> PackedArray:
    if array.dtype.kind != "f":
        return exact(array)
    whole = bool((array == np.trunc(array)).all()) and float(np.abs(array).max()) < 1 << 15
    if whole:  # ids, counts, pixels: a fraction would be something else
        small = float(array.min()) >= 0 and float(array.max()) < 256
        return on_lattice(array, 1.0, 0, "uint8" if small else "int16")
    return in_steps(array)


def _choose(session: RuntimeSession, candidates: list[dict[str, GoldenInput]]) -> list[Any]:
    """Up to three cases, whose outputs differ most from one another."""
    tried = []
    for case in candidates:
        try:
            outputs = _fresh_run(session, {name: one.values() for name, one in case.items()})
        except EdgekitError:
            if len(candidates) == 1:
                raise
            continue  # a model may refuse what is coarse: ids that belong together, say
        if all(np.isfinite(array).all() for array in outputs.values()):
            tried.append((case, outputs))
    chosen = tried[:1]
    rest = tried[1:]
    while rest and len(chosen) < 3:
        distances = [min(_distance(one[1], other[1]) for other in chosen) for one in rest]
        chosen.append(rest.pop(int(np.argmax(distances))))
    return [case for case, _ in chosen]


def _distance(first: Arrays, second: Arrays) -> float:
    return max(_apart(first[name], second[name]) for name in first)


def _input(golden: GoldenInput) -> dict[str, Any]:
    told = golden.packed.to_dict()
    if any(step > 1 for step in golden.every):
        told |= {"of": list(golden.shape), "every": list(golden.every)}
    return told


# ---- outputs ----------------------------------------------------------------------------------


def _apart(first: NDArray[Any], second: NDArray[Any]) -> float:
    """The largest difference; infinite where shapes differ or a number is not finite."""
    if first.shape != second.shape:
        return math.inf
    with np.errstate(invalid="ignore", over="ignore"):
        found = np.abs(first.astype(np.float64) - second.astype(np.float64))
    return float(found.max(initial=0.0)) if np.isfinite(found).all() else math.inf


def tolerance_of(
    spec: TensorSpec, values: Sequence[NDArray[Any]], apart: float, precision: Precision
) -> float | None:
    """How far results may be off elsewhere; None where they cannot be compared.

    Args:
        spec: of the output.
        values: what it gave here, as real numbers.
        apart: largest difference that other kernels gave here; 0 if none were tried.
        precision: of the file.
    """
    if not math.isfinite(apart):
        return None
    if values[0].dtype.kind in "biu":
        return None if apart else 0.0
    together = np.concatenate([value.reshape(-1) for value in values]).astype(np.float64)
    reach = max(float(np.abs(together).max()), float(together.max() - together.min()))
    step = max(spec.quantization.scale) if spec.quantization else 0.0
    if not step and precision in CALIBRATED:
        step = _step(together, reach)
    least = max(_RANGE_SHARES[precision] * reach, _STEPS * step, 1e-9)
    return _rounded_up(max(least, _SAFETY * apart))


def _step(values: NDArray[np.float64], reach: float) -> float:
    """The step of values that were integers before they became real; 0 if they were not.

    Above a 64th of their reach, they are too few to tell.
    """
    unique = np.unique(values)
    step = float(np.diff(unique).min(initial=np.inf))
    if not reach / (1 << 16) < step < reach / 64:
        return 0.0
    codes = unique / step
    return step if float(np.abs(codes - np.rint(codes)).max()) < 0.01 else 0.0


def _rounded_up(value: float) -> float:
    """Two digits, so that they repeat."""
    digits = 10.0 ** (math.floor(math.log10(value)) - 1)
    return float(f"{math.ceil(value / digits - 1e-9) * digits:.2g}")


def _output(
    spec: TensorSpec, value: NDArray[Any], tolerance: float | None, budget: float
) -> dict[str, Any]:
    """Every n-th number, with the least n that fits the budget and meets every column."""
    stride = 1
    while True:
        kept = np.ascontiguousarray(value.reshape(-1)[::stride])
        packed = _coded_output(spec, kept, tolerance)
        if len(packed.data) <= budget or kept.size <= _FEWEST:
            break
        stride = _next_stride(value.shape, stride * max(2, int(len(packed.data) / budget)))
    told = packed.to_dict() | {"of": list(value.shape)}
    return told | ({"stride": stride} if stride > 1 else {})


def _next_stride(shape: tuple[int, ...], least: int) -> int:
    """From `least` up, without a common divisor with a dimension: each channel gets its turn."""
    tried = range(least, least * 4 + 64)
    return next((n for n in tried if all(math.gcd(n, d) == 1 for d in shape)), least)


def _coded_output(spec: TensorSpec, kept: NDArray[Any], tolerance: float | None) -> PackedArray:
    if kept.dtype.kind in "biu":
        return exact(kept)
    kept = kept.astype(np.float32) if kept.dtype == np.float16 else kept
    quantization = spec.quantization
    if quantization is not None and len(quantization.scale) == 1:
        return on_lattice(kept, quantization.scale[0], quantization.zero_point[0], spec.dtype)
    if not tolerance:
        return exact(kept)
    grid = 2.0 ** math.floor(math.log2(tolerance / _FINENESS))
    most = float(np.abs(kept).max()) / grid
    for dtype in ("int8", "int16", "int32"):
        if most < min(np.iinfo(dtype).max, 1 << 24):
            return on_lattice(kept, grid, 0, dtype)
    return exact(kept)
