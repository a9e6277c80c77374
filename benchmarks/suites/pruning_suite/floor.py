"""What no pruning can take: the files of a model with few channels left in every group."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from .measure import PRECISIONS, Span, bench, both, files, folder_of, kept, ratio_of
from .tasks import Task

_UNTRAINED = ("--no-repair", "--tolerance", "relative_error=1e9", "--tolerance", "flips=1")
"""Options of ``edgekit convert`` for a model whose answers do not matter."""


WIDTHS = (2, 8, 16)
"""Channels left in every group; kernels may take longer for two than for as many as they take at
once. Some converters refuse one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Floor:
    """What is left of one file."""

    precision: str
    size_share: float
    """With the fewest channels."""
    ratio: Span
    """Of p50, with whichever of `WIDTHS` is the fastest."""


def floors(task: Task, cache: Path, *, reuse: bool) -> tuple[Floor, ...]:
    """Make the files, and measure them in turn with those of the original."""
    folder = folder_of(cache, task.name, "floor")
    folder.mkdir(parents=True, exist_ok=True)
    convert = partial(files, task.model, task, folder / "original", *_UNTRAINED)
    original = kept(folder / "original.json", reuse, convert)
    made = {}
    for width in WIDTHS:
        left = folder / f"floor{width}.keras"
        if not (reuse and left.exists()):
            narrowed(task.model, left, width)
        convert = partial(files, left, task, folder / str(width), *_UNTRAINED)
        found = kept(folder / f"{width}.json", reuse, convert)
        made[width] = {"original": original, "pruned": found}
    conversions = [original, *(one["pruned"] for one in made.values())]
    paths = [one["path"] for conversion in conversions for one in conversion["artifacts"]]
    times = kept(folder / "times.json", reuse, lambda: bench(paths))
    least = []
    for precision in PRECISIONS:
        pairs = [both(precision, made[width]) for width in WIDTHS]
        ratios = [ratio_of(first, second, times)[0] for first, second in pairs]
        least.append(
            Floor(
                precision=precision,
                size_share=min(
                    second["size_bytes"] / first["size_bytes"] for first, second in pairs
                ),
                ratio=min(ratios, key=lambda ratio: ratio.value),
            )
        )
    return tuple(least)


def narrowed(source: Path, out: Path, width: int) -> None:
    """Write the model at `source` with at most `width` channels in every group.

    Its weights are new, those of kernels not negative, and those of embeddings large: what few
    channels of the old ones give may be one number for all inputs, which `edgekit convert` takes
    for a fault. Biases, and what normalisations add and multiply, are not zero and not one, or
    converters would leave out operators that the trained model needs.
    """
    import keras

    from edgekit_converters.pruning.channels.choose import choose
    from edgekit_converters.pruning.channels.cut import cut
    from edgekit_converters.pruning.trace.trace import trace

    keras.utils.set_random_seed(0)
    model = keras.saving.load_model(source)
    graph = trace(model)
    left = [min(width, len(group.channels)) for group in graph.groups]
    removed = choose(graph, np.ones(graph.channel_count), left)
    made = keras.models.clone_model(cut(model, graph, removed))
    numbers = np.random.default_rng(0)
    for weight in made.weights:
        if "embedding" in weight.path:
            weight.assign(20 * weight)
        elif len(weight.shape) == 1:
            weight.assign(numbers.uniform(0.5, 1.5, weight.shape))
        else:
            weight.assign(abs(weight))
    made.save(out)
