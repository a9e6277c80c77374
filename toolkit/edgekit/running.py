"""Run a model file on inputs from the command line, in a child process that may die."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edgekit.benchmarking import TARGET_RUNNER, installed
from edgekit.child import Child, Limits
from edgekit.errors import DataError, OutputError, UsageError, VerificationError
from edgekit.input_names import grouped
from edgekit.progress import Progress
from edgekit.run_result import Failure, Result, RunReport


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRequest:
    """One call of ``edgekit run``, checked before anything is started."""

    file: Path
    inputs: tuple[str, ...]
    top: int | None = None
    """None for five classes, where the output looks like scores of classes."""
    threads: int = 1
    backend: str = "auto"
    providers: tuple[str, ...] = ()
    signature: str | None = None
    preprocess: tuple[str, ...] = ()
    labels: Path | None = None
    self_test: bool = False
    public_key: Path | None = None
    save: Path | None = None
    force: bool = False
    limits: Limits = field(default_factory=Limits)
    verbose: bool = False
    on: str | None = None
    """The target that runs the file; None for this machine."""

    def __post_init__(self) -> None:
        """Refuse what cannot work whatever the file is."""
        if not self.inputs:
            message = "run: no inputs; give at least one"
            raise UsageError(message)
        for name, value in (("--signature", self.signature), ("--providers", self.providers)):
            if self.on is not None and value:
                message = f"{name}: is for files that run here; leave it out, or leave out --on"
                raise UsageError(message)
        if self.save is not None and self.save.suffix != ".npz":
            message = f"--save {self.save}: outputs are saved as .npz; call it {self.save.stem}.npz"
            raise UsageError(message)
        if self.save is not None and self.save.exists() and not self.force:
            raise _exists(self.save)


def run(request: RunRequest, progress: Progress) -> RunReport:
    """Do what `request` says; of several inputs, those that fail are part of the result.

    Raises:
        EdgekitError: the model cannot be loaded, the only input fails, the child process died, or
            the outputs cannot be saved.
    """
    child = Child(
        "edgekit.run_worker" if request.on is None else installed(TARGET_RUNNER),
        limits=request.limits,
        verbose=request.verbose,
        on_event=progress.detail,
        advice="try edgekit convert with another precision, or report the model",
    )
    with child:
        progress.step(f"load {request.file.name}")
        facts = child.call("open_model", **_opening(request))
        groups = grouped(request.inputs, facts["inputs"])
        if request.on is not None:
            facts |= _ahead(child, groups, request.on, progress)
        results: list[Result] = []
        failures: list[Failure] = []
        notes: list[str] = []
        for group in groups:
            title = _title(group)
            progress.step(f"run on {title}")
            try:
                results += _results(child, group, title, notes, progress)
            except (DataError, VerificationError) as error:
                if len(groups) == 1:
                    raise
                failures.append(Failure(input=title, error=str(error)))
        if request.save is not None:
            _save(child, request.save, failures, force=request.force)
        if request.on is not None:
            child.call("close")
    return RunReport(
        path=str(request.file),
        backend=facts["backend"],
        results=tuple(results),
        failures=tuple(failures),
        saved=None if request.save is None else str(request.save),
        notes=tuple(dict.fromkeys(notes)),
        target=request.on,
        emulated=facts.get("emulated", False),
    )


def _title(group: dict[str | None, str]) -> str:
    return " ".join(text if name is None else f"{name}={text}" for name, text in group.items())


def _ahead(
    child: Child, groups: list[dict[str | None, str]], target: str, progress: Progress
) -> dict[str, Any]:
    """Run all that can be read on the target, together; the results come one by one later."""
    for group in groups:
        with suppress(DataError):  # told when its turn comes
            child.call("read", texts=list(group.items()), title=_title(group))
            child.call("gather")
    progress.step(f"run on {target}")
    facts: dict[str, Any] = child.call("predict")
    return facts


def _opening(request: RunRequest) -> dict[str, Any]:
    options: dict[str, Any] = {
        "threads": request.threads,
        "backend": request.backend,
        "signature": request.signature,
        "labels": None if request.labels is None else str(request.labels),
        "self_test": request.self_test,
        "public_key": None if request.public_key is None else str(request.public_key),
    }
    if request.providers:
        options["providers"] = list(request.providers)
    return {
        "path": str(request.file),
        "options": options,
        "preprocess": list(request.preprocess),
        "top": request.top or 5,
        "is_asked_for_classes": request.top is not None or request.labels is not None,
        "keeps": request.save is not None,
        **({} if request.on is None else {"target": request.on, "limit_s": request.limits.time_s}),
    }


def _results(
    child: Child,
    group: dict[str | None, str],
    title: str,
    notes: list[str],
    progress: Progress,
) -> list[Result]:
    read = child.call("read", texts=list(group.items()), title=title)
    notes += read["notes"]
    results: list[Result] = []
    start: int | None = 0
    while start is not None:
        made = child.call("run", start=start)
        results += map(Result.from_dict, made["results"])
        notes += made["notes"]
        start = made["next"]
        progress.detail(f"{len(results)} of {read['count']} samples")
    return results


def _save(child: Child, out: Path, failures: list[Failure], *, force: bool) -> None:
    """Write all outputs: whole or not at all."""
    if failures:
        message = (
            f"{out}: not written, as {failures[0].input} failed ({failures[0].error}); "
            "leave that input out"
        )
        raise OutputError(message)
    waiting = out.with_name(f".{out.name}.{os.getpid()}.tmp")
    try:
        waiting.touch()
        child.call("save", out=str(waiting.resolve()))
        if force:
            waiting.replace(out)
        else:
            _place(waiting, out)
    except FileExistsError:
        raise _exists(out) from None
    except OSError as error:
        message = f"{out}: cannot be written ({error.strerror}); choose another place with --save"
        raise OutputError(message) from error
    finally:
        waiting.unlink(missing_ok=True)


def _place(waiting: Path, out: Path) -> None:
    """A hard link fails where `out` exists; file systems without links get a look first."""
    try:
        out.hardlink_to(waiting)
    except FileExistsError:
        raise
    except OSError:
        if out.exists():
            raise FileExistsError from None
        waiting.rename(out)


def _exists(out: Path) -> OutputError:
    return OutputError(
        f"{out}: exists already; add --force to replace it, or choose another --save"
    )
