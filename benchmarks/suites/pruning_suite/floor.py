"""What no pruning can take: the files of a model with two channels left in every group."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from .measure import PRECISIONS, Span, bench, both, files, folder_of, kept, ratio_of
from .tasks import Task

_UNTRAINED = ("--no-repair", "--tolerance", "relative_error=1e9", "--tolerance", "flips=1")
"""Options of ``edgekit convert`` for a model whose answers do not matter."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Floor:
    """What is left of one file."""

    precision: str
    size_share: float
    ratio: Span
    """Of p50."""


def floors(task: Task, cache: Path, *, reuse: bool) -> tuple[Floor, ...]:
    """Make the files, and measure them in turn with those of the original."""
    folder = folder_of(cache, task.name, "floor")
    folder.mkdir(parents=True, exist_ok=True)
    left = folder / "floor.keras"
    if not (reuse and left.exists()):
        narrowest(task.model, left)
    made = {}
    for name, model in {"original": task.model, "pruned": left}.items():
        convert = partial(files, model, task, folder / name, *_UNTRAINED)
        made[name] = kept(folder / f"{name}.json", reuse, convert)
    paths = [one["path"] for conversion in made.values() for one in conversion["artifacts"]]
    times = kept(folder / "times.json", reuse, lambda: bench(paths))
    found = []
    for precision in PRECISIONS:
        first, second = both(precision, made)
        ratio, _, _ = ratio_of(first, second, times)
        share = second["size_bytes"] / first["size_bytes"]
        found.append(Floor(precision=precision, size_share=share, ratio=ratio))
    return tuple(found)


def narrowest(source: Path, out: Path) -> None:
    """Write the model at `source` with two channels in every group; some converters refuse one.

    Its weights are new, those of kernels not negative, and those of embeddings large: what two
    channels of the old ones give may be one number for all inputs, which `edgekit convert` takes
    for a fault.
    """
    import keras

    from edgekit_converters.pruning.channels.choose import choose
    from edgekit_converters.pruning.channels.cut import cut
    from edgekit_converters.pruning.trace.trace import trace

    keras.utils.set_random_seed(0)
    model = keras.saving.load_model(source)
    graph = trace(model)
    removed = choose(graph, np.ones(graph.channel_count), [2] * len(graph.groups))
    made = keras.models.clone_model(cut(model, graph, removed))
    for weight in made.weights:
        if "embedding" in weight.path:
            weight.assign(20 * weight)
        else:
            weight.assign(abs(weight))
    made.save(out)
