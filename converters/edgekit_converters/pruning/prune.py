"""One call of prune: a child process does the work, the files of both models give the verdict."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import edgekit
from edgekit import check_worker, keras_file
from edgekit.child import Child
from edgekit.errors import CrashError, EdgekitError, OutputError, UsageError
from edgekit.progress import Progress
from edgekit.prune_request import PruneRequest
from edgekit.pruned import Cut, EpochRecord, Kept, LayerZeros, Pruned
from edgekit.pruning import TRAINING, checkpoint_of, warnings_of
from edgekit_converters.pruning.original import digest_of, is_path, original
from edgekit_converters.pruning.target_reached import reached, with_cut
from edgekit_converters.pruning.target_search import Chosen, TargetSearch
from edgekit_converters.pruning.training.stage import LINE
from edgekit_converters.pruning.verdict.verdict import VerdictSettings, verdict
from edgekit_converters.publish import publish
from edgekit_converters.workers import Workers
from edgekit_converters.workspace import workspace

_WORKER = "edgekit_converters.pruning.prune_worker"
_ADVICE = "run it again with --resume if it was training, or report the model"


def prune(request: PruneRequest, progress: Progress) -> Pruned:
    """Make a smaller model as `request` says, train it, judge it, and put it in place.

    Raises:
        EdgekitError: the model or the data cannot be used, the target cannot be met, or the result
            cannot be written.
    """
    with ExitStack() as stack:
        folder = stack.enter_context(workspace())
        path = original(request, folder)
        target = request.output(_framework(request, path))
        checkpoint = checkpoint_of(target)
        _check_checkpoint(request, checkpoint)
        is_new = not (request.resume and checkpoint.exists())
        if request.resume and is_new:
            progress.note(
                f"WARNING --resume: {checkpoint} is not there; starting from the beginning"
            )
        child = stack.enter_context(
            Child(
                _WORKER,
                limits=request.limits,
                verbose=request.verbose,
                on_event=lambda event: _told(progress, event),
                advice=_ADVICE,
            )
        )
        workers = stack.enter_context(
            Workers(request.limits, verbose=request.verbose, on_event=progress.detail)
        )
        job = _Job(
            request=request,
            progress=progress,
            child=child,
            workers=workers,
            workspace=folder,
            path=path,
            target=target,
            checkpoint=checkpoint,
            sha256=check_worker.sha256(str(path)),
        )
        try:
            made = job.run()
        except CrashError:
            raise
        except EdgekitError:
            # refused before any work was done; what an earlier call did is not ours
            if is_new and not any(checkpoint.rglob(TRAINING)):
                shutil.rmtree(checkpoint, ignore_errors=True)
            raise
        shutil.rmtree(checkpoint, ignore_errors=True)
        return made


@dataclass(frozen=True, slots=True, kw_only=True)
class _Job:
    request: PruneRequest
    progress: Progress
    child: Child
    workers: Workers
    workspace: Path
    path: Path
    target: Path
    checkpoint: Path
    sha256: str

    def run(self) -> Pruned:
        """Everything, in order."""
        request, progress = self.request, self.progress
        progress.step(f"load {self.path.name}")
        facts = self.child.call(
            "start",
            request=request.to_plain(),
            path=str(self.path),
            workspace=str(self.workspace),
        )
        for warning in facts["warnings"]:
            progress.note(f"WARNING {warning}")
        samples = facts["samples"]
        # what a resumed call is recognised by
        digest = request.digest(digest_of(request, self.path))
        if not request.resume:  # the call was taken; what an earlier one left may go now
            shutil.rmtree(self.checkpoint, ignore_errors=True)
        chosen, cuts = self._cut(facts, digest)
        progress.step(self._what())
        if request.epochs_to_train:  # which takes long; else what is refused is refused first
            self._warn()
        shrunk = self.child.call("shrink", folder=str(self.checkpoint), digest=digest)
        if not request.epochs_to_train:
            self._warn()
        for warning in shrunk["warnings"]:
            progress.note(f"WARNING {warning}")
        progress.step("save the model, and load it again")
        result = self.workspace / f"result{self.target.suffix}"
        self.child.call("save", out=str(result), story=self._story(shrunk["sparsity"]))
        self.child.close()  # its memory is wanted by what judges
        judged = verdict(
            self.path,
            result,
            settings=VerdictSettings(
                train=samples["calibrate"],
                test=samples["test"],
                test_name=request.test or request.data,
                preprocess=tuple(samples["prepared"]),
                shapes=_tuples(samples["shapes"]),
                output=facts["output"],
                custom_objects=request.custom_objects,
                trust=request.trust,
                limits=request.limits,
                verbose=request.verbose,
                is_quantized=facts["framework"] == "tf_keras" and request.qat,
                on=request.on,
            ),
            workspace=self.workspace,
            progress=progress,
            workers=self.workers,
        )
        publish(result, self.target, force=request.force)
        macs = cuts and (cuts["macs_before"], cuts["macs"])
        parameters = judged.parameters or (
            (cuts["parameters_before"], cuts["parameters"]) if cuts else (0, 0)
        )
        return Pruned(
            path=self.target,
            sha256=check_worker.sha256(str(self.target)),
            source={
                "path": str(request.source) if is_path(request.source) else request.stem,
                "sha256": self.sha256,
                "framework": facts["source_framework"],
            },
            framework=facts["framework"],
            method=str(request.method) if request.prunes else "",
            qat=request.qat,
            clusters=request.cluster,
            target=reached(chosen, shrunk, request, judged),
            parameters=parameters,
            multiply_adds=macs or judged.multiply_adds,
            sparsity=shrunk["sparsity"],
            cuts=tuple(Cut(**one | {"layers": tuple(one["layers"])}) for one in cuts["cuts"])
            if cuts
            else (),
            zeros=tuple(LayerZeros(**one) for one in shrunk["zeros"]),
            left=tuple(Kept(**one) for one in (cuts["left"] if cuts else shrunk["left"])),
            history=tuple(EpochRecord.of(one) for one in shrunk["history"]),
            best=shrunk["best"],
            stopped=shrunk["stopped"],
            notes=tuple(shrunk["notes"]),
            warnings=(*warnings_of(request), *facts["warnings"], *shrunk["warnings"]),
            verdict=judged,
            settings=self._settings(),
        )

    def _cut(
        self, facts: Mapping[str, Any], digest: str
    ) -> tuple[Chosen | None, dict[str, Any] | None]:
        """Cut channels, as often as it takes to find how many."""
        request = self.request
        if not (request.method.is_structured and request.prunes):
            return None, None
        folder = str(self.checkpoint)
        if request.resume:
            again = self.child.call("cut_again", folder=folder, digest=digest)
            if again is not None:
                self.progress.leave_out(request.try_count)
                self.progress.step("cut channels, as was chosen before")
                return with_cut(Chosen(**again["chosen"]), again), again
        self.progress.step("rank channels")
        search = TargetSearch(
            request=request,
            child=self.child,
            workers=self.workers,
            workspace=self.workspace,
            original=self.path,
            calibrate=facts["samples"]["calibrate"] or facts["samples"]["test"],
            prepared=tuple(facts["samples"]["prepared"]),
            shapes=_tuples(facts["samples"]["shapes"]),
            story=self._story(None),
            progress=self.progress,
        )
        chosen = search.choose(facts["macs"])
        self.progress.leave_out(request.try_count - len(search.tried))
        try:
            made = self.child.call(
                "cut",
                chosen=asdict(chosen),
                folder=folder if request.epochs_to_train else None,
                digest=digest,
            )
        except UsageError as error:  # which has the number that was meant, not what was written
            subject, colon, rest = str(error).partition(":")
            if subject.startswith("--macs "):
                error.args = (f"{request.target_asked}{colon}{rest}",)
            raise
        return with_cut(chosen, made), made

    def _warn(self) -> None:
        for warning in warnings_of(self.request):
            self.progress.note(f"WARNING {warning}")

    def _what(self) -> str:
        request = self.request
        done = []
        if request.prunes and not request.method.is_structured:
            done.append("prune")
        if request.cluster is not None:
            done.append("cluster")
        if request.qat:
            done.append("quantization-aware training")
        if request.epochs_to_train:
            plural = "s" if request.epochs_to_train > 1 else ""
            done.append(f"train, {request.epochs_to_train} epoch{plural}")
        return ", ".join(done) or "no training: no data"

    def _story(self, sparsity: float | None) -> str:
        """What a pruned model carries about how it was made, as JSON."""
        story = {
            "schema_version": 1,
            "edgekit": edgekit.__version__,
            "source": {"name": self.path.name, "sha256": self.sha256},
            "method": str(self.request.method) if self.request.prunes else None,
            "target": self.request.target_text or None,
            "sparsity": sparsity,
            "clusters": self.request.cluster,
            "qat": self.request.qat,
            "epochs": self.request.epochs_to_train,
        }
        return json.dumps(story, sort_keys=True)

    def _settings(self) -> dict[str, Any]:
        hidden = {"source", "out", "resume", "force", "limits", "verbose"}
        plain = self.request.to_plain()
        told = {name: value for name, value in plain.items() if name not in hidden}
        return told | {"epochs": self.request.epochs_to_train}


def _tuples(shapes: Mapping[str, Sequence[int]]) -> dict[str, tuple[int | None, ...]]:
    return {name: tuple(shape) for name, shape in shapes.items()}


def _told(progress: Progress, event: str) -> None:
    if event.startswith(LINE):
        progress.record(event.removeprefix(LINE))
    else:
        progress.detail(event)


def _framework(request: PruneRequest, path: Path) -> str:
    """What the result will be of."""
    if request.method.is_structured and request.prunes:
        return "keras"  # models of Keras 2 are translated
    version = keras_file.read(path).keras_version or "3"
    return "tf_keras" if version.startswith(("1.", "2.")) else "keras"


def _check_checkpoint(request: PruneRequest, checkpoint: Path) -> None:
    """Hours of training are not thrown away unasked.

    Raises:
        OutputError: there is a checkpoint, and the request says nothing about it.
    """
    if request.resume or not checkpoint.exists():
        return
    if not request.force:
        message = (
            f"{checkpoint}: an earlier call was cut off; add --resume to go on from there, "
            "or --force to start from the beginning"
        )
        raise OutputError(message)
