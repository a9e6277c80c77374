"""A folder of model files: what each one takes, and what it has to give."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Arrays = Mapping[str, NDArray[Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One model file. Files of two formats that do the same share a name and their arrays."""

    name: str
    format: str
    arrays: str = ""
    """File of its inputs (``in:NAME``) and results (``out:NAME``), a call for each first index."""
    tolerance: float = 0.0
    """How far a result may be from the array, in its own unit."""
    shape_is_free: bool = False
    refused_because: str = ""
    """A word of the reason for which no runtime loads it."""
    old_runtime_refuses: str = ""
    """A word of the reason for which tflite-runtime 2.14 does not load it, and others do."""


@dataclass(slots=True)
class Folder:
    """The folder being filled."""

    path: Path
    entries: list[Entry] = field(default_factory=list)

    def file(self, name: str, format_: str) -> Path:
        """Where the file of an entry belongs."""
        return self.path / f"{name}.{format_}"

    def arrays(self, name: str, inputs: Arrays, outputs: Arrays) -> str:
        """Store what goes into a model and what has to come out; returns the file's name."""
        stored = {f"in:{key}": array for key, array in inputs.items()}
        stored |= {f"out:{key}": array for key, array in outputs.items()}
        np.savez_compressed(self.path / f"{name}.npz", **stored)
        return f"{name}.npz"

    def add(self, name: str, format_: str, **facts: Any) -> None:
        """Note a file that is there."""
        if not self.file(name, format_).is_file():
            message = f"{self.file(name, format_)}: was not made"
            raise FileNotFoundError(message)
        self.entries.append(Entry(name=name, format=format_, **facts))

    def write_index(self) -> None:
        """Write ``index.json``, last: a folder that has it is whole."""
        files = sorted((asdict(entry) for entry in self.entries), key=lambda e: tuple(e.values()))
        text = json.dumps({"format_version": 1, "files": files}, indent=1)
        (self.path / "index.json").write_text(text + "\n", encoding="utf-8")
