"""Golden cases: inputs in the manifest, with what the file gave for them where it was made.

"golden": {
  "made_with": "ai-edge-litert 2.3.0",
  "tolerances": {"scores": 0.0118},               by output; null: not compared
  "cases": [{"inputs": {"image": {…}},             `PackedArray`; with "every", see `Golden`
             "outputs": {"scores": {…}}}]
}
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edgekit.errors import DataError, VerificationError
from edgekit.golden_array import PackedArray
from edgekit.manifest import damaged_manifest

if TYPE_CHECKING:
    from edgekit.sessions.runtime_session import RuntimeSession

KEY = "golden"
"""In the manifest."""
_MAX_CASES = 16
_MAX_TENSORS = 1024
_MAX_ELEMENTS = 1 << 25
"""Of all arrays of one case."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GoldenInput:
    """An input, perhaps coarse: along axis i, each stored number stands for `every[i]`."""

    packed: PackedArray
    shape: tuple[int, ...]
    every: tuple[int, ...]

    def values(self) -> NDArray[Any]:
        """The array to feed, of `shape`.

        Raises:
            ValueError: the data is damaged.
        """
        return spread(self.packed.values(), self.shape, self.every)


@dataclass(frozen=True, slots=True, kw_only=True)
class GoldenOutput:
    """Every `stride`-th number of an output of `shape`, in row-major order, from the first."""

    packed: PackedArray
    shape: tuple[int, ...]
    stride: int
    tolerance: float | None
    """Largest absolute difference; None: the values are not compared."""

    def difference(self, output: NDArray[Any]) -> float:
        """How far `output` is off at the worst of the stored numbers; infinite for NaN.

        Raises:
            ValueError: the data is damaged.
        """
        given = np.asarray(output).reshape(-1)[:: self.stride]
        wanted = self.packed.values()
        if given.dtype.kind in "biu" and wanted.dtype.kind in "biu":
            if np.array_equal(given, wanted):
                return 0.0
            return max(1.0, float(np.abs(given.astype(float) - wanted.astype(float)).max()))
        with np.errstate(invalid="ignore", over="ignore"):
            apart = np.abs(given.astype(np.float64) - wanted.astype(np.float64))
        return math.inf if np.isnan(apart).any() else float(apart.max())


@dataclass(frozen=True, slots=True, kw_only=True)
class Golden:
    """One case, still packed."""

    inputs: Mapping[str, GoldenInput]
    outputs: Mapping[str, GoldenOutput]


