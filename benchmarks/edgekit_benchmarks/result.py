"""The result of a benchmark: one JSON file with everything that was measured, raw.

docs/json.md says what stands in it. Rows are in `edgekit_benchmarks.row`.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import edgekit
from edgekit.errors import UsageError
from edgekit_benchmarks.fields import Fields
from edgekit_benchmarks.row import InputRecord, Row, StartRecord
from edgekit_benchmarks.text_file import write_text

__all__ = [
    "BenchmarkResult",
    "FailureRecord",
    "InputRecord",
    "RatioRecord",
    "Row",
    "StartRecord",
    "TargetRecord",
]

SCHEMA_VERSION = 1
KIND = "edgekit-benchmark"
_LARGEST_BYTES = 1 << 29


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetRecord:
    """A machine that was measured on, and what happened to it meanwhile."""

    url: str
    emulated: bool = False
    facts: Mapping[str, Any] = field(default_factory=dict)
    worker_sha256: str = ""
    timer_ns: float | None = None
    """The smallest step of its clock."""
    empty_call_ns: float | None = None
    """What timing nothing gives: no latency is without it."""
    watch: tuple[dict[str, Any], ...] = ()
    """Once a second: ``t_ns``, ``temperature_c``, ``frequency_khz``, ``throttled`` …"""
    clock: tuple[dict[str, Any], ...] = ()
    """What happened to its clock: ``what`` (suspended, clock set, stopped), ``by_ns``, ``t_ns``."""
    doubts: tuple[str, ...] = ()
    valid: bool = True

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "url": self.url,
            "emulated": self.emulated,
            "facts": dict(self.facts),
            "worker_sha256": self.worker_sha256,
            "timer_ns": self.timer_ns,
            "empty_call_ns": self.empty_call_ns,
            "doubts": list(self.doubts),
            "valid": self.valid,
            "clock": list(self.clock),
            "watch": list(self.watch),
        }

    @classmethod
    def from_fields(cls, given: Fields) -> TargetRecord:
        """Back from plain data.

        Raises:
            UsageError: a value is missing, or of the wrong kind.
        """
        return cls(
            url=given.text("url"),
            emulated=given.flag("emulated", default=False),
            facts=given.mapping("facts"),
            worker_sha256=given.text("worker_sha256", ""),
            timer_ns=given.number_or_none("timer_ns"),
            empty_call_ns=given.number_or_none("empty_call_ns"),
            watch=given.mappings("watch"),
            clock=given.mappings("clock"),
            doubts=given.texts("doubts"),
            valid=given.flag("valid", default=True),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class RatioRecord:
    """How long one row takes compared with another of the same run: indices into the rows."""

    row: int
    to: int
    value: float
    low: float
    high: float
    verdict: str

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {name: getattr(self, name) for name in self.__slots__}

    @classmethod
    def from_fields(cls, given: Fields) -> RatioRecord:
        """Back from plain data.

        Raises:
            UsageError: a value is missing, or of the wrong kind.
        """
        return cls(
            row=given.whole("row"),
            to=given.whole("to"),
            value=given.number("value"),
            low=given.number("low"),
            high=given.number("high"),
            verdict=given.text("verdict"),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class FailureRecord:
    """Something that was asked for and could not be measured."""

    path: str
    target: str
    threads: int | None
    error: str

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {name: getattr(self, name) for name in self.__slots__}

    @classmethod
    def from_fields(cls, given: Fields) -> FailureRecord:
        """Back from plain data.

        Raises:
            UsageError: a value is missing, or of the wrong kind.
        """
        return cls(
            path=given.text("path", ""),
            target=given.text("target", ""),
            threads=given.whole_or_none("threads"),
            error=given.text("error"),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchmarkResult:
    """Everything that one call of ``edgekit bench`` measured."""

    started: str
    """ISO 8601, with the offset from UTC."""
    finished: str = ""
    command: tuple[str, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    targets: Mapping[str, TargetRecord]
    rows: tuple[Row, ...]
    ratios: tuple[RatioRecord, ...] = ()
    failures: tuple[FailureRecord, ...] = ()
    edgekit: str = edgekit.__version__
    """The version that measured."""

    @property
    def valid(self) -> bool:
        """Whether no row and no target is marked as not to be trusted."""
        rows = all(row.valid for row in self.rows)
        return rows and all(target.valid for target in self.targets.values())

    def to_dict(self) -> dict[str, Any]:
        """Plain data, as docs/json.md describes it."""
        return {
            "schema_version": SCHEMA_VERSION,
            "kind": KIND,
            "edgekit": self.edgekit,
            "command": list(self.command),
            "started": self.started,
            "finished": self.finished,
            "valid": self.valid,
            "settings": dict(self.settings),
            "targets": {name: target.to_dict() for name, target in self.targets.items()},
            "rows": [row.to_dict() for row in self.rows],
            "ratios": [ratio.to_dict() for ratio in self.ratios],
            "failures": [failure.to_dict() for failure in self.failures],
        }

    def to_json(self) -> str:
        """The text of the file: objects over several lines, lists of plain values in one.

        Raises:
            ValueError: a value is not a finite number; that is a bug of whoever measured it.
        """
        return _text(self.to_dict(), "") + "\n"

    @classmethod
    def from_dict(cls, given: object, *, file: str = "result") -> BenchmarkResult:
        """Back from plain data; keys it does not know are passed over.

        Args:
            given: a document as `to_dict` makes it, also of a later version with the same schema.
            file: what messages call it.

        Raises:
            UsageError: it is something else, of a later schema, or damaged; the place is named.
        """
        fields = Fields(given, file=file)
        if fields.text("kind", "") != KIND:
            message = f"{file}: is not a result of edgekit bench; give the file it wrote"
            raise UsageError(message)
        version = fields.whole("schema_version")
        if version > SCHEMA_VERSION:
            message = (
                f"{file}: schema_version {version} is newer than {SCHEMA_VERSION}, which this "
                f"edgekit {edgekit.__version__} reads; use a newer edgekit"
            )
            raise UsageError(message)
        result = cls(
            started=fields.text("started", ""),
            finished=fields.text("finished", ""),
            command=fields.texts("command"),
            settings=fields.mapping("settings"),
            targets={
                name: TargetRecord.from_fields(one)
                for name, one in fields.named_parts("targets").items()
            },
            rows=tuple(map(Row.from_fields, fields.parts("rows"))),
            ratios=tuple(map(RatioRecord.from_fields, fields.parts("ratios"))),
            failures=tuple(map(FailureRecord.from_fields, fields.parts("failures"))),
            edgekit=fields.text("edgekit", "unknown"),
        )
        if any(max(ratio.row, ratio.to) >= len(result.rows) for ratio in result.ratios):
            raise fields.wrong(name="ratios", wanted="of rows that are there")
        for row in result.rows:
            if row.target not in result.targets:
                raise fields.wrong(name=f"targets.{row.target}", wanted="there, but a row names it")
        return result

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> BenchmarkResult:
        """The result in a file that `write` made.

        Raises:
            UsageError: no such file, or not a result.
        """
        file = Path(path)
        try:
            if file.stat().st_size > _LARGEST_BYTES:
                message = (
                    f"{file}: is too big for a result of edgekit bench; give the file it wrote"
                )
                raise UsageError(message)
            given = json.loads(file.read_bytes(), parse_constant=_finite, parse_float=_finite)
        except OSError as error:
            reason = error.strerror or "cannot be read"
            message = f"{file}: {reason}; give a result that edgekit bench wrote"
            raise UsageError(message) from error
        except (ValueError, RecursionError) as error:
            message = f"{file}: is not a JSON document; give a result that edgekit bench wrote"
            raise UsageError(message) from error
        return cls.from_dict(given, file=str(file))

    def write(self, path: str | os.PathLike[str], *, force: bool = False) -> None:
        """Put the result in place in one step: there is never half a file.

        Args:
            path: of the file; its folder is made.
            force: replace a file that is there.

        Raises:
            OutputError: there is one already, or it cannot be written.
        """
        write_text(path, self.to_json(), force=force)


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(text)
    return number


def _text(value: Any, indent: str) -> str:
    """JSON; what holds no further list or object stands in one line."""
    deeper = indent + " "
    nested = (dict, list, tuple)
    if isinstance(value, dict) and any(isinstance(one, nested) for one in value.values()):
        inside = (f"{deeper}{json.dumps(key)}: {_text(one, deeper)}" for key, one in value.items())
        return "{\n" + ",\n".join(inside) + f"\n{indent}}}"
    if isinstance(value, list | tuple) and any(isinstance(one, nested) for one in value):
        inside = (deeper + _text(one, deeper) for one in value)
        return "[\n" + ",\n".join(inside) + f"\n{indent}]"
    return json.dumps(value, allow_nan=False)
