"""The files that a call of bench writes: checked before it measures, and written at its end."""

from __future__ import annotations

import hashlib
import importlib
import json
import tempfile
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Self

from edgekit.errors import OutputError
from edgekit_benchmarks.bench_request import BenchRequest
from edgekit_benchmarks.output_record import OutputRecord
from edgekit_benchmarks.result import BenchmarkResult
from edgekit_benchmarks.text_file import write_text

_HOW = ("command", "wait_s", "resume")
"""Parts of a request that do not change what is measured."""


class Outputs:
    """Used in ``with``, around measuring: meanwhile no other bench writes the same files."""

    def __init__(self, wanted: Mapping[str, Path], request: BenchRequest, *, force: bool) -> None:
        """Nothing is done yet.

        Args:
            wanted: files by their kinds: ``json``, ``html``, ``csv``, ``markdown``, ``samples``.
            request: what is measured.
            force: replace files that exist.
        """
        self._wanted = wanted
        self._force = force
        self._resume = request.resume
        told = _fingerprint(request)
        self._records = {kind: OutputRecord(path, request=told) for kind, path in wanted.items()}
        self.errors: list[str] = []
        """What could not be written, and what to do."""

    def __enter__(self) -> Self:
        """Claim and check them.

        Raises:
            OutputError: one exists, cannot be written, or another bench is about to write it.
        """
        try:
            for record in self._records.values():
                record.claim(force=self._force)
            self.check()
        except BaseException:
            self._release()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Let others write them."""
        self._release()

    def check(self) -> None:
        """Before time is spent on measuring.

        Raises:
            OutputError: one exists, or cannot be written.
        """
        for kind, path in self._wanted.items():
            try:
                self._check(kind, path)
            except OSError as error:
                message = f"{path}: cannot be written ({error.strerror}); choose another place"
                raise OutputError(message) from error

    def write(self, result: BenchmarkResult, *, complete: bool, kept: bool) -> bool:
        """Write all that can be written; what cannot is in `errors`.

        Args:
            result: if it has no rows, nothing is written.
            complete: whether nothing is left that ``--resume`` could add.
            kept: whether the measurements can be had again by ``--resume``.

        Returns:
            Whether all is written that there is to write.
        """
        if not result.rows:
            return True
        for kind, path in self._wanted.items():
            try:
                write_text(path, text_of(result, kind), force=self._may_replace(kind))
            except OutputError as error:
                said, _, advice = str(error).partition("; ")
                if kept:
                    advice = (
                        "mend that, or choose another place, and run again with --resume: the "
                        "measurements are kept"
                    )
                self.errors.append(f"{said}; {advice}")
            else:
                self._records[kind].keep(complete=complete)
        return not self.errors

    def _may_replace(self, kind: str) -> bool:
        return self._force or (self._resume and self._records[kind].is_incomplete())

    def _check(self, kind: str, path: Path) -> None:
        if path.is_dir():
            message = f"{path}: is a folder; name a file in it"
            raise OutputError(message)
        if path.exists() and not path.is_file():
            message = f"{path}: is no regular file; name one"
            raise OutputError(message)
        if (path.exists() or path.is_symlink()) and not self._may_replace(kind):
            which = ", and is not what a broken call of the same request left"
            message = (
                f"{path}: exists already{which if self._resume else ''}; add --force to replace "
                "it, or choose another name"
            )
            raise OutputError(message)
        if not path.parent.is_dir():
            is_there = path.parent.exists()
            said = (
                "is no folder; choose another" if is_there else "is no such folder; make it first"
            )
            message = f"{path}: {path.parent} {said}"
            raise OutputError(message)
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp"):
            pass

    def _release(self) -> None:
        for record in self._records.values():
            record.release()


def text_of(result: BenchmarkResult, kind: str) -> str:
    """The result as a file of that kind: ``json``, ``html``, ``csv``, ``markdown``, ``samples``."""
    if kind == "json":
        return result.to_json()
    if kind == "samples":
        from edgekit_benchmarks.report_csv import samples_to_csv

        return samples_to_csv(result)
    module = importlib.import_module(f"edgekit_benchmarks.report_{kind}")
    text: str = getattr(module, f"to_{kind}")(result)
    return text


def _fingerprint(request: BenchRequest) -> str:
    """The same for the same measurements of the same files."""
    told = {name: value for name, value in asdict(request).items() if name not in _HOW}
    told["files"] = [str(path.resolve()) for path in request.files]
    return hashlib.sha256(json.dumps(told, sort_keys=True, default=str).encode()).hexdigest()
