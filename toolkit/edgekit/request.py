"""What `convert` was asked for, checked before anything expensive starts."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edgekit.child import Limits
from edgekit.errors import OutputError, UsageError
from edgekit.preprocess import parse_prefixed
from edgekit.recipe import CALIBRATED, IO, SUFFIX, Format, Precision, combinations
from edgekit.tolerance import TOLERANCES, Tolerance, parse_tolerance

DEFAULT_SAMPLES = 256
_SPARE_BYTES = 16 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class ConvertRequest:
    """One call of convert. `source` is a path, or a Keras model object in memory."""

    source: Any
    out: Path | None = None
    formats: tuple[Format, ...] = ("tflite",)
    precisions: tuple[Precision, ...] = ("float32",)
    io: IO = "float32"
    calibrate: str | None = None
    calibration_samples: int = DEFAULT_SAMPLES
    preprocess: tuple[str, ...] = ()
    """Texts as on the command line, ``[INPUT:]STEPS``."""
    batch: int | None = None
    """Samples in one call; 0 for a free batch, None for the model's own, else 1."""
    shapes: Mapping[str, tuple[int | None, ...]] = field(default_factory=dict)
    custom_objects: Path | None = None
    trust: bool = False
    allow_flex: bool = False
    labels: tuple[str, ...] = ()
    prune: str | None = None
    """Options of prune, as ``macs=50% data=train.npz``; pruning comes first."""
    verify: bool = True
    repair: bool = True
    tolerances: tuple[str, ...] = ()
    """Texts as on the command line, ``NAME=PASSES[:FAILS]``; they hold for every precision."""
    force: bool = False
    limits: Limits = field(default_factory=Limits)
    verbose: bool = False

    def __post_init__(self) -> None:
        """Refuse what can be refused without looking at the model."""
        combinations(self.formats, self.precisions)
        for text in self.preprocess:
            parse_prefixed(text)
        for precision in self.precisions:
            self.tolerance(precision)
        needing = [p for p in self.precisions if p in CALIBRATED]
        if needing and self.calibrate is None:
            message = (
                f"--quantize {needing[0]}: needs real inputs to find the ranges of activations; "
                "give some with --calibrate DATA, or use --quantize dynamic, which needs none"
            )
            raise UsageError(message)
        if self.custom_objects is not None and not self.custom_objects.is_file():
            message = (
                f"{self.custom_objects}: no such Python file; "
                "give the .py file that defines the layers"
            )
            raise UsageError(message)
        if self.io != "float32" and not set(self.precisions) <= {"int8"}:
            message = (
                f"--io {self.io}: only int8 models take and give integers; "
                "use it with --quantize int8 alone"
            )
            raise UsageError(message)
        if self.calibration_samples < 2:
            message = (
                f"--calibration-samples {self.calibration_samples}: too few to find ranges; "
                "use 2 or more (100 is usual)"
            )
            raise UsageError(message)

    @property
    def combinations(self) -> tuple[tuple[Format, Precision], ...]:
        """Every (format, precision) to make, in the order asked for."""
        return combinations(self.formats, self.precisions)

    def tolerance(self, precision: Precision) -> Tolerance:
        """How far a file of this precision may be from the original."""
        tolerance = TOLERANCES[precision]
        for text in self.tolerances:
            tolerance = parse_tolerance(text, tolerance)
        return tolerance

    @property
    def step_count(self) -> int:
        """How many steps of progress it will show, at most; those of pruning left out."""
        made = len(self.combinations)
        return 1 + len(self.formats) + made + sum(p != "float32" for _, p in self.combinations)

    @property
    def stem(self) -> str:
        """First part of the output names."""
        if isinstance(self.source, str | os.PathLike):
            path = Path(self.source)
            name = path.name if path.is_dir() else path.stem
            return name.removesuffix(".savedmodel").removesuffix(".float32") or "model"
        return str(getattr(self.source, "name", "model"))

    def outputs(self) -> dict[tuple[Format, Precision], Path]:
        """Where each artifact goes; nothing is written yet.

        Raises:
            OutputError: a target exists and `force` is off, or its folder cannot be written.
            UsageError: `out` names one file, and there are several artifacts or another format.
        """
        targets = self._targets()
        for target in targets.values():
            check_target(target, self.source, force=self.force)
        return targets

    def _targets(self) -> dict[tuple[Format, Precision], Path]:
        wanted = self.combinations
        out = self.out
        suffixes = {".tflite": "tflite", ".onnx": "onnx", ".savedmodel": "savedmodel"}
        if out is not None and out.suffix in suffixes and not out.is_dir():
            if len(wanted) > 1:
                message = f"-o {out}: names one file, but {len(wanted)} are made; give a folder"
                raise UsageError(message)
            if suffixes[out.suffix] != wanted[0][0]:
                message = (
                    f"-o {out}: ends in {out.suffix}, but --to {wanted[0][0]} was asked for; "
                    "make the two agree"
                )
                raise UsageError(message)
            return {wanted[0]: out}
        folder = out or Path()
        return {
            (name, precision): folder / f"{self.stem}.{precision}{SUFFIX[name]}"
            for name, precision in wanted
        }


def check_target(target: Path, source: object, *, force: bool) -> None:
    """See that a file made from `source`, a path or a model, can be put at `target`.

    Raises:
        OutputError: it would replace its source, exists and `force` is off, or its folder cannot
            be written.
    """
    if isinstance(source, str | os.PathLike) and _same(target, Path(source)):
        message = f"{target}: would replace its own source; choose another -o"
        raise OutputError(message)
    if target.exists() and not force:
        message = f"{target}: exists already; add --force to replace it, or choose -o"
        raise OutputError(message)
    check_writable(target.parent)


def check_writable(folder: Path) -> None:
    """See that files can be made in `folder`, which may not exist yet.

    Raises:
        OutputError: it is a file, may not be written, or the disk is full.
    """
    existing = folder
    while not existing.exists() and existing != existing.parent:
        existing = existing.parent
    if not existing.is_dir():
        message = f"{existing}: a file, not a folder; choose another -o"
        raise OutputError(message)
    if not os.access(existing, os.W_OK | os.X_OK):
        message = f"{folder}: no permission to write there; choose another -o"
        raise OutputError(message)
    usage = shutil.disk_usage(existing)
    if not usage.total:  # as of /proc, where whoever may do everything makes no file either
        _try(existing, folder)
    elif usage.free < _SPARE_BYTES:
        message = f"{folder}: no space left on the disk; free some, or choose another -o"
        raise OutputError(message)


def _try(existing: Path, folder: Path) -> None:
    try:
        with tempfile.TemporaryFile(dir=existing):
            pass
    except OSError:
        message = f"{folder}: no file can be made there; choose another -o"
        raise OutputError(message) from None


def _same(a: Path, b: Path) -> bool:
    try:
        return a.samefile(b)
    except OSError:
        return False
