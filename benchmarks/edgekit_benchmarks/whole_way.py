"""From a picture's file to its classes: the preparation apart, and all of it together.

Served in a child process on this machine, as an app would do it with `edgekit.load`.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

import edgekit
from edgekit.errors import DataError
from edgekit.picture import prepare_picture, steps_for

_WARM_UP = 3


def measure(
    *, path: str, pictures: Sequence[str], steps: dict[str, str], threads: int, seconds: float
) -> dict[str, float]:
    """Time both in turn.

    Args:
        path: a .tflite or .onnx file with one input that takes pictures.
        pictures: image files.
        steps: how they are prepared, by input; empty for what the file says.
        threads: of the runtime.
        seconds: for so long, at least once for each picture.

    Returns:
        ``preprocess_ns``: reading, decoding and preparing a picture; ``end_to_end_ns``: that,
        quantizing, the inference, and sorting the classes. Medians.

    Raises:
        EdgekitError: the file does not load, or does not take the pictures.
    """
    clock = time.perf_counter_ns
    with edgekit.load(path, threads=threads, preprocess=steps or None) as model:
        (spec,) = model.inputs
        known = steps_for(spec, model.inputs, model.preprocess)

        def prepare(picture: str) -> Any:
            return prepare_picture(picture, spec, known, path)

        all_of_it = _classifier(model, pictures[0], prepare)
        for number in range(_WARM_UP):
            all_of_it(pictures[number % len(pictures)])
        prepared, whole = [], []
        end = clock() + int(seconds * 1e9)
        number = 0
        while number < len(pictures) or clock() < end:
            picture = pictures[number % len(pictures)]
            begin = clock()
            prepare(picture)
            middle = clock()
            all_of_it(picture)
            whole.append(clock() - middle)
            prepared.append(middle - begin)
            number += 1
    return {
        "preprocess_ns": statistics.median(prepared),
        "end_to_end_ns": statistics.median(whole),
    }


def _classifier(
    model: edgekit.Model, picture: str, prepare: Callable[[str], Any]
) -> Callable[[str], Any]:
    """`classify`; for models that give no classes, their outputs are the end of the way."""
    try:
        model.classify(picture)
    except DataError:
        return lambda given: model(prepare(given))
    return model.classify
