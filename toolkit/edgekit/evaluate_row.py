"""What a row of an evaluation is: a file, and where it runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path

from edgekit.benchmarking import TARGET_PREDICTOR, installed
from edgekit.errors import MissingDependencyError
from edgekit.source_kind import SourceKind, sniff

_DEVICE_KINDS: frozenset[SourceKind] = frozenset({"tflite", "onnx"})


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluateRow:
    """A file that is scored."""

    file: Path
    kind: SourceKind
    target: str | None
    """None for here."""

    @property
    def is_for_devices(self) -> bool:
        """Whether a device runs it, and it may carry a manifest."""
        return self.kind in _DEVICE_KINDS

    @property
    def title(self) -> str:
        """What messages call it."""
        return f"{self.file}{self._place}"

    @property
    def short_title(self) -> str:
        """What progress calls it."""
        return f"{self.file.name}{self._place}"

    @property
    def _place(self) -> str:
        return "" if self.target is None else f" on {self.target}"

    @property
    def size_bytes(self) -> int:
        """Of the file, or of all files in the folder."""
        inside = [p for p in self.file.rglob("*") if p.is_file()] if self.file.is_dir() else []
        return sum(path.stat().st_size for path in inside or [self.file])

    def predictor(self) -> str:
        """The module whose child process predicts.

        Raises:
            MissingDependencyError: it is not installed.
        """
        if self.target is not None:
            return installed(TARGET_PREDICTOR)
        return "edgekit.predict_worker" if self.is_for_devices else _framework_predictor()


def rows_of(files: Sequence[Path], on: Sequence[str]) -> tuple[EvaluateRow, ...]:
    """Every file, and if it is for devices on every target.

    Raises:
        SourceError: there is no such file, or it is no model.
    """
    rows: list[EvaluateRow] = []
    for file in files:
        kind = sniff(file)
        targets = (*dict.fromkeys(on),) if kind in _DEVICE_KINDS and on else (None,)
        rows += [EvaluateRow(file=file, kind=kind, target=target) for target in targets]
    return tuple(rows)


def _framework_predictor() -> str:
    """The module that predicts with Keras models and SavedModels; a plug-in."""
    for entry in entry_points(group="edgekit.predictors"):
        if entry.name == "keras":
            return entry.value
    message = (
        "edgekit: nothing here predicts with Keras models; "
        "run: pip install '.[convert]' in the edgekit checkout"
    )
    raise MissingDependencyError(message)
