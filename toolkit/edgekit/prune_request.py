"""What `prune` was asked for, checked before anything expensive starts."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

from edgekit.child import Limits
from edgekit.errors import UsageError
from edgekit.fingerprint import fingerprint
from edgekit.preprocess import parse_prefixed
from edgekit.prune_amount import Goal, percent
from edgekit.prune_choices import (
    CHOICES,
    TARGETS,
    Importance,
    Measure,
    Ratios,
    Schedule,
    Scope,
    Target,
)
from edgekit.prune_method import Method, parse_method
from edgekit.request import check_target

ORIGINAL: Final = "original"
EPOCHS = 5
"""With ``--data``, unless ``--epochs`` says otherwise."""
BATCH_SIZE = 32
MULTIPLE_OF = 8
MOST_CLUSTERS = 1024
"""More different weights are no clusters; tensorflow-model-optimization draws the same line."""
TEMPERATURE = 4.0
TIME_LIMIT_S = 86_400.0
"""Fine-tuning is one step, and may take hours."""
_TRIES = 6  # so often, about, a file is made and measured to find how much to cut
_MODEL_SUFFIXES = (".keras", ".h5", ".hdf5")
_NO_MATTER = frozenset({"source", "out", "force", "resume", "limits", "verbose", "trust"})
"""Fields that change nothing in what is made."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PruneRequest:
    """One call of prune. `source` is a path, or a Keras model object in memory."""

    source: Any
    out: Path | None = None
    sparsity: float | None = None
    """Share of what can be pruned that goes: channels, or weights that become zero."""
    macs: Goal | None = None
    size: Goal | None = None
    latency: float | None = None
    on: str | None = None
    """Where latency is measured; None for here."""
    measure: Measure = "float32"
    method: Method = field(default_factory=lambda: parse_method("structured"))
    scope: Scope = "layer"
    schedule: Schedule = "polynomial"
    importance: Importance = "magnitude"
    ratios: Ratios = "uniform"
    multiple_of: int = MULTIPLE_OF
    skip: tuple[str, ...] = ()
    cluster: int | None = None
    qat: bool = False
    data: str | None = None
    test: str | None = None
    preprocess: tuple[str, ...] = ()
    """Texts as on the command line, ``[INPUT:]STEPS``."""
    epochs: int | None = None
    """As given; see `epochs_to_train`."""
    learning_rate: float | None = None
    optimizer: str | None = None
    loss: str | None = None
    metrics: tuple[str, ...] = ()
    batch_size: int = BATCH_SIZE
    teacher: Path | Literal["original"] | None = None
    temperature: float = TEMPERATURE
    resume: bool = False
    custom_objects: Path | None = None
    trust: bool = False
    force: bool = False
    limits: Limits = field(default_factory=lambda: Limits(time_s=TIME_LIMIT_S))
    verbose: bool = False

    def __post_init__(self) -> None:
        """Refuse what can be refused without looking at the model."""
        from edgekit.prune_refusals import check

        for text in self.preprocess:
            parse_prefixed(text)
        for name, known in CHOICES.items():
            if getattr(self, name) not in known:
                message = (
                    f"--{name} {getattr(self, name)}: not known; there are: {', '.join(known)}"
                )
                raise UsageError(message)
        check(self)
        if self.cluster is not None and not 2 <= self.cluster <= MOST_CLUSTERS:
            message = (
                f"--cluster {self.cluster}: not a number of different weights from 2 to "
                f"{MOST_CLUSTERS}; 16 is usual"
            )
            raise UsageError(message)
        for option, value in (
            ("learning-rate", self.learning_rate),
            ("temperature", self.temperature),
        ):
            if value is not None and not (value > 0 and math.isfinite(value)):
                message = f"--{option} {value:g}: must be above 0; leave it out for the default"
                raise UsageError(message)
        if self.custom_objects is not None and not self.custom_objects.is_file():
            message = (
                f"{self.custom_objects}: no such Python file; "
                "give the .py file that defines the layers"
            )
            raise UsageError(message)

    @property
    def target(self) -> Target | None:
        """Which one was given; None with a pattern, or clustering or training alone."""
        given = [name for name in TARGETS if getattr(self, name) is not None]
        return given[0] if given else None

    @property
    def target_text(self) -> str:
        """For people: ``macs 50%``, ``latency 0.6x``; empty without a target."""
        name = self.target
        if name is None:
            return ""
        value = getattr(self, name)
        if name == "latency":
            return f"latency {value:g}x"
        return f"{name} {percent(value) if name == 'sparsity' else value}"

    @property
    def target_asked(self) -> str:
        """For messages, as the user wrote it: ``--size 200KB``."""
        value = getattr(self, self.target or "", None)
        if isinstance(value, Goal) and value.written:
            return f"--{self.target} {value.written}"
        return f"--{self.target_text}"

    @property
    def prunes(self) -> bool:
        """Whether weights are to go; not so with ``--cluster`` or ``--qat`` alone."""
        return self.target is not None or self.method.sparsity is not None

    @property
    def share_of_zeros(self) -> float | None:
        """The sparsity to reach, of unstructured methods and of ``--sparsity``."""
        return self.sparsity if self.sparsity is not None else self.method.sparsity

    @property
    def epochs_to_train(self) -> int:
        """0 is no training."""
        return self.epochs if self.epochs is not None else EPOCHS if self.data else 0

    @property
    def step_count(self) -> int:
        """How many steps of progress it will show, about."""
        cuts = self.prunes and self.method.is_structured
        judges = 3 + (self.data is not None or self.test is not None)
        return 3 + cuts + self.try_count + judges

    @property
    def try_count(self) -> int:
        """How many files will be made to find how much to cut, about."""
        return _TRIES * (self.target in ("size", "latency"))

    @property
    def stem(self) -> str:
        """First part of the output's name."""
        if isinstance(self.source, str | os.PathLike):
            path = Path(self.source)
            name = path.name if path.is_dir() else path.stem
            return name.removesuffix(".savedmodel") or "model"
        return str(getattr(self.source, "name", "model"))

    def output(self, framework: str = "keras") -> Path:
        """Where the result goes; nothing is written yet.

        Args:
            framework: of the result, ``keras`` or ``tf_keras``: a Keras 2 model with
                quantization-aware training is saved as ``.h5``.

        Raises:
            OutputError: it exists and `force` is off, would replace the source, or its folder
                cannot be written.
            UsageError: `out` has the name of something else than such a model.
        """
        target = self._output(".h5" if framework == "tf_keras" and self.qat else ".keras")
        check_target(target, self.source, force=self.force)
        return target

    def possible_outputs(self) -> tuple[Path, ...]:
        """Where the result may go, of either Keras.

        Raises:
            UsageError: `out` has the name of something else than a model.
        """
        suffixes = (".keras", ".h5") if self.qat else (".keras",)
        if self.out is not None and self.out.suffix in _MODEL_SUFFIXES:
            suffixes = (self.out.suffix,)
        return tuple(self._output(suffix) for suffix in suffixes)

    def _output(self, suffix: str) -> Path:
        out = self.out
        if out is None or out.is_dir() or out.suffix not in _MODEL_SUFFIXES:
            if out is not None and out.suffix in (".tflite", ".onnx") and not out.is_dir():
                message = (
                    f"-o {out}: prune makes a Keras model; give a {suffix} file, and make "
                    f"{out.suffix} of it with: edgekit convert"
                )
                raise UsageError(message)
            return (out or Path()) / f"{self.stem}.pruned{suffix}"
        if (out.suffix == ".keras") != (suffix == ".keras"):
            why = "a Keras 2 model trained for int8" if suffix == ".h5" else "the result"
            message = f"-o {out}: {why} is saved as {suffix}; give a name that ends so"
            raise UsageError(message)
        return out

    def to_plain(self) -> dict[str, Any]:
        """JSON data, for a child process; a model in memory is left out (``source`` is null)."""
        plain = {one.name: _plain(getattr(self, one.name)) for one in dataclasses.fields(self)}
        is_path = isinstance(self.source, str | os.PathLike)
        return plain | {
            "source": os.fspath(self.source) if is_path else None,
            "limits": dataclasses.asdict(self.limits),
        }

    @classmethod
    def from_plain(cls, plain: dict[str, Any]) -> PruneRequest:
        """Back from `to_plain`; relative paths hold for the folder they were given in."""
        paths = {
            name: plain[name] and Path(plain[name]) for name in ("source", "out", "custom_objects")
        }
        teacher = plain["teacher"]
        goals = {
            name: Goal(amount=value) if isinstance(value, int) else value and Goal(share=value)
            for name, value in (("macs", plain["macs"]), ("size", plain["size"]))
        }
        tuples = {name: tuple(plain[name]) for name in ("skip", "preprocess", "metrics")}
        rest = {
            "teacher": teacher if teacher in (None, ORIGINAL) else Path(teacher),
            "method": parse_method(plain["method"]),
            "limits": Limits(**plain["limits"]),
        }
        return cls(**(plain | paths | goals | tuples | rest))

    def digest(self, source_sha256: str = "") -> str:
        """The same for requests that make the same: what a resumed call is recognised by.

        The contents of the model, of ``--custom-objects`` and of the data count (as far as
        `edgekit.fingerprint` reads them); not where the result goes.

        Args:
            source_sha256: of the model; by default its file is read.
        """
        told = {name: value for name, value in self.to_plain().items() if name not in _NO_MATTER}
        told["epochs"] = self.epochs_to_train
        told["source"] = source_sha256 or _sha256(self.source)
        told["contents"] = [fingerprint(text) for text in (self.data, self.test)]
        if self.custom_objects is not None:
            told["custom_objects"] = _sha256(self.custom_objects)
        if isinstance(self.teacher, Path):
            told["teacher"] = _sha256(self.teacher)
        return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


def _plain(value: Any) -> Any:
    if isinstance(value, Goal):
        return value.amount if value.share is None else value.share
    if isinstance(value, Path | Method):
        return str(value)
    return list(value) if isinstance(value, tuple) else value


def _sha256(source: Any) -> str:
    path = Path(source) if isinstance(source, str | os.PathLike) else None
    if path is None or not path.is_file():
        return str(source)
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