def spread(coarse: NDArray[Any], shape: tuple[int, ...], every: tuple[int, ...]) -> NDArray[Any]:
    """Repeat each number of `coarse` `every[i]` times along axis i, and cut it to `shape`."""
    for axis, (size, times) in enumerate(zip(shape, every, strict=True)):
        if times > 1:
            coarse = coarse.take(np.arange(size) // times, axis=axis)
    return coarse


def cases(manifest: Mapping[str, Any], name: str) -> tuple[Golden, ...]:
    """The golden cases in a manifest; none where it has none. Nothing is unpacked yet.

    Args:
        manifest: of the file; not trusted.
        name: of the file, for messages.

    Raises:
        SourceError: they are not as `edgekit convert` writes them, or too large.
    """
    stored = manifest.get(KEY)
    if stored is None:
        return ()
    try:
        tolerances, listed = stored["tolerances"], stored["cases"]
        if not isinstance(listed, list) or len(listed) > _MAX_CASES:
            message = f"more than {_MAX_CASES} cases"
            raise _wrong(message)
        return tuple(_case(one, tolerances) for one in listed)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise damaged_manifest(Path(name), error) from None


def self_test(session: RuntimeSession, name: str) -> int:
    """Run the golden cases of a file, and compare with what it gave where it was made.

    Args:
        session: the file, opened; its variables are as after loading before and after.
        name: of the file, for messages.

    Returns:
        How many cases were run; 0 where the file has none.

    Raises:
        SourceError: the cases are damaged, or are not for this model.
        VerificationError: an output differs by more than its tolerance, or the runtime fails.
    """
    found = cases(session.manifest, name)
    worst: tuple[float, str] | None = None
    for number, case in enumerate(found, 1):
        for output, off, tolerance in _differences(session, case, name):
            if off <= tolerance:
                continue
            told = (
                f"output {output!r} off by {off:.3g}, tolerance {tolerance:.3g} "
                f"(case {number} of {len(found)})"
            )
            excess = off / tolerance if tolerance else math.inf
            if worst is None or excess > worst[0]:
                worst = (excess, told)
    if worst is not None:
        made_with = session.manifest[KEY].get("made_with") or "another runtime"
        message = (
            f"{name}: gives other results on this device than where it was made: {worst[1]}; "
            f"it was made with {made_with}: use that version, or convert the model again"
        )
        raise VerificationError(message)
    return len(found)


def _differences(
    session: RuntimeSession, case: Golden, name: str
) -> list[tuple[str, float, float]]:
    wanted = {spec.name: spec.shape for spec in session.inputs}
    given = {input_: golden.shape for input_, golden in case.inputs.items()}
    fits = set(wanted) == set(given) and all(
        len(given[key]) == len(shape)
        and all(size in {None, have} for size, have in zip(shape, given[key], strict=True))
        for key, shape in wanted.items()
    )
    if not fits or not set(case.outputs) <= {spec.name for spec in session.outputs}:
        message = "they are for another model"
        raise damaged_manifest(Path(name), _wrong(message))
    try:
        inputs = {key: golden.values() for key, golden in case.inputs.items()}
        session.reset_variables()
        outputs = session.run_real(inputs)
        session.reset_variables()
        found = []
        for key, golden in case.outputs.items():
            if outputs[key].shape != golden.shape:
                found.append((key, math.inf, 0.0))
            elif golden.tolerance is not None:
                found.append((key, golden.difference(outputs[key]), golden.tolerance))
    except (ValueError, DataError) as error:
        raise damaged_manifest(Path(name), error) from None
    return found


def _case(stored: dict[str, Any], tolerances: dict[str, Any]) -> Golden:
    inputs = {name: _input(one) for name, one in stored["inputs"].items()}
    outputs = {name: _output(one, tolerances.get(name)) for name, one in stored["outputs"].items()}
    shapes = [one.shape for one in inputs.values()] + [one.shape for one in outputs.values()]
    if len(shapes) > _MAX_TENSORS or sum(map(math.prod, shapes)) > _MAX_ELEMENTS:
        message = "too large"
        raise _wrong(message)
    return Golden(inputs=inputs, outputs=outputs)


def _input(stored: dict[str, Any]) -> GoldenInput:
    packed = PackedArray.from_dict(stored)
    shape = tuple(stored.get("of", packed.shape))
    every = tuple(stored.get("every", [1] * len(shape)))
    right = len(shape) == len(every) == len(packed.shape) and all(
        type(size) is type(times) is int and times > 0 and size > 0 and -(-size // times) == have
        for size, times, have in zip(shape, every, packed.shape, strict=True)
    )
    if not right:
        message = f"an input of shape {shape!r:.80}, every {every!r:.80}"
        raise _wrong(message)
    return GoldenInput(packed=packed, shape=shape, every=every)


def _output(stored: dict[str, Any], tolerance: object) -> GoldenOutput:
    packed = PackedArray.from_dict(stored)
    shape, stride = tuple(stored["of"]), stored.get("stride", 1)
    right = type(stride) is int and stride > 0 and all(type(n) is int and n > 0 for n in shape)
    if not right or packed.shape != (-(-math.prod(shape) // stride),):
        message = f"an output of shape {shape!r:.80}, every {stride!r}"
        raise _wrong(message)
    if tolerance is not None and not (
        isinstance(tolerance, (int, float)) and 0 <= tolerance < math.inf
    ):
        message = f"a tolerance of {tolerance!r}"
        raise _wrong(message)
    return GoldenOutput(
        packed=packed,
        shape=shape,
        stride=stride,
        tolerance=None if tolerance is None else float(tolerance),
    )


def _wrong(told: str) -> ValueError:
    return ValueError(f"golden cases: {told}")
