"""One file on one target with one number of threads: what was measured, raw."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import PurePath
from typing import Any

from edgekit_benchmarks import percentile
from edgekit_benchmarks.fields import Fields
from edgekit_benchmarks.instructions import CLASSES, TOTAL
from edgekit_benchmarks.outliers import Outliers

_CHANGED = 0.02
"""A stored median further than that from what the samples say was not computed from them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StartRecord:
    """One fresh process that started the file and did nothing else; None is: not measured."""

    import_ns: float | None = None
    load_ns: float | None = None
    first_inference_ns: float | None = None
    after_import_bytes: int | None = None
    after_load_bytes: int | None = None
    peak_memory_bytes: int | None = None
    model_memory_bytes: int | None = None
    """`peak_memory_bytes` less what the process needed before it loaded the file."""

    def to_dict(self) -> dict[str, float | None]:
        """Plain data."""
        return {name: getattr(self, name) for name in self.__slots__}

    @classmethod
    def from_fields(cls, given: Fields) -> StartRecord:
        """Back from plain data.

        Raises:
            UsageError: a value is of the wrong kind.
        """
        return cls(
            import_ns=given.number_or_none("import_ns"),
            load_ns=given.number_or_none("load_ns"),
            first_inference_ns=given.number_or_none("first_inference_ns"),
            after_import_bytes=given.whole_or_none("after_import_bytes"),
            after_load_bytes=given.whole_or_none("after_load_bytes"),
            peak_memory_bytes=given.whole_or_none("peak_memory_bytes"),
            model_memory_bytes=given.whole_or_none("model_memory_bytes"),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class InputRecord:
    """What the model was fed."""

    source: str
    """As the user named it; ``random`` or ``zeros`` where there were no real inputs."""
    sha256: str = ""
    random: bool = False
    """The inputs were made up."""

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {"source": self.source, "sha256": self.sha256, "random": self.random}


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """The measurements of one file with one number of threads on one target.

    Everything that can be computed from the raw values is computed: `to_dict` adds it, and reading
    passes it over.
    """

    path: str
    name: str
    """Of the model, without folder, precision and format."""
    sha256: str
    size_bytes: int
    gzip_bytes: int | None = None
    format: str
    precision: str
    target: str
    threads: int
    runtime: str
    input: InputRecord
    samples_ns: tuple[tuple[float, ...], ...]
    """Nanoseconds of one inference, those of each process in order. Where `repeats` is above 1,
    each is the mean of so many in a row."""
    repeats: int = 1
    stamps_ns: tuple[tuple[float, ...], ...] = ()
    """For each process, when each chunk began; on the clock of the target's `watch`."""
    chunks: tuple[tuple[float, ...], ...] = ()
    """For each process, how many samples each chunk holds."""
    warm_up_ns: tuple[tuple[float, ...], ...] = ()
    """As `samples_ns`, of the inferences before that do not count."""
    cpu_ns: tuple[float, ...] = ()
    """For each process, its processor time for one inference, summed over threads."""
    preempted: tuple[int, ...] = ()
    """For each process, how often another one was given its processor while samples were taken."""
    major_faults: tuple[int, ...] = ()
    """For each process, how often it waited for the disk meanwhile."""
    reference_ns: tuple[tuple[float, ...], ...] = ()
    """For each process, what a loop of the interpreter's own took, time and again: how fast the
    machine was, whatever the model."""
    starts: tuple[StartRecord, ...] = ()
    memory_read_from: str = ""
    """``VmHWM``, ``ru_maxrss`` …"""
    instructions: Mapping[str, int] | None = None
    """Of one inference on an emulated board, by class and in ``total``; such a row has no times."""
    instructions_per_call: tuple[tuple[float, ...], ...] = ()
    """For each process that counted, the totals of its calls."""
    preprocess_ns: float | None = None
    end_to_end_ns: float | None = None
    operators: tuple[dict[str, Any], ...] | None = None
    operators_check: dict[str, Any] | None = None
    """Whether the operators explain a whole inference."""
    accuracy: dict[str, Any] | None = None
    doubts: tuple[str, ...] = ()
    valid: bool = True

    def __post_init__(self) -> None:
        """Refuse a row without a single sample, or with a time that no inference can take."""
        if self.instructions is not None and not self.samples_ns:
            return
        if not self.samples_ns or not all(self.samples_ns):
            message = f"{self.path}: samples_ns has a process without samples; measure at least one"
            raise ValueError(message)
        if not all(value > 0 for value in chain.from_iterable(self.samples_ns)):
            message = f"{self.path}: samples_ns has times of nothing or less; measure again"
            raise ValueError(message)

    @property
    def key(self) -> tuple[str, str, str, str, int]:
        """What rows of two results are matched by."""
        return (self.name, self.precision, self.format, self.target, self.threads)

    @property
    def label(self) -> str:
        """The same for people: ``mnist.int8.tflite, 2 threads``, and the target unless local."""
        where = "" if self.target == "local" else f" on {self.target}"
        plural = "" if self.threads == 1 else "s"
        return f"{PurePath(self.path).name}, {self.threads} thread{plural}{where}"

    @property
    def processes(self) -> int:
        """How many fresh processes took samples."""
        return len(self.samples_ns or self.instructions_per_call)

    @property
    def sample_count(self) -> int:
        """How many samples, of all processes."""
        return sum(map(len, self.samples_ns))

    @property
    def p50_ns(self) -> float:
        """The median of all samples."""
        return percentile.of_processes(self.samples_ns, 50).value

    @property
    def throughput_per_s(self) -> float | None:
        """Inferences a second, one after another: of the mean, as waiting adds up."""
        if not self.samples_ns:
            return None
        return 1e9 * self.sample_count / sum(map(sum, self.samples_ns))

    def of_percentile(self, percent: float) -> percentile.Enclosed | None:
        """A percentile in nanoseconds with its interval; None if the samples do not support it.

        The median is always given where there are any.
        """
        if not self.samples_ns:
            return None
        if percent != 50 and not percentile.is_supported(percent, self.sample_count):
            return None
        return percentile.of_processes(self.samples_ns, percent)

    def of_starts(self, name: str) -> float | None:
        """The median over the processes of one of the values of `StartRecord`; bytes are whole."""
        values = self.start_values(name)
        if not values:
            return None
        is_whole = name.endswith("_bytes")
        return statistics.median_low(values) if is_whole else statistics.median(values)

    def start_values(self, name: str) -> list[float]:
        """That value of each process that has it."""
        found = [getattr(start, name) for start in self.starts]
        return [value for value in found if value is not None]

    def to_dict(self) -> dict[str, Any]:
        """Plain data, as the result file holds it."""
        samples = list(chain.from_iterable(self.samples_ns))
        return {
            "path": self.path,
            "name": self.name,
            "sha256": self.sha256,
            "size_bytes": self.size_bytes,
            "gzip_bytes": self.gzip_bytes,
            "format": self.format,
            "precision": self.precision,
            "target": self.target,
            "threads": self.threads,
            "runtime": self.runtime,
            "input": self.input.to_dict(),
            "processes": self.processes,
            **self._percentiles(),
            "throughput_per_s": self.throughput_per_s and round(self.throughput_per_s, 3),
            "outliers": Outliers.of(samples).to_dict() if samples else None,
            "instructions": self.instructions and dict(self.instructions),
            "instructions_per_call": _lists(self.instructions_per_call),
            **{
                name: self.of_starts(name)
                for name in (
                    "import_ns",
                    "load_ns",
                    "first_inference_ns",
                    "peak_memory_bytes",
                    "model_memory_bytes",
                )
            },
            "memory_read_from": self.memory_read_from,
            "preprocess_ns": self.preprocess_ns,
            "end_to_end_ns": self.end_to_end_ns,
            "operators": None if self.operators is None else list(self.operators),
            "operators_check": self.operators_check,
            "accuracy": self.accuracy,
            "doubts": list(self.doubts),
            "valid": self.valid,
            "repeats": self.repeats,
            "samples_ns": _lists(self.samples_ns),
            "stamps_ns": _lists(self.stamps_ns),
            "chunks": _lists(self.chunks),
            "warm_up_ns": _lists(self.warm_up_ns),
            "cpu_ns": list(self.cpu_ns),
            "preempted": list(self.preempted),
            "major_faults": list(self.major_faults),
            "reference_ns": _lists(self.reference_ns),
            "starts": [start.to_dict() for start in self.starts],
        }

    def _percentiles(self) -> dict[str, Any]:
        named: dict[str, Any] = {}
        for percent in (50, 90, 99):
            found = self.of_percentile(percent)
            named[f"p{percent}_ns"] = found and found.value
            named[f"p{percent}_interval_ns"] = found and [found.low, found.high]
        return named

    @classmethod
    def from_fields(cls, given: Fields) -> Row:
        """Back from plain data.

        Raises:
            UsageError: a value is missing, or of the wrong kind, or does not follow from the
                samples.
        """
        inputs = given.part("input")
        try:
            row = cls(
                path=given.text("path"),
                name=given.text("name", PurePath(given.text("path")).name.split(".")[0]),
                sha256=given.text("sha256", ""),
                size_bytes=given.whole("size_bytes"),
                gzip_bytes=given.whole_or_none("gzip_bytes"),
                format=given.text("format"),
                precision=given.text("precision"),
                target=given.text("target"),
                threads=given.whole("threads"),
                runtime=given.text("runtime", "unknown"),
                input=InputRecord(
                    source=inputs.text("source", "unknown"),
                    sha256=inputs.text("sha256", ""),
                    random=inputs.flag("random", default=False),
                ),
                samples_ns=given.number_lists("samples_ns"),
                repeats=given.whole("repeats", 1),
                stamps_ns=given.number_lists("stamps_ns"),
                chunks=given.number_lists("chunks"),
                warm_up_ns=given.number_lists("warm_up_ns"),
                cpu_ns=given.numbers("cpu_ns"),
                preempted=given.wholes("preempted"),
                major_faults=given.wholes("major_faults"),
                reference_ns=given.number_lists("reference_ns"),
                starts=tuple(map(StartRecord.from_fields, given.parts("starts"))),
                memory_read_from=given.text("memory_read_from", ""),
                instructions=_counts(given),
                instructions_per_call=given.number_lists("instructions_per_call"),
                preprocess_ns=given.number_or_none("preprocess_ns"),
                end_to_end_ns=given.number_or_none("end_to_end_ns"),
                operators=given.mappings("operators") if given.has("operators") else None,
                operators_check=given.mapping_or_none("operators_check"),
                accuracy=given.mapping_or_none("accuracy"),
                doubts=given.texts("doubts"),
                valid=given.flag("valid", default=True),
            )
        except ValueError as error:
            raise given.wrong(name="samples_ns", wanted="lists of positive times") from error
        if not row.samples_ns:
            return row
        stored = given.number("p50_ns", row.p50_ns)
        if abs(stored - row.p50_ns) > _CHANGED * row.p50_ns:
            raise given.wrong(name="p50_ns", wanted=f"what samples_ns give ({row.p50_ns:.0f})")
        return row


def _counts(given: Fields) -> dict[str, int] | None:
    if not given.has("instructions"):
        return None
    counts = given.part("instructions")
    return {name: counts.whole(name, 0) for name in (TOTAL, *CLASSES)}


def _lists(values: tuple[tuple[float, ...], ...]) -> list[list[float]]:
    return [list(of_process) for of_process in values]
