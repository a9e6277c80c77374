"""The state of a training after each epoch, in one file that is always whole."""

from __future__ import annotations

import contextlib
import json
import os
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgekit.errors import OutputError, SourceError, UsageError
from edgekit.pruning import TRAINING

Array = NDArray[Any]

_FORMAT_VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """All that a training needs to go on as if nothing had happened."""

    facts: Mapping[str, Any]
    """Plain data: the epochs so far, the best one, …"""
    arrays: Mapping[str, Sequence[Array]]
    """By what they are: ``weights``, ``optimizer``, ``best``."""
    states: Sequence[Mapping[str, Array]] = ()
    """Of the projections, as they gave them."""
    best_states: Sequence[Mapping[str, Array]] = ()


def save(checkpoint: Checkpoint, folder: Path, digest: str) -> None:
    """Write `checkpoint` into `folder`, in place of the one before; never half of it.

    Args:
        checkpoint: what to write.
        folder: is made if it is missing.
        digest: of the job, for `load` to know it again.

    Raises:
        OutputError: the folder cannot be written, or has no space.
    """
    facts = {
        "format_version": _FORMAT_VERSION,
        "digest": digest,
        "facts": checkpoint.facts,
        "counts": {name: len(arrays) for name, arrays in checkpoint.arrays.items()},
        "states": [sorted(state) for state in checkpoint.states],
        "best_states": [sorted(state) for state in checkpoint.best_states],
    }
    waiting = folder / f".{TRAINING}.{os.getpid()}.tmp"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with waiting.open("wb") as file:
            with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
                archive.writestr("facts.json", json.dumps(facts))
                for name, array in _members(checkpoint):
                    with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                        np.lib.format.write_array(member, array, allow_pickle=False)
            file.flush()
            os.fsync(file.fileno())
        waiting.replace(folder / TRAINING)
    except OSError as error:
        with contextlib.suppress(OSError):
            waiting.unlink()
        message = f"{folder}: the checkpoint cannot be written ({error.strerror}); make space there"
        raise OutputError(message) from error


def load(folder: Path, digest: str) -> Checkpoint | None:
    """What `save` wrote last into `folder`; None where there is nothing.

    Raises:
        UsageError: it is of a job with another digest.
        SourceError: it is damaged.
    """
    path = folder / TRAINING
    if not path.exists():
        return None
    try:
        with zipfile.ZipFile(path) as archive:
            facts = json.loads(archive.read("facts.json"))
            _check(facts, digest, folder)
            return Checkpoint(
                facts=facts["facts"],
                arrays={
                    name: [_array(archive, f"{name}.{index}") for index in range(count)]
                    for name, count in facts["counts"].items()
                },
                states=_states(archive, "states", facts["states"]),
                best_states=_states(archive, "best_states", facts["best_states"]),
            )
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        message = f"{path}: is damaged; start anew with --force"
        raise SourceError(message) from error


def _check(facts: Mapping[str, Any], digest: str, folder: Path) -> None:
    if facts["format_version"] != _FORMAT_VERSION or facts["digest"] != digest:
        raise another_job(folder)


def another_job(folder: Path) -> UsageError:
    """What to say where `folder` is of another request."""
    return UsageError(
        f"--resume: {folder} holds the state of another job; "
        "give the options, the model and the data of that one, or start anew with --force"
    )


def _members(checkpoint: Checkpoint) -> list[tuple[str, Array]]:
    found = [
        (f"{name}.{index}", np.asarray(array))
        for name, arrays in checkpoint.arrays.items()
        for index, array in enumerate(arrays)
    ]
    for kind, states in (("states", checkpoint.states), ("best_states", checkpoint.best_states)):
        for number, state in enumerate(states):
            for index, key in enumerate(sorted(state)):
                found.append((f"{kind}.{number}.{index}", np.asarray(state[key])))
    return found


def _states(
    archive: zipfile.ZipFile, kind: str, keys: Sequence[Sequence[str]]
) -> tuple[dict[str, Array], ...]:
    return tuple(
        {key: _array(archive, f"{kind}.{number}.{index}") for index, key in enumerate(names)}
        for number, names in enumerate(keys)
    )


def _array(archive: zipfile.ZipFile, name: str) -> Array:
    with archive.open(f"{name}.npy") as member:
        return np.asarray(np.lib.format.read_array(member, allow_pickle=False))
