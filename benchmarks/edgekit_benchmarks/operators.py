"""Where an inference spends its time: operator by operator, and checked against the whole.

    with LocalLink() as link:
        profile = profile_operators(link, Path("mnist.int8.tflite"), threads=1)
    print(operators_table(profile))

ONNX Runtime tells what each of its nodes takes; TFLite does not, so that the graph is cut into
pieces that are timed (see `operators_tflite`). Either way what the operators take in sum is held
against the whole inference, measured in the same process in turn with them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgekit.errors import UsageError
from edgekit_benchmarks.link import Link, OnEvent

TOLERANCE = 0.15
"""A sum further than that from the whole says that the profile is not of this inference."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorTime:
    """One operator, or a few neighbours that were timed together."""

    index: int
    """In the order they run in, from 0."""
    name: str
    operator: str
    """Its kind, as the format spells it."""
    ns: float
    """Of one inference."""
    interval_ns: tuple[float, float] | None = None
    """Holds it with 96 %, as far as the rounds of this run tell."""
    multiply_adds: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorProfile:
    """What the operators of one file take, on one target with one number of threads."""

    runtime: str
    method: str
    operators: tuple[OperatorTime, ...]
    whole_ns: float
    """A whole inference, without the setting of inputs and getting of outputs."""
    rounds: int
    """How often it was measured."""
    difference: float | None = None
    """Greatest one between the outputs of the whole and of its pieces, run one after another;
    None where there are no pieces, or nothing to compare."""

    @property
    def sum_ns(self) -> float:
        """What the operators take together."""
        return sum(one.ns for one in self.operators)

    @property
    def ratio(self) -> float:
        """The sum over the whole; it would be 1 if every operator took what it takes there."""
        return self.sum_ns / self.whole_ns

    @property
    def between_ns(self) -> float:
        """What is left of the whole: the runtime's own work between operators; or an error."""
        return self.whole_ns - self.sum_ns

    @property
    def is_trusted(self) -> bool:
        """Whether the sum is near enough to the whole."""
        return abs(self.ratio - 1) <= TOLERANCE

    @property
    def check(self) -> str:
        """How well the operators explain the whole, in one line."""
        told = f"sum {self.ratio:.2f} of the whole ({self.method})"
        return told if self.is_trusted else f"{told}: do not trust this profile"

    def share(self, one: OperatorTime) -> float:
        """The part of all operators' time that is this one's."""
        total = sum(max(0.0, each.ns) for each in self.operators)
        return max(0.0, one.ns) / total if total else 0.0

    def to_dicts(self) -> tuple[dict[str, Any], ...]:
        """The operators, as a result file holds them."""
        return tuple(
            {
                "index": one.index,
                "name": one.name,
                "operator": one.operator,
                "ns": round(max(0.0, one.ns), 1),
                "interval_ns": one.interval_ns
                and [round(max(0.0, end), 1) for end in one.interval_ns],
                "share": round(self.share(one), 5),
                "multiply_adds": one.multiply_adds,
            }
            for one in self.operators
        )

    def check_to_dict(self) -> dict[str, Any]:
        """The check, as a result file holds it."""
        return {
            "sum_ns": round(self.sum_ns, 1),
            "whole_ns": round(self.whole_ns, 1),
            "ratio": round(self.ratio, 4),
            "between_ns": round(self.between_ns, 1),
            "trusted": self.is_trusted,
            "method": self.method,
            "rounds": self.rounds,
            "difference": self.difference,
        }


def profile_operators(
    link: Link,
    file: Path,
    *,
    runtime: str = "auto",
    threads: int = 1,
    inputs: Path | None = None,
    zeros: Sequence[str] = (),
    on_event: OnEvent | None = None,
) -> OperatorProfile:
    """Measure what each operator of a file takes.

    Args:
        link: to the target; the file and its inputs are put there if they are not yet.
        file: a `.tflite` or `.onnx` file.
        runtime: as in a row of a request to the worker.
        threads: of the runtime.
        inputs: .npz with an array ``(n, *input shape)`` for each input; numbers are made up if
            there is none.
        zeros: inputs to fill with zeros, as those that carry state.
        on_event: told what happens meanwhile.

    Raises:
        UsageError: the file is of a kind that has no operators to time.
        SourceError: it is damaged.
        EdgekitError: whatever the worker refuses.
        CrashError: the link broke or hangs.
    """
    row = {
        "key": "operators",
        "runtime": runtime,
        "threads": threads,
        "zeros": list(zeros),
        "inputs": None if inputs is None else link.put(inputs),
    }
    with file.open("rb") as opened:
        head = opened.read(8)
    if head[4:] == b"TFL3":
        from edgekit_benchmarks.operators_tflite import profile_tflite

        return profile_tflite(link, file, row, on_event)
    if head.startswith((b"PK\x03\x04", b"\x89HDF")):
        message = f"{file}: operators of Keras models are not timed; convert it, and time the file"
        raise UsageError(message)
    from edgekit_benchmarks.operators_onnx import profile_onnx

    return profile_onnx(link, file, row, on_event)
