"""Served in the child process that prunes: open, plan and cut channels, train, save.

The parent calls them in this order, `attempt` as often as it takes to meet a target that only a
measurement of files can tell.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from edgekit.errors import CrashError
from edgekit.keras_file import PRUNED_MEMBER
from edgekit.keras_weights import PRUNED_ATTRIBUTE
from edgekit_converters.pruning import saved_plan
from edgekit_converters.pruning.channels.stage import ChannelStage, Kind
from edgekit_converters.pruning.job import Job, save_checked
from edgekit_converters.pruning.keras2.stages import compress as compress_keras2
from edgekit_converters.pruning.keras3_stages import check, compress
from edgekit_converters.pruning.member import add_members
from edgekit_converters.pruning.qat.ranges import ranges_member
from edgekit_converters.pruning.saved_plan import SavedPlan
from edgekit_converters.pruning.training.stage import trained_output
from edgekit_converters.pruning.zeros.compression import Compression

_jobs: list[Job] = []
_channels: list[ChannelStage] = []


def start(*, request: dict[str, Any], path: str, workspace: str) -> dict[str, Any]:
    """Load the model and open the data; say what they are, and write samples for the verdict."""
    job = Job.open(request, Path(path), Path(workspace))
    if job.framework == "keras":
        check(job)
    _jobs[:], _channels[:] = [job], []
    facts: dict[str, Any] = {
        "framework": job.framework,
        "source_framework": job.loaded.framework,
        "warnings": job.warnings,
        "samples": job.save_samples(),
        "output": trained_output(job),
    }
    if job.request.method.is_structured and job.request.prunes:
        _channels[:] = [ChannelStage.open(job)]
        facts["macs"] = _channels[0].graph.macs()
    return facts


def attempt(*, kind: Kind, amount: float, out: str, story: str) -> dict[str, Any]:
    """Write the model with `amount` of `kind` left, cut and not trained, as `save` would."""
    stage = _stage()
    made = stage.plan(kind, amount)
    save_checked(stage.cut(made.removed), Path(out), stage.job)
    add_members(Path(out), {PRUNED_MEMBER: story})  # files that are made of it have it, too
    return {"macs": made.macs, "parameters": made.parameters, "channels": made.channels}


def least_share(*, kind: Literal["macs", "parameters"]) -> float:
    """The smallest share of `kind` that can be left."""
    return _stage().least_share(kind)


def cut(*, chosen: dict[str, Any], folder: str | None, digest: str) -> dict[str, Any]:
    """Cut the model so, for good; what was chosen is kept in `folder` for a call that resumes."""
    stage = _stage()
    removed = stage.plan(chosen["kind"], chosen["amount"]).removed
    stage.note_overshoot(chosen["kind"], chosen["amount"], removed)
    if folder is not None:
        saved_plan.save(SavedPlan(removed=removed, chosen=chosen), Path(folder), digest)
    return _cut(stage, removed)


def cut_again(*, folder: str, digest: str) -> dict[str, Any] | None:
    """Cut as an earlier call chose; None where it did not come so far."""
    stage = _stage()
    plan = saved_plan.load(Path(folder), digest, stage.graph.channel_count)
    return None if plan is None else _cut(stage, plan.removed) | {"chosen": plan.chosen}


def shrink(*, folder: str, digest: str) -> dict[str, Any]:
    """Do the rest: zeros, clusters, training; say what came of it."""
    job = _job()
    made: Compression
    if job.framework == "tf_keras":
        made = compress_keras2(job, Path(folder), digest)
    else:
        made = compress(job, Path(folder), digest)
    job.model = made.model
    job.notes += made.notes
    _made[:] = [made]
    return {
        "notes": job.notes,
        "sparsity": made.sparsity,
        "zeros": made.zeros,
        "left": made.left,
        "history": made.history,
        "best": made.best,
        "stopped": made.stopped,
        "warnings": made.warnings,
    }


_made: list[Compression] = []


def save(*, out: str, story: str) -> None:
    """Write the model to `out`, with `story` (JSON) about how it was made, and see it load."""
    job, path = _job(), Path(out)
    save_checked(job.model, path, job)
    if path.suffix == ".keras":
        ranges = _made[0].ranges if _made else {}
        members = ranges_member(path, ranges) if ranges else {}
        add_members(path, {PRUNED_MEMBER: story, **members})
    else:
        import h5py

        with h5py.File(path, "r+") as file:
            file.attrs[PRUNED_ATTRIBUTE] = story


def _cut(stage: ChannelStage, removed: Any) -> dict[str, Any]:
    made = stage.cut(removed)
    stage.job.model = made
    return {
        "macs": stage.graph.macs(removed),
        "parameters": stage.graph.parameters(removed),
        "macs_before": stage.graph.macs(),
        "parameters_before": stage.graph.parameters(),
        "cuts": stage.cuts(removed),
        "left": [{"layer": left.layer, "reason": left.reason} for left in stage.graph.left],
    }


def _job() -> Job:
    if not _jobs:
        message = "prune: its process was started anew in between; run it again with --resume"
        raise CrashError(message)
    return _jobs[0]


def _stage() -> ChannelStage:
    _job()
    return _channels[0]
