"""Which channels were chosen to go, in a file beside the training's, for a call that resumes."""

from __future__ import annotations

import json
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgekit.errors import SourceError
from edgekit.pruning import PLAN
from edgekit_converters.pruning.channels.graph import Mask
from edgekit_converters.pruning.training.checkpoints import another_job


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedPlan:
    """What to cut, and what was asked for and found."""

    removed: Mask
    chosen: dict[str, Any]
    """The fields of `edgekit_converters.pruning.target_search.Chosen`."""


def save(plan: SavedPlan, folder: Path, digest: str) -> None:
    """Put it into `folder`, whole or not at all; `digest` is of the job."""
    folder.mkdir(parents=True, exist_ok=True)
    waiting = folder / f".{PLAN}.tmp"
    facts = json.dumps({"digest": digest, "chosen": plan.chosen})
    with waiting.open("wb") as file:
        np.savez(file, removed=plan.removed, facts=np.array(facts))
    waiting.replace(folder / PLAN)


def load(folder: Path, digest: str, channels: int) -> SavedPlan | None:
    """The plan for a model of so many channels in `folder`; None where there is none.

    Raises:
        UsageError: it is of a job with another digest.
        SourceError: it is damaged.
    """
    path = folder / PLAN
    if not path.is_file():
        return None
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            facts = json.loads(str(archive["facts"]))
            plan = SavedPlan(removed=archive["removed"], chosen=dict(facts["chosen"]))
            other = facts["digest"] != digest
            damaged = plan.removed.dtype != np.bool_ or plan.removed.shape != (channels,)
    except (OSError, EOFError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as error:
        raise _damaged(path) from error
    if other:
        raise another_job(folder)
    if damaged:
        raise _damaged(path)
    return plan


def _damaged(path: Path) -> SourceError:
    return SourceError(f"{path}: is damaged; start anew with --force")
