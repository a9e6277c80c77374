"""Read and train every task once; afterwards the cache has it all."""

from __future__ import annotations

import shutil
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from dev_data import images, sequences, tables, text
from dev_data.task import Data, Task, train

TASKS: dict[str, Task] = {
    task.name: task for module in (images, sequences, text, tables) for task in module.TASKS
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A task whose data and trained model are files."""

    task: Task
    data: Path
    """.npz with ``x_train``, ``y_train``, ``x_test``, ``y_test``."""
    model: Path
    """.keras, without optimizer state."""


def prepare(task: Task, cache: Path) -> Prepared:
    """Use what is in ``cache/NAME/``; read and train what is not."""
    folder = cache / task.name
    folder.mkdir(parents=True, exist_ok=True)
    ready = Prepared(
        task=task, data=folder / f"{task.name}.npz", model=folder / f"{task.name}.keras"
    )
    if not ready.data.exists():
        unfinished = folder / "unfinished.npz"
        task.read(cache).save(unfinished)
        unfinished.rename(ready.data)
    if task.trained is not None:
        shutil.copyfile(task.trained, ready.model)
    elif not ready.model.exists():
        started = time.monotonic()
        unfinished = folder / "unfinished.keras"
        train(task, Data.load(ready.data)).save(unfinished)
        unfinished.rename(ready.model)
        print(f"{task.name}: trained in {time.monotonic() - started:.0f} s", file=sys.stderr)
    return ready
