"""Finished processes of a benchmark, kept until all are done, so that it can go on after a break.

One file for each target and each thing measured there, one JSON line for each process, in the
user's cache folder. Whoever measures the same again with ``--resume`` takes what is there.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from pathlib import Path
from typing import Any

from edgekit.errors import OutputError

_VERSION = 1
_KEPT_S = 30 * 86_400


def journal_folder() -> Path:
    """Where journals are: ``$XDG_CACHE_HOME/edgekit/benchmarks``, by default in ``~/.cache``."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "edgekit" / "benchmarks"


class Journal:
    """What was measured of one plan on one target."""

    def __init__(self, fingerprint: str, *, resume: bool, folder: Path | None = None) -> None:
        """Open it; without `resume`, what an earlier run left is dropped.

        Args:
            fingerprint: of the plan.
            resume: take what is there.
            folder: by default that of the user's journals.

        Raises:
            OutputError: it cannot be written.
        """
        self.path = (folder or journal_folder()) / f"{fingerprint[:32]}.jsonl"
        self._kept: dict[str, dict[str, Any]] = {}
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            _remove_old(self.path.parent)
            if resume:
                self._read()
            if self._kept:
                self._append(b"\n")  # ends a line that was cut short
            else:
                self.path.write_bytes(_line({"version": _VERSION, "plan": fingerprint}))
        except OSError as error:
            message = (
                f"{self.path}: cannot be written ({error.strerror}); set XDG_CACHE_HOME to a "
                "folder that can"
            )
            raise OutputError(message) from error
        self.found = len(self._kept)
        """How many processes an earlier run finished."""

    def __len__(self) -> int:
        """How many processes are finished."""
        return len(self._kept)

    def get(self, run: str) -> dict[str, Any] | None:
        """What a process answered that finished earlier; None if it did not."""
        return self._kept.get(run)

    def add(self, run: str, answer: dict[str, Any]) -> None:
        """Keep what a process answered; it is on the disk when this returns.

        Raises:
            OutputError: the disk is full.
        """
        self._kept[run] = answer
        try:
            self._append(_line({"run": run, "answer": answer}))
        except OSError as error:
            message = f"{self.path}: cannot be written ({error.strerror}); free some space"
            raise OutputError(message) from error

    def remove(self) -> None:
        """Everything is done."""
        with contextlib.suppress(OSError):
            self.path.unlink()

    def _append(self, line: bytes) -> None:
        with self.path.open("ab") as file:
            file.write(line)
            file.flush()
            os.fsync(file.fileno())

    def _read(self) -> None:
        """A last line that was cut short, as by a power failure, is passed over."""
        try:
            lines = self.path.read_bytes().split(b"\n")
        except FileNotFoundError:
            return
        for line in lines:
            try:
                told = json.loads(line)
            except ValueError:
                continue
            if not isinstance(told, dict):
                continue
            if told.get("version", _VERSION) != _VERSION:
                self._kept.clear()
                return
            if isinstance(told.get("run"), str) and isinstance(told.get("answer"), dict):
                self._kept[told["run"]] = told["answer"]


def _remove_old(folder: Path) -> None:
    """What nobody went on with for a month."""
    for path in (*folder.glob("*.jsonl"), *folder.glob("*.output")):
        with contextlib.suppress(OSError):
            if time.time() - path.stat().st_mtime > _KEPT_S:
                path.unlink()


def _line(told: dict[str, Any]) -> bytes:
    return json.dumps(told).encode() + b"\n"
